"""A made-up bilingual conversation, questions about it and small talk: data for the demo and its tests."""
