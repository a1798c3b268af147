"""The compose file, executed without containers: what it says is read from it, never written here again."""
