"""Foreign shape to signals: what other systems send, checked and turned into the project's own nouns."""
