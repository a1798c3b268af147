"""Migrations of the ledger. A released one is never edited; records are never rewritten."""
