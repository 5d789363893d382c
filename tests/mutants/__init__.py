"""Mutants: the code with one safeguard taken out, and the tests that must notice. ``python -m tests.mutants``."""
