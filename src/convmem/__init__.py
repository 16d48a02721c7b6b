"""Long memory for chat models, from outside: one line around the client."""
