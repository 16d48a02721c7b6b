"""One call through a wrapped client: opened, driven, accounted for."""
