"""Files to rules: read, parse, check, try the cases, swap. Start with ``load``; ``watch`` keeps the result fresh."""
