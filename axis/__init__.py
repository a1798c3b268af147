"""The electronic document interchange axis: the hub."""
