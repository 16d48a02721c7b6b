"""The only modules that know an SDK."""
