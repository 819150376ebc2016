"""Steps on the machines of a Ray cluster.

    driver  plan, cache, retries, ledger    `executor` -> `places` (which actor) -> `actors` (what is said to it)
    machine one actor for each engine       `host`: the engine, the files that came, the files that it made
    between                                 `files`: through a store that all reach, or in chunks

What holds: only the driver opens the store and the ledger; an actor is a process with one engine, which holds its
declared CPUs or GPU while it lives; no more calls are under way than there are actors; a machine whose code or weights
differ from the driver's performs nothing; no actor outlives the executor.
"""
