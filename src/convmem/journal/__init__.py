"""The journal: one thread writes every change, and its jobs find the place of each turn in its session."""
