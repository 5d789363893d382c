"""Freezes in rule files: what is written is what the core gets, and every fault has its place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from remediator.model.freeze import Freeze
from tests.rulebook.writing import RULE, faults, loaded

GOOD = """
freezes:
  - name: nights
    reason: the batch jobs run
    cron: "0 22 * * MON-FRI"
    length: 8h
    timezone: Europe/Berlin
    namespaces: [backstage]
  - name: holidays
    begins: "2026-12-24T00:00:00+01:00"
    ends: "2027-01-02T00:00:00+01:00"
"""


def test_both_ways_to_write_one() -> None:
    """Again and again, and once."""
    assert loaded(RULE + GOOD).rules.freezes == (
        Freeze(
            name="nights",
            reason="the batch jobs run",
            cron="0 22 * * MON-FRI",
            timezone="Europe/Berlin",
            length_s=8 * 3600,
            namespaces=("backstage",),
            place="r.yaml:9",
        ),
        Freeze(
            name="holidays",
            begins=datetime(2026, 12, 23, 23, tzinfo=UTC),
            ends=datetime(2027, 1, 1, 23, tzinfo=UTC),
            place="r.yaml:15",
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: a}", "a freeze has 'cron' and 'length', or 'begins' and 'ends'"),
        ("{name: a, cron: '0 2 * * *'}", "write one of the two pairs"),
        ("{name: a, cron: '0 2 * * *', length: 1h, begins: '2026-01-01T00:00:00Z'}", "write one of the two pairs"),
        ("{name: a, cron: '0 2 * *', length: 1h}", "is no cron expression"),
        ("{name: a, cron: '0 25 * * *', length: 1h}", "is no cron expression"),
        ("{name: a, cron: '0 2 * * *', length: 0}", "a freeze of no length freezes nothing"),
        ("{name: a, cron: '0 2 * * *', length: 1h, timezone: Berlin}", "is no time zone; write its IANA name"),
        ("{name: a, cron: '0 2 * * *', length: 1h, timezone: ../../etc/passwd}", "is no time zone"),
        ("{name: a, begins: '2026-01-02T00:00:00Z', ends: '2026-01-01T00:00:00Z'}", "is over before it begins"),
        ("{name: a, begins: '2026-01-02', ends: '2026-01-03T00:00:00Z'}", "is no moment"),
        ("{name: a, begins: '2026-01-02T00:00:00', ends: '2026-01-03T00:00:00Z'}", "has no time zone"),
        ("{name: a, begins: 2026, ends: '2026-01-03T00:00:00Z'}", "a moment is a text; put it in quotes"),
        ("{name: a, begins: '2026-01-02T00:00:00Z', ends: '2029-01-01T00:00:00Z'}", "lasts longer than a year"),
        ("{cron: '0 2 * * *', length: 1h}", "'name' is missing"),
        ("{name: a, crom: '0 2 * * *', length: 1h}", "there is no field 'crom' here; did you mean 'cron'?"),
        ("{name: a, cron: '0 2 * * *', length: 1h, namespaces: []}", "this list is empty"),
    ],
)
def test_faults_have_a_place_and_a_way_out(text: str, said: str) -> None:
    """Line 8 is the entry."""
    found = faults(f"{RULE}freezes:\n  - {text}\n")
    assert any(line.startswith("8:") and said in line for line in found), found


def test_a_name_is_taken_once() -> None:
    """Over all freezes; a rule may have the same name."""
    rule = RULE.replace("name: one", "name: nights")
    assert faults(rule + GOOD) == []
    found = faults(rule + GOOD + "  - {name: nights, cron: '0 2 * * *', length: 1h}\n")
    assert any("the name 'nights' is taken by the freeze at r.yaml:9" in line for line in found), found
