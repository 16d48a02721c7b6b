"""Threads, locks and waiting: the only package that names a lock."""
