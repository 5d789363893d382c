"""A storm of alerts on a real daemon: none lost, answers and memory bounded, fair, and next to nothing is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.length import LONG
from tests.faults.storm import FULL, GUST, SHORT, Figures, Size, faults, play, render

WELL = Figures(
    size=FULL,
    took_s=60.0,
    drained_s=2.0,
    answers=Counter({200: 501}),
    p99_ms=60.0,
    slowest_ms=190.0,
    grown_mb=42.0,
    lost=0,
    incidents=501,
    writes=1,
    looks=10,
    read=11,
    storms=1,
    p1_s=0.1,
    overtaken=5,
    displaced=0,
)


@pytest.mark.slow
@pytest.mark.timeout(600 if LONG else 120)
@pytest.mark.parametrize(
    "size", (FULL, GUST) if LONG else (SHORT,), ids=lambda size: f"{size.alerts}-{size.seconds:g}s"
)
async def test_a_storm(tmp_path: Path, size: Size) -> None:
    """Everything is taken and decided, the P1 in its midst first, and the breaker trips before more than a handful."""
    figures = await play(tmp_path, size)
    print(render(figures))
    assert faults(figures) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"lost": 1}, "1 alerts were lost"),
        ({"answers": Counter({200: 500, 503: 1})}, "answers other than 200"),
        ({"p99_ms": 2001.0}, "p99 of the answers"),
        ({"grown_mb": 151.0}, "grew by"),
        ({"incidents": 500}, "500 incidents"),
        ({"writes": 7}, "7 changes"),
        ({"looks": 11}, "11 targets were looked at"),
        ({"read": 12}, "logs of 12 pods"),
        ({"storms": 2}, "2 times for the storm"),
        ({"p1_s": 5.1}, "waited 5.1 s"),
        ({"overtaken": 0}, "after all that came before it"),
        ({"displaced": 65}, "left by 65 places"),
    ],
)
def test_what_a_storm_must_not_do_is_seen(changes: dict[str, Any], fault: str) -> None:
    """The judge of the figures sees each of them; and has nothing to say where all is well."""
    assert faults(WELL) == []
    (found,) = faults(replace(WELL, **changes))
    assert fault in found


def test_the_figures_are_told() -> None:
    """Each by a line."""
    lines = render(WELL).splitlines()
    assert lines[0] == "storm"
    assert "10000 in 500 groups within 60 s (167/s)" in lines[1]
    assert lines[2].split() == ["lost", "0"]
