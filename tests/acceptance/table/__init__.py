"""The threshold table of the runbook, driven row by row with real parts: ``make acceptance``."""
