"""Wrapping clients: what all SDKs share, and a folder for each SDK, whose modules alone know it."""
