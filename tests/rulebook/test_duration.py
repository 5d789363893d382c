"""Durations and rates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.rule import RateLimit
from remediator.rulebook.duration import LONGEST_S, MOST, duration_text, parse_duration, parse_rate, rate_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), (0, 0), ("0s", 0), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86_400), ("4w2d", 2_592_000)],
)
def test_durations(text: object, seconds: int) -> None:
    """What Prometheus reads is read alike."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write one like"),
        ("10", "write one like"),
        ("10 m", "write one like"),
        ("-5m", "write one like"),
        ("1.5h", "write one like"),
        ("m", "write one like"),
        ("1m1h", "the larger first"),
        ("1h1h", "each unit once"),
        ("100ms", "shortest unit is a second"),
        ("1y", "a year is too long"),
        ("31d", "longer than 30 days"),
        ("99999999w", "longer than 30 days"),
        ("999999999s", "write"),
        ("٣m", "write one like"),
        (60, "write '60s' for seconds"),
        (True, "this is not a duration"),
        (None, "this is not a duration"),
        (["1m"], "this is not a duration"),
    ],
)
def test_bad_durations(text: object, says: str) -> None:
    """Everything else is refused, with how to write it."""
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=LONGEST_S))
def test_durations_go_there_and_back(seconds: int) -> None:
    """What is printed can be read again."""
    assert parse_duration(duration_text(seconds)) == seconds


def test_rates() -> None:
    """A count, and a window."""
    assert parse_rate("3/1h30m") == RateLimit(count=3, window_s=5400)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3", "is not a rate"),
        ("3/", "is not a rate"),
        ("/1h", "is not a rate"),
        ("3/1x", "is not a duration"),
        ("0/1h", "from 1 to 1000"),
        ("1001/1h", "from 1 to 1000"),
        ("3/0s", "is empty"),
        (3, "this is not a rate"),
        (None, "this is not a rate"),
    ],
)
def test_bad_rates(text: object, says: str) -> None:
    """A rate that is none, or that would limit nothing, is refused."""
    with pytest.raises(ValueError, match=says):
        parse_rate(text)


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=MOST), st.integers(min_value=1, max_value=LONGEST_S))
def test_rates_go_there_and_back(count: int, window_s: int) -> None:
    """What is printed can be read again."""
    limit = RateLimit(count=count, window_s=window_s)
    assert parse_rate(rate_text(limit)) == limit
