"""A host whose clock is wrong holds everything: that must not look like a slow daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from msgspec import structs

from remediator.flow.clock_watch import ClockWatch
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from tests.fakes.clock import StillClock
from tests.flow.rig import Ear, Rules, a_rule


@dataclass
class Stand:
    """A watch over a clock that stands still and a database that is so many seconds behind it."""

    behind_s: float = 0.0
    round_trip_s: float = 0.0
    failing: LedgerError | None = None
    clock: StillClock = field(default_factory=StillClock)
    ear: Ear = field(default_factory=Ear)
    shown: list[float] = field(default_factory=list)
    kept: list[NewEntry] = field(default_factory=list)

    async def append(self, *entries: NewEntry) -> None:
        """Keep entries, as the ledger does."""
        if self.failing is not None:
            raise self.failing
        self.kept.extend(entries)

    async def database_time(self) -> datetime:
        """Answer after half of the round trip, by the database's clock; the answer takes the other half."""
        await self.clock.sleep(self.round_trip_s / 2)
        answer = self.clock.now() - timedelta(seconds=self.behind_s)
        await self.clock.sleep(self.round_trip_s / 2)
        return answer

    def watch(self, *shelf_lives: int) -> ClockWatch:
        """Return the watch, with a rule of each shelf life in force."""
        names = (structs.replace(a_rule(), name=f"rule-{one}", shelf_life_s=one) for one in shelf_lives)
        return ClockWatch(
            database_time=self.database_time,
            show=self.shown.append,
            host="web-1",
            rulebook=Rules(rules=tuple(names)),
            ledger=self,
            clock=self.clock,
            observer=self.ear,
        )


@pytest.mark.parametrize("behind_s", [0.0, 9.9, -9.9])
async def test_clocks_that_agree_are_no_news(behind_s: float) -> None:
    """They are measured and shown, and nothing is said."""
    stand = Stand(behind_s)
    watch = stand.watch(120)
    assert (await watch.status()).detail == "not measured yet"
    await watch.look()
    assert stand.shown == [pytest.approx(behind_s)]
    assert (stand.ear.events, stand.kept, (await watch.status()).ok) == ([], [], True)


@pytest.mark.parametrize(
    ("behind_s", "words", "ready"),
    [
        (30.0, "the clock of web-1 is 30 s ahead of the database's: from 1 min on all is held", True),
        (-30.0, "the clock of web-1 is 30 s behind the database's: from 1 min on all is held", True),
        (-90.0, "is 1 min 30 s behind the database's: decisions of 1 rules are held (rule-60)", False),
        (-3600.0, "is 1 h behind the database's: decisions of 2 rules are held (rule-60, rule-120)", False),
    ],
)
async def test_clocks_that_differ_are_told_everywhere(behind_s: float, words: str, *, ready: bool) -> None:
    """Log, ledger, metric and readiness: how far, which way, what it does, and what to do."""
    stand = Stand(behind_s)
    watch = stand.watch(60, 120)
    await watch.look()
    (entry,) = stand.kept
    (event,) = stand.ear.events
    status = await watch.status()
    for sentence in (entry.summary, event.fields["advice"], status.detail):
        assert words in sentence
        assert "set the clocks right" in sentence
    assert (entry.kind, entry.data) == (EntryKind.CLOCKS, {"skew_s": behind_s, "host": "web-1"})
    assert (event.outcome, event.fields["skew_s"]) == ("skewed", behind_s)
    assert stand.shown == [pytest.approx(behind_s)]
    assert status.ok is ready


async def test_the_ledger_is_told_once_and_when_it_is_over() -> None:
    """The log says it at every look, the ledger at the beginning and at the end; around the bound nothing flaps."""
    stand = Stand(-30.0)
    watch = stand.watch()
    for behind_s in (-30.0, -30.0, -9.0, -11.0, -4.0, -4.0):
        stand.behind_s = behind_s
        await watch.look()
    assert stand.ear.outcomes("clocks") == ["skewed", "skewed", "skewed", "right"]
    assert [entry.summary for entry in stand.kept][1] == "the clocks of web-1 and of the database agree again, to 4.0 s"
    assert len(stand.kept) == 2


async def test_a_slow_answer_is_no_wrong_clock() -> None:
    """What the round trip could explain is not told."""
    stand = Stand(-11.0, round_trip_s=4.0)
    watch = stand.watch(120)
    await watch.look()
    assert stand.shown == [pytest.approx(-11.0)]
    assert (stand.ear.events, stand.kept) == ([], [])


async def test_what_could_not_be_written_is_written_at_the_next_look() -> None:
    """The ledger is away for a moment."""
    stand = Stand(-30.0, failing=LedgerError("unavailable", "away", retryable=True))
    watch = stand.watch(120)
    with pytest.raises(LedgerError):
        await watch.look()
    stand.failing = None
    await watch.look()
    await watch.look()
    assert len(stand.kept) == 1
