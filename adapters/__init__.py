"""The agency side: what a document-management system runs or calls."""
