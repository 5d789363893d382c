"""Bodies good, bad and hostile."""
