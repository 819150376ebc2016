"""Engines in a process of their own: leaving it frees every byte of GPU memory, and no crash takes a run along.

`protocol` is what both sides say to each other, `host` the side of the run, `serve` the side of the engine,
which is an ordinary engine and does not know where it runs. `serve` imports nothing but the standard
library, this package and the engine, so the interpreter may be another environment.
"""
