"""Leads one call of a wrapped client: opens it, journals and composes it, keeps its reply and receipt."""
