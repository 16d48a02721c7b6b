"""Stores that keep the journal: in a SQLite file, or in this process's memory."""
