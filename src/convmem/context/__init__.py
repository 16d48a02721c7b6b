"""Composes a request: gathers what it needs, decides its window, cuts it when full, recalls, assembles."""
