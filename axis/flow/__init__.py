"""
The verbs: what the axis does with a document, one module a stage. Read `pipeline` first.

Stages 2 to 5 are pure functions of a message and a `World`; only `record` and what follows touch the ledger.
"""
