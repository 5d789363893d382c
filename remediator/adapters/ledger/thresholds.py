"""The threshold table's side of the ledger: who polls, how every series stands, and what a tick leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.measure import SOURCE, Level, Measure, Phase, RowState, SeriesState
from remediator.ports.measuring import Held, IncidentMeasures, Message, PollTurn, RowSummary, Tick

DUTY = "poller"
PART = 500
"""How many states are written at once."""

_rows = msgspec.json.Decoder(tuple[RowState, ...])
_series = msgspec.json.Decoder(tuple[SeriesState, ...])


@dataclass(frozen=True, slots=True)
class _Written:
    """A tick as the statements take it."""

    rows: str
    changed: str
    signals: str


class LedgerThresholdStore:
    """Implements ports.measuring.ThresholdStore."""

    def __init__(self, pool: LedgerPool, leases: LedgerPool) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo."""
        self._pool = pool
        self._leases = leases

    async def take(self, owner: str, lease_s: float, interval_s: float) -> PollTurn | None:
        """Become or stay the poller."""
        async with statement(self._leases) as connection:
            row = await connection.fetchrow(QUERIES["take_poll"], DUTY, owner, lease_s, interval_s)
        return PollTurn(number=row["turn"], now=row["now"], due=row["due"]) if row is not None else None

    async def load(self) -> Held:
        """Return all state."""
        async with statement(self._leases) as connection:
            (held,) = await connection.fetch(QUERIES["held_thresholds"])
        return await asyncio.to_thread(_held, held["rows"], held["series"])

    async def commit(self, owner: str, turn: PollTurn, tick: Tick) -> bool:
        """Store a tick, if it is still ours."""
        written = await asyncio.to_thread(_written, tick)
        async with transaction(self._pool) as connection:
            if not await connection.fetchval(QUERIES["keep_poll"], DUTY, owner, turn.number):
                return False
            await _put_states(connection, tick, written)
            if tick.signals:
                await connection.fetch(QUERIES["put_signals"], written.signals, len(tick.signals))
                await connection.execute(QUERIES["wake"], "match")
            if tick.entries:
                await connection.execute(QUERIES["append_entries"], rows.entries_json(tick.entries))
            if tick.message is not None:
                message = {"incident": None, "payload": _payload(tick.message)}
                await connection.execute(QUERIES["put_outbox"], rows.as_json([message]))
                await connection.execute(QUERIES["wake"], "notify")
        return True

    async def measures(self, incidents: Sequence[int], fresh_s: float) -> Mapping[int, IncidentMeasures]:
        """Return how the series of these incidents' alerts stand."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["measures_of"], list(incidents), fresh_s)
        measures: dict[int, list[Measure]] = {}
        others: dict[int, int] = {}
        for row in found:
            if row["name"] is None:
                others[row["incident"]] = others.get(row["incident"], 0) + 1
            else:
                measures.setdefault(row["incident"], []).append(_measure(row))
        return {
            incident: IncidentMeasures(measures=tuple(known), others=others.get(incident, 0))
            for incident, known in measures.items()
        }


class LedgerThresholdView:
    """Implements ports.measuring.ThresholdView."""

    def __init__(self, pool: LedgerPool) -> None:
        """Read from ``pool``."""
        self._pool = pool

    async def rows(self) -> tuple[RowSummary, ...]:
        """Return the rows that are or were polled, by name."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["summarize_thresholds"])
        return tuple(RowSummary(**dict(row)) for row in found)


async def _put_states(connection: Connection, tick: Tick, written: _Written) -> None:
    if tick.rows:
        await connection.execute(QUERIES["put_threshold_rows"], written.rows)
    if tick.changed:
        await connection.execute(QUERIES["put_threshold_series"], written.changed, SOURCE)
    if tick.forgotten:
        sources = [one.source for one in tick.forgotten]
        names = [one.fingerprint for one in tick.forgotten]
        await connection.execute(QUERIES["forget_threshold_series"], sources, names)
    if tick.retired:
        gone = list(tick.retired)
        await connection.execute(QUERIES["retire_threshold_rows"], gone, [SOURCE + name for name in gone])


def _held(given_rows: str, given_series: str) -> Held:
    return Held(rows=_rows.decode(given_rows), series=_series.decode(given_series))


def _many(items: Sequence[Any]) -> str:
    """Return a JSON list, written part by part: the event loop gets its turn in between."""
    parts = (rows.as_json(items[start : start + PART])[1:-1] for start in range(0, len(items), PART))
    return f"[{','.join(parts)}]"


def _written(tick: Tick) -> _Written:
    # In one order everywhere: whoever stores the same alerts at the same time would otherwise deadlock with us.
    ordered = sorted(tick.signals, key=lambda one: (one.source, one.fingerprint, one.status, one.starts_at))
    return _Written(rows=rows.as_json(tick.rows), changed=_many(tick.changed), signals=_many(ordered))


def _measure(row: rows.Row) -> Measure:
    return Measure(
        row=row["name"],
        phase=Phase(row["phase"]),
        level=Level(row["level"]) if row["level"] else None,
        level_at=row["level_at"],
        calm_since=row["calm_since"],
        value=row["value"],
        unknown=row["unknown"],
    )


def _payload(message: Message) -> dict[str, Any]:
    return {
        "incident": None,
        "title": "remediator and the threshold table",
        "severity": "P2" if message.urgent else "P4",
        "target": "",
        "rule": "",
        "action": None,
        "message": message.text,
        "urgent": message.urgent,
    }
