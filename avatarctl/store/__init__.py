"""What was made, and how: content-addressed artefacts, and the ledger of runs and steps.

Invariant: files first, pointer last. A `done` row always has its files, and a file without a row is harmless.
"""
