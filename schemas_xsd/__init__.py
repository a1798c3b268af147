"""XSD files as data, with their catalogue."""
