"""What convmem's recall is compared with: baselines, other memories, each step off, other names and years.

`benchmarks/recall.py` is the command. It asks what `convmem bench` asks, in the same way, and this besides.
"""
