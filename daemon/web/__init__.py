"""The page: one lab in a browser, read-only, served by a process of its own beside the loop.

Nothing here writes to the lab. The process holds no key of a provider, opens the ledger read-only, and answers GET and
HEAD alone. It loads neither the engine's client nor git.
"""
