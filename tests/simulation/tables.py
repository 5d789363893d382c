"""Our tables in memory: rows, a journal for rolling back, numbers that never come back, and what statements ask often.

Whoever has written in a transaction goes on without a pause until its end (``connection`` sees to that), so nobody ever
sees what is not committed, and one journal is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Row = dict[str, Any]
Key = Any
BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OPEN = ("admitted", "claimed", "dispatched", "in_doubt", "verifying")
FLUSHED_S = 0.6
"""After so many seconds (three times wal_writer_delay) every commit is on the disk."""
PAUSED_IDLE_S = 10.0
"""After so many seconds the server ends a transaction whose client is silent."""


def encode(value: Any) -> str:
    """Return JSON text."""
    return msgspec.json.encode(value).decode()


def decode(text: str) -> Any:
    """Return plain data."""
    return msgspec.json.decode(text)


def moment(value: str | datetime | None) -> datetime | None:
    """Return a time that JSON has as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class Table:
    """Rows by key. Every change goes through these three, which note how to take it back."""

    def __init__(self, journal: list[Callable[[], object]]) -> None:
        """Begin empty."""
        self.rows: dict[Key, Row] = {}
        self._journal = journal

    def insert(self, key: Key, row: Row) -> Row:
        """Add a row; a key that is there already is a unique violation."""
        if key in self.rows:
            raise KeyError(key)
        self.rows[key] = row
        self._journal.append(lambda: self.rows.pop(key, None))
        return row

    def change(self, row: Row, **columns: Any) -> None:
        """Set columns of a row."""
        before = {name: row[name] for name in columns}
        row.update(columns)
        self._journal.append(lambda: row.update(before))

    def delete(self, key: Key) -> None:
        """Remove a row, if it is there."""
        row = self.rows.pop(key, None)
        if row is not None:
            self._journal.append(lambda: self.rows.update({key: row}))

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows."""
        return iter(list(self.rows.values()))


@dataclass(slots=True)
class Session:
    """One connection's side of the database: what its transaction holds. ``lasting``: its commit waits for the disk."""

    owner: object
    lasts: bool = True
    lasting: bool = True
    open: bool = False
    wrote: bool = False
    broken: bool = False
    locks: set[str] = field(default_factory=set)
    candidates: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Commit:
    """One that did not wait for the disk: how it is taken back, and the numbers that were drawn before it."""

    at: datetime
    undo: list[Callable[[], object]]
    drawn: dict[str, int]


class Database:
    """All tables. ``bell`` is rung for a NOTIFY; ``down``: nobody gets an answer."""

    TABLES = (
        *("signals", "inbox", "quarantine", "alerts", "incidents", "ties", "candidates", "actions", "ledger"),
        *("outbox", "evidence", "pauses", "seals", "duties", "gaps", "absent", "hushed", "monitoring"),
        "rules_held",
    )

    def __init__(self) -> None:
        """Make the tables, empty."""
        self.journal: list[Callable[[], object]] = []
        self._tables = {name: Table(self.journal) for name in self.TABLES}
        self.facts: dict[tuple[str, str, datetime, str], int] = {}
        self.numbers = dict.fromkeys((*self.TABLES, "fences"), 0)
        self.locks: dict[str, Session] = {}
        self.sessions: list[Session] = []
        self.wakes: list[str] = []
        self.bell: Callable[[str], None] = lambda stage: None
        self.seen: Callable[[], object] = lambda: None
        self.forgotten: Callable[[], object] = lambda: None
        self.volatile: list[Commit] = []
        self.drawn = dict(self.numbers)
        self.down = False
        self.pulse: Row = {"at": None, "before_at": None}
        for duty in ("lookout", "poller"):
            self._tables["duties"].rows[duty] = {
                "name": duty,
                "turn": 0,
                "owner": "",
                "due_at": BEGINNING,
                "began_at": None,
                "lease_until": None,
            }

    def __getattr__(self, name: str) -> Table:
        """Return a table by its name."""
        tables: dict[str, Table] = self.__dict__.get("_tables", {})
        if name not in tables:
            raise AttributeError(name)
        return tables[name]

    def now(self) -> datetime:
        """Return the database's time: no replica has another way to learn it."""
        return BEGINNING + timedelta(seconds=round(asyncio.get_running_loop().time(), 6))

    def next(self, sequence: str) -> int:
        """Draw a number; one that is drawn is gone, whatever becomes of the transaction."""
        self.numbers[sequence] += 1
        return self.numbers[sequence]

    # ------------------------------------------------------------------------------------------------- transactions

    def commit(self, session: Session) -> None:
        """Make what was written last."""
        wakes, self.wakes = self.wakes, []
        changed = bool(self.journal)
        if session.lasting and changed:
            self.volatile.clear()
        elif changed:
            self.volatile.append(Commit(self.now(), list(self.journal), self.drawn))
        if changed:
            self.drawn = dict(self.numbers)
        self.journal.clear()
        self.release(session)
        for stage in wakes:
            self.bell(stage)
        if changed:
            self.seen()

    def roll_back(self, session: Session) -> None:
        """Take back what was written, if anything was."""
        if session.wrote:
            for undo in reversed(self.journal):
                undo()
            self.journal.clear()
            self.wakes.clear()
        self.release(session)

    def release(self, session: Session) -> None:
        """Give back what a transaction held."""
        for name in session.locks:
            self.locks.pop(name, None)
        session.locks.clear()
        session.candidates.clear()
        session.open = session.wrote = False
        session.lasting = session.lasts

    def crash(self, *, skip: bool) -> int:
        """End as by an immediate stop; return how many commits are lost: the young ones that did not wait for the disk.

        Their numbers are given again, or (``skip``) some more are passed over: sequences are written down ahead.
        """
        self.cut(lambda session: True)
        young = self.now() - timedelta(seconds=FLUSHED_S)
        lost = [one for one in self.volatile if one.at > young]
        for one in reversed(lost):
            for undo in reversed(one.undo):
                undo()
        if lost and not skip:
            self.numbers.update(lost[0].drawn)
        elif lost:
            self.numbers.update({name: number + 32 for name, number in self.numbers.items()})
        self.drawn = dict(self.numbers)
        self.volatile.clear()
        self.forgotten()
        return len(lost)

    def cut(self, wanted: Callable[[Session], bool]) -> None:
        """End sessions as the server does whose client is gone: rolled back."""
        for session in [one for one in self.sessions if wanted(one)]:
            self.roll_back(session)
            session.broken = True
            self.sessions.remove(session)

    def take_lock(self, name: str, session: Session) -> bool:
        """Take an advisory lock until the transaction's end, if nobody else has it."""
        if self.locks.setdefault(name, session) is not session:
            return False
        session.locks.add(name)
        return True

    def is_locked(self, candidate: int, by: Session) -> bool:
        """Tell whether another transaction has locked the row of a candidate."""
        return any(candidate in one.candidates for one in self.sessions if one is not by)

    # ---------------------------------------------------------------------------------------------- asked very often

    def ties_of(self, incident: int | None) -> list[Row]:
        """Return the alerts' states that belong to an incident."""
        ties = (tie for tie in self.ties if tie["incident"] == incident)
        found = (self.alerts.rows.get((tie["source"], tie["fingerprint"])) for tie in ties)
        return [alert for alert in found if alert is not None]

    def firing(self, incident: int | None) -> int:
        """Count the alerts of an incident that fire."""
        return sum(alert["status"] == "firing" for alert in self.ties_of(incident))

    def incidents_of(self, ended: set[tuple[str, str]]) -> set[int]:
        """Return the incidents that alerts belong to."""
        return {tie["incident"] for tie in self.ties if (tie["source"], tie["fingerprint"]) in ended}

    def pause_on(self, namespace: str, rule: str, target: str) -> Row | None:
        """Return the pause in force that lasts longest, of those that stop a rule on a target."""
        keys = {"global": "", "namespace": namespace, "rule": rule, "target": target}
        found = [one for one in self.in_force() if one["key"] == keys[one["scope"]]]
        return max(found, key=lambda one: (one["until"] is None, one["until"] or one["since"]), default=None)

    def in_force(self) -> list[Row]:
        """Return the pauses that stop something now."""
        now = self.now()
        return [one for one in self.pauses if not one["lifted_at"] and (one["until"] is None or one["until"] > now)]

    def hush_on(self, source: str, fingerprint: str, incident: int | None) -> Row | None:
        """Return the silence over all that fires of an alert and its incident, if all of it is silent."""
        own = {(source, fingerprint)} | {
            (tie["source"], tie["fingerprint"]) for tie in self.ties if tie["incident"] == incident
        }
        firing = [key for key in own if (alert := self.alerts.rows.get(key)) and alert["status"] == "firing"]
        hushes = [self._hush(key) for key in firing]
        if not hushes or any(one is None for one in hushes):
            return None
        found = min((one for one in hushes if one), key=lambda one: one["since"])
        return {name: found[name] for name in ("source", "fingerprint", "how", "by", "since")}

    def _hush(self, key: tuple[str, str]) -> Row | None:
        hush = self.hushed.rows.get(key)
        if hush is None:
            return None
        late = hush["seen_at"] + timedelta(minutes=10)
        told = (
            one["last_seen_at"] > late
            for one in self.signals
            if (one["source"], one["fingerprint"], one["status"]) == (*key, "firing")
        )
        return None if any(told) else hush

    def say(self, entries: list[Row]) -> None:
        """Append to the ledger."""
        for one in entries:
            seq = self.next("ledger")
            entry = {
                "seq": seq,
                "at": self.now(),
                **{name: one.get(name) for name in ("kind", "summary", "incident", "action")},
                **{name: one.get(name) or "" for name in ("rule", "target_key")},
                "reasons": one.get("reasons") or [],
                "data": encode(one.get("data") or {}),
                "actor": one.get("actor") or "remediator",
            }
            self.ledger.insert(seq, entry)
