"""The runbook's threshold table, row by row, with real parts; and the reading of the ledger that judges it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from remediator.model.entry import Entry, EntryKind
from tests.acceptance import alertmanager, prometheus
from tests.acceptance.table import stories
from tests.acceptance.table.stage import Stage
from tests.acceptance.table.verdicts import Expected, closing, line_of, shown
from tests.database_server import BLANK, DatabaseServer

MISSING = alertmanager.PROGRAM is None or prometheus.PROGRAM is None
SCALE = Expected(rule="cpu-usage", remedy="scale", returns=True)
NOW = datetime(2026, 3, 14, 3, 12, 40, tzinfo=UTC)
TARGET = "deployment/backstage/backstage"


@pytest.fixture
def portal_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of a database to be repaired, on a server of its own: it is filled up."""
    folder = tmp_path_factory.mktemp("portal")
    program = (sys.executable, "-m", "tests.adapters.databases.plain_server")
    with DatabaseServer(folder, migrated=False, program=program) as server:
        yield server.create("portal", BLANK)
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.alertmanager
@pytest.mark.timeout(240)
@pytest.mark.skipif(MISSING, reason=f"{prometheus.MISSING}; {alertmanager.MISSING}")
async def test_the_threshold_table_row_by_row(tmp_path: Path, database: str, portal_database: str) -> None:
    """Warning, critical, one action, recovery, return; evidence where it is only looked; a yes where one is asked for.

    Polled and posted alerts are one incident each. And when Prometheus is gone, people hear of it.
    """
    async with Stage.playing(tmp_path, database, portal_database) as stage:
        lines, missing = await stories.play(stage)
        assert closing(lines, missing) == ["acceptance: all 6 rows as they must be"], "\n".join(shown(lines))
        await stage.blind()
        assert await stage.daemon.stop() == 0
    told = [line["outcome"] for line in stage.daemon.lines() if line.get("stage") == "poll"]
    assert {"row_unknown", "fires", "rises", "ends", "calls"} <= set(told)


# --------------------------------------------------------------------------------------------------------- the reading


def entry(number: int, kind: EntryKind, incident: int | None = 1, action: int | None = None, **data: Any) -> Entry:
    """Return one entry, a second after the one before."""
    return Entry(
        seq=number,
        at=NOW + timedelta(seconds=number),
        kind=kind,
        summary="returned by A2" if kind is EntryKind.RETURN_ENDED else str(kind),
        incident=incident,
        action=action,
        rule="cpu-usage",
        target_key=TARGET,
        reasons=(),
        data=data,
        actor="remediator",
    )


def alert(name: str, severity: str, source: str) -> dict[str, Any]:
    """Return what the ledger keeps of an alert."""
    return {"labels": {"alertname": name, "severity": severity}, "source": source}


POLL = "prometheus/cpu-usage"
GOOD = (
    entry(1, EntryKind.ALERT_FIRING, None, **alert("HighCPUUsage", "warning", "alertmanager")),
    entry(2, EntryKind.INCIDENT_OPENED),
    entry(3, EntryKind.ALERT_FIRING, None, **alert("cpu-usage", "warning", POLL)),
    entry(4, EntryKind.DECISION_ACT, action=1, cause="signal"),
    entry(5, EntryKind.ACTION_DISPATCHED, action=1),
    entry(6, EntryKind.ACTION_APPLIED, action=1),
    entry(7, EntryKind.ALERT_CHANGED, None, **alert("cpu-usage", "critical", POLL)),
    entry(8, EntryKind.ACTION_VERIFIED, action=1, verdict="recovered", seconds=12.04, remedy="scale"),
    entry(9, EntryKind.INCIDENT_RESOLVED),
    entry(10, EntryKind.DECISION_ACT, action=2, cause="return"),
    entry(11, EntryKind.ACTION_DISPATCHED, action=2),
    entry(12, EntryKind.ACTION_APPLIED, action=2),
    entry(13, EntryKind.RETURN_ENDED, action=1),
)


def test_a_row_as_it_must_be() -> None:
    """Its moments, the seconds to recovery, and the last line."""
    line = line_of(SCALE, GOOD)
    assert line.faults == ()
    cells = ["03:12:43", "03:12:47", "scale", "the rule", "03:12:46", "12.0 s", "03:12:53", "#1", TARGET]
    assert line.cells == ["cpu-usage", *cells]
    assert closing([line]) == ["acceptance: all 1 rows as they must be"]


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (1, "nothing came by alertmanager"),
        (2, "no incident was opened"),
        (3, "it was never told as warning"),
        (5, "0 changes were made"),
        (7, "it was never told as critical"),
        (8, "no verdict says that it has recovered"),
        (8, "the verdict does not name scale as what has helped"),
        (9, "the incident was not closed"),
        (13, "what was lent did not go back"),
    ],
)
def test_what_is_missing_is_told(without: int, words: str) -> None:
    """Each part of the way by its absence."""
    line = line_of(SCALE, [one for one in GOOD if one.seq != without])
    assert any(words in fault for fault in line.faults)
    assert closing([line])[-1].endswith("not as it must be")


def test_what_is_too_much_is_told() -> None:
    """A second incident, a second change, an approval that nobody should have asked for; critical before a warning."""
    second = (entry(20, EntryKind.ACTION_DISPATCHED, action=3), entry(21, EntryKind.ACTION_APPLIED, action=3))
    more = (entry(22, EntryKind.INCIDENT_OPENED, 2), entry(23, EntryKind.APPROVAL), *second)
    words = " ".join(line_of(SCALE, [*GOOD, *more]).faults)
    for told in ("2 incidents were opened", "2 changes were made", "though nobody should be"):
        assert told in words
    early = [structs.replace(one, at=NOW) if one.seq == 7 else one for one in GOOD]
    assert line_of(SCALE, early).faults == ("cpu-usage: it was critical before it was a warning",)


def test_a_row_that_only_looks() -> None:
    """Evidence and no change; what was not done in time is told beside the rows."""
    looks = Expected(rule="cpu-usage")
    kept = entry(5, EntryKind.EVIDENCE, action=1)
    found = line_of(looks, [*(one for one in GOOD if one.seq in {1, 2, 3, 7, 9}), kept])
    assert (found.faults, found.action) == ((), "investigate")
    assert closing([found], ["not so after 45 s"]) == [
        "MISSING: not so after 45 s",
        "acceptance: 1 not as it must be",
    ]
    assert line_of(looks, GOOD).faults == (
        "cpu-usage: no evidence was kept",
        "cpu-usage: 1 changes were made: action.applied",
    )
