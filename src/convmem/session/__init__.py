"""The shape of a conversation: its tree of turns, where a call continues it, its rounds; pure."""
