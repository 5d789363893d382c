"""Taste that a machine can check: sizes, names, docstrings, words, SQL, and that documents name what exists."""
