"""The threshold table on the status screen."""

from __future__ import annotations

from datetime import UTC, datetime

from remediator.cli.paint import Paint
from remediator.cli.status import watched
from remediator.ports.measuring import RowSummary

LOOKED = datetime(2026, 3, 14, 3, 12, 45, tzinfo=UTC)
CPU = RowSummary(
    row="cpu-usage",
    looked_at=LOOKED,
    unknown_since=None,
    unknown_why="",
    ok=12,
    pending=1,
    warning=2,
    critical=0,
    unknown=3,
)
BLIND = RowSummary(
    row="error-rate",
    looked_at=LOOKED,
    unknown_since=LOOKED,
    unknown_why="timeout: \x1b[31mp:9090",
    ok=0,
    pending=0,
    warning=0,
    critical=0,
    unknown=5,
)


def test_each_row_is_a_line() -> None:
    """How many series stand how, when it was looked, why nothing is known; foreign words steer no terminal."""
    _, head, _, cpu, blind = watched((CPU, BLIND), Paint(on=False))
    assert head.split()[:3] == ["THRESHOLD", "ROW", "OK"]
    assert cpu.split()[:6] == ["cpu-usage", "12", "1", "2", "0", "3"]
    assert "2026-03-14 03:12:45" in cpu
    assert "timeout" in blind
    assert "since 2026-03-14 03:12:45" in blind
    assert "\x1b" not in blind


def test_where_nothing_is_polled_nothing_is_said() -> None:
    """No empty table."""
    assert watched((), Paint(on=False)) == []
