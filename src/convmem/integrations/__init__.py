"""Modules for other tools. Each is imported by name only, and needs the extra that its first line names."""
