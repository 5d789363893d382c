"""What people read when the clock of an incident has run out."""

from __future__ import annotations

import pytest

from remediator.core.severity import overdue
from remediator.model.rule import Severity


@pytest.mark.parametrize(
    ("severity", "open_for", "allowed", "words"),
    [
        (Severity.P1, 1.0, 0.0, "nothing is being done about it, and severity P1 does not wait"),
        (Severity.P2, 960.0, 900.0, "open for 16 min; severity P2 allows 15 min"),
    ],
)
def test_why_the_clock_calls_people(severity: Severity, open_for: float, allowed: float, words: str) -> None:
    """With both times, where there is one to wait for."""
    assert overdue(severity, open_for, allowed) == words
