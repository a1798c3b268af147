"""Signatures, certificates and timestamps; imports nothing else of this project."""
