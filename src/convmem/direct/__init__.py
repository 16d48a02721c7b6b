"""The verbs of the direct API (search, export, forget, pin, …), one module each."""
