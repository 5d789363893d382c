"""How numbers are said."""

from __future__ import annotations

import pytest

from remediator.core.bounds import highest_replicas
from remediator.core.words import span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.2, "1 s"),
        (59.1, "1 min"),
        (45, "45 s"),
        (412, "6 min 52 s"),
        (600, "10 min"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (3601, "1 h 1 min"),
        (7500, "2 h 5 min"),
        (172800, "48 h"),
    ],
)
def test_spans_are_rounded_up(seconds: float, said: str) -> None:
    """Whoever waits as long as is said has waited long enough."""
    assert span(seconds) == said


@pytest.mark.parametrize(("replicas", "highest"), [(1, 5), (3, 7), (4, 8), (5, 10), (10, 20)])
def test_one_step_up(replicas: int, highest: int) -> None:
    """Twice as many, or four more."""
    assert highest_replicas(replicas) == highest
