"""Compressors: what stands for rounds that left the window."""
