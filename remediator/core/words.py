"""How numbers are said to a person at 3 a.m."""

from __future__ import annotations

import math

_MINUTE = 60
_HOUR = 3600


def span(seconds: float) -> str:
    """Return ``45 s``, ``6 min 52 s``, ``2 h 5 min``: rounded up, so that waiting so long is enough."""
    whole = max(0, math.ceil(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _pair(whole // _MINUTE, "min", whole % _MINUTE, "s")
    minutes = math.ceil(whole / _MINUTE)
    return _pair(minutes // _MINUTE, "h", minutes % _MINUTE, "min")


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    """Return both units, or only the bigger where the smaller is nothing."""
    return f"{big} {big_unit} {small} {small_unit}" if small else f"{big} {big_unit}"
