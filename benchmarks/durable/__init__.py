"""What `benchmarks/durability.py` is made of: the work of its child processes, and the checks."""
