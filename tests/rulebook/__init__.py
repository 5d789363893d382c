"""Tests of the rulebook: from bytes to rules, and every way in which that can fail."""
