"""Wrapping clients: modules that all SDKs share, and a folder for each SDK, whose modules alone import it."""
