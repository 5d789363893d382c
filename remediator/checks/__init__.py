"""Checks: what the runbook has people look at, one pure module each (``shape.py`` says what a check is)."""
