"""Counting tokens: tables where they are on disk, an estimate where they are not."""
