"""What the ledger must tell of each row of the table: read from its entries alone, said as a line and as faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct, structs

from remediator.cli.paint import table
from remediator.model.entry import Entry, EntryKind
from tests.acceptance.table.rulefiles import ALERTS

HEAD = ["ROW", "WARNING", "CRITICAL", "ACTION", "BY", "AT", "RECOVERED", "RETURNED", "INCIDENT", "TARGET"]
NONE = "-"
POLLED = "prometheus"
POSTED = "alertmanager"


class Expected(Struct, frozen=True, kw_only=True):
    """What a row must do. ``rule``: its name. ``remedy``: its action, "" for looking only. ``asks``: a person says yes.

    ``levels``: it is polled, over warning and over critical. ``returns``: what was lent goes back.
    """

    rule: str
    remedy: str = ""
    asks: bool = False
    levels: bool = True
    returns: bool = False


class Line(Struct, frozen=True, kw_only=True):
    """One row as it went: moments (None: it did not happen), and what is not as it must be."""

    rule: str
    incident: int | None = None
    warning: datetime | None = None
    critical: datetime | None = None
    action: str = ""
    by: str = ""
    acted: datetime | None = None
    recovered_s: float | None = None
    returned: datetime | None = None
    target: str = ""
    faults: tuple[str, ...] = ()

    @property
    def cells(self) -> list[str]:
        """Return the line of the table."""
        recovered = NONE if self.recovered_s is None else f"{self.recovered_s:.1f} s"
        return [
            self.rule,
            *(_clock(moment) for moment in (self.warning, self.critical)),
            self.action or NONE,
            self.by or NONE,
            _clock(self.acted),
            recovered,
            _clock(self.returned),
            NONE if self.incident is None else f"#{self.incident}",
            self.target or NONE,
        ]


def line_of(expected: Expected, entries: Sequence[Entry]) -> Line:
    """Return how a row went by the whole ledger."""
    opened = [one for one in entries if one.kind is EntryKind.INCIDENT_OPENED and one.rule == expected.rule]
    if not opened:
        return Line(rule=expected.rule, faults=(f"{expected.rule}: no incident was opened",))
    number = opened[0].incident
    own = [one for one in entries if one.incident == number]
    levels = [one for one in entries if one.kind in LEVELS and _labels(one).get("alertname") == expected.rule]
    warning = next((one for one in levels if _labels(one).get("severity") == "warning"), None)
    critical = next((one for one in levels if _labels(one).get("severity") == "critical"), None)
    changes = _changes(own)
    first = changes[:1] if expected.remedy else [one for one in own if one.kind is EntryKind.EVIDENCE][:1]
    verdict = next((one for one in own if first and _proves(one, first[0])), None)
    returned = next((one for one in own if one.kind is EntryKind.RETURN_ENDED), None)
    found = Line(
        rule=expected.rule,
        incident=number,
        warning=_at(warning),
        critical=_at(critical),
        action=(expected.remedy or "investigate") if first else "",
        by=_who(own, first),
        acted=_at(first[0] if first else None),
        recovered_s=_number(verdict, "seconds"),
        returned=_at(returned) if returned is not None and returned.summary.startswith("returned by") else None,
        target=opened[0].target_key,
    )
    words = [*_faults(expected, found, own, len(opened)), *_order(expected, found, entries)]
    return structs.replace(found, faults=tuple(f"{expected.rule}: {word}" for word in words))


LEVELS = (EntryKind.ALERT_FIRING, EntryKind.ALERT_CHANGED)


def shown(lines: Iterable[Line]) -> list[str]:
    """Return the table."""
    return table([one.cells for one in lines], HEAD)


def closing(lines: Sequence[Line], others: Sequence[str] = ()) -> list[str]:
    """Return the last lines: what was missing, and the verdict."""
    faults = [*(fault for one in lines for fault in one.faults), *others]
    told = [f"MISSING: {fault}" for fault in faults]
    if faults:
        return [*told, f"acceptance: {len(faults)} not as it must be"]
    return [f"acceptance: all {len(lines)} rows as they must be"]


def _faults(expected: Expected, found: Line, own: Sequence[Entry], incidents: int) -> Iterable[str]:
    """Say what the incident lacks, or has too much of."""
    kinds = {one.kind for one in own}
    if incidents != 1:
        yield f"{incidents} incidents were opened, one is right: both roads tell of the same"
    if EntryKind.INCIDENT_RESOLVED not in kinds:
        yield "the incident was not closed"
    if EntryKind.EVIDENCE not in kinds and expected.remedy != "scale":
        yield "no evidence was kept"
    done = _changes(own)
    if len(done) != (1 if expected.remedy else 0):
        yield f"{len(done)} changes were made: {'; '.join(one.summary for one in done)}"
    if expected.asks != (EntryKind.APPROVAL in kinds):
        yield "a person was not asked, or though nobody should be"
    if expected.remedy:
        yield from _helped(expected, found, own)


def _helped(expected: Expected, found: Line, own: Sequence[Entry]) -> Iterable[str]:
    """Say what of the proof is missing, and of the way back."""
    if found.recovered_s is None:
        yield "no verdict says that it has recovered"
    if not any(_data(one, "remedy") == expected.remedy for one in own if one.kind is EntryKind.ACTION_VERIFIED):
        yield f"the verdict does not name {expected.remedy} as what has helped"
    if expected.returns and found.returned is None:
        yield "what was lent did not go back"


def _order(expected: Expected, found: Line, entries: Sequence[Entry]) -> Iterable[str]:
    """Say what of warning and critical is missing, and which road was silent."""
    if not expected.levels:
        return
    for level, moment in (("warning", found.warning), ("critical", found.critical)):
        if moment is None:
            yield f"it was never told as {level}"
    if found.warning and found.critical and found.warning > found.critical:
        yield "it was critical before it was a warning"
    told = {(str(_data(one, "source")).partition("/")[0], _labels(one).get("alertname")) for one in entries}
    for road in ((POLLED, expected.rule), (POSTED, ALERTS[expected.rule][0])):
        if road not in told:
            yield f"nothing came by {road[0]}"


def _proves(entry: Entry, acted: Entry) -> bool:
    recovered = _data(entry, "verdict") == "recovered"
    return entry.kind is EntryKind.ACTION_VERIFIED and recovered and entry.action == acted.action


def _changes(own: Sequence[Entry]) -> list[Entry]:
    """Return what says that a change was stored, without those that bring back what was lent."""
    sent = {one.action for one in own if one.kind is EntryKind.ACTION_DISPATCHED and not _returns(one, own)}
    return [one for one in own if one.kind is EntryKind.ACTION_APPLIED and one.action in sent]


def _returns(entry: Entry, own: Sequence[Entry]) -> bool:
    """Tell whether a change is a step of a return."""
    acts = (one for one in own if one.kind is EntryKind.DECISION_ACT and one.action == entry.action)
    return any(_data(one, "cause") == "return" for one in acts)


def _who(own: Sequence[Entry], first: Sequence[Entry]) -> str:
    said = next((one.actor for one in own if one.kind is EntryKind.APPROVAL), "")
    return said or ("the rule" if first else "")


def _labels(entry: Entry) -> dict[str, str]:
    labels = entry.data.get("labels")
    return labels if isinstance(labels, dict) else {}


def _data(entry: Entry, key: str) -> object:
    return entry.data.get(key)


def _number(entry: Entry | None, key: str) -> float | None:
    value = entry.data.get(key) if entry is not None else None
    return float(value) if isinstance(value, int | float) else None


def _at(entry: Entry | None) -> datetime | None:
    return entry.at if entry is not None else None


def _clock(moment: datetime | None) -> str:
    return NONE if moment is None else moment.strftime("%H:%M:%S")
