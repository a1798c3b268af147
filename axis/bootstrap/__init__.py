"""The one place where parts become an axis: everything else takes what it needs as arguments."""
