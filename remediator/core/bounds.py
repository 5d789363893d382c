"""The bounds on numbers that actions write."""

from __future__ import annotations

SMALLEST_DOUBLING = 4
"""A step up may always add this many pods, or as many as there are if that is more."""


def highest_replicas(replicas: int) -> int:
    """Return up to how many pods one step may go from ``replicas``: twice as many, or four more, whichever is more."""
    return replicas + max(replicas, SMALLEST_DOUBLING)
