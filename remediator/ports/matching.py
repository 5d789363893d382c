"""The match stage's bracket: inbox rows in, alert states and candidates out, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from remediator.model.entry import NewEntry
from remediator.model.incident import Candidate
from remediator.model.signal import AlertState, StoredSignal

AlertKey = tuple[str, str]


class NewCandidate(Struct, frozen=True, kw_only=True):
    """A signal under a rule that it matches; it waits for its facts next."""

    rule: str
    source: str
    fingerprint: str
    labels: dict[str, str]
    severity: str
    priority: int


class Matched(Struct, frozen=True, kw_only=True):
    """What a batch of signals comes to: states by alert, candidates, entries, and the alerts that have ended.

    ``lease_s``: for so many seconds the candidates belong to whoever matches, which assesses them at once; 0: they wait
    for any replica to take them.
    """

    states: tuple[AlertState, ...] = ()
    candidates: tuple[NewCandidate, ...] = ()
    entries: tuple[NewEntry, ...] = ()
    resolved: tuple[AlertKey, ...] = ()
    lease_s: float = 0.0


class MatchReport(Struct, frozen=True, kw_only=True):
    """What was committed: how many signals were judged, and the candidates that are leased for whoever matched them.

    One that waited under its rule already is not among them. ``busy``: nothing was, for others were matching.
    """

    count: int = 0
    leased: tuple[Candidate, ...] = ()
    busy: bool = False


Judge = Callable[[tuple[StoredSignal, ...], dict[AlertKey, AlertState]], Matched]


JudgeAgain = Callable[[tuple[AlertState, ...]], tuple[NewCandidate, ...]]


class MatchStore(Protocol):
    """Runs the pure judgement inside the transaction that takes the signals out of the inbox."""

    async def match(self, limit: int, judge: Judge) -> MatchReport:
        """Match up to ``limit`` signals in the order of arrival."""
        ...

    async def match_again(self, after: AlertKey, limit: int, judge: JudgeAgain) -> AlertKey | None:
        """Put up to ``limit`` firing alerts, those after a key, before the judge; return the last key, None at the end.

        An alert that waits under a rule already is not made to wait twice.
        """
        ...

    async def rules_held(self) -> Mapping[str, str]:
        """Return the rules that all that fires has been held against, by name, each with the hash of what it said."""
        ...

    async def hold_rules(self, digests: Mapping[str, str]) -> None:
        """Remember that all that fires has been held against these rules, and forget all others."""
        ...
