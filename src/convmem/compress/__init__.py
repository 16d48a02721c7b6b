"""Compressors: they write the summary that stands for rounds which left the window."""
