"""The ledger: events, what is derived from them, the log over them, and the questions people ask of it."""
