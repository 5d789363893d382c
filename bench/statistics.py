"""Percentiles, and ratios of rounds: what one run can say on a machine that has other work too."""

from __future__ import annotations

import math
from collections.abc import Sequence

MILLISECOND_NS = 1_000_000


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all do not exceed; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of rounds; a round where either was not measured does not count."""
    pairs = zip(ours, theirs, strict=True)
    return median([one / other for one, other in pairs if math.isfinite(one) and math.isfinite(other) and other > 0])


def milliseconds(began_ns: Sequence[int], ended_ns: Sequence[int]) -> list[float]:
    """Return how long each took, in milliseconds."""
    return [(ended - began) / MILLISECOND_NS for began, ended in zip(began_ns, ended_ns, strict=True)]
