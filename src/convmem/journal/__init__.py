"""The journal: one thread writes, its jobs plan, and where turns stand in a session."""
