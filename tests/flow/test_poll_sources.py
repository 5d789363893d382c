"""A row with several sources is polled by the one whose series Prometheus has, and stays with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from remediator.core.sources import PROBE
from remediator.flow.poll import Poll
from remediator.model.measure import Answer, Sample, Unseen
from remediator.model.rule import Source, Threshold
from remediator.ports.measuring import Query
from tests.flow.measured import ROW, SIGNS, Measured, Says, a_row, measured

ISTIO = Source(name="istio", expr="max(istio)", needs=(("istio",),))
TRAEFIK = Source(name="traefik", expr="max(traefik)", needs=(("traefik",),))
TWO = Threshold(
    expr=ISTIO.expr, unit="percent", warning=70, critical=85, for_s=0, sources=(ISTIO, TRAEFIK), pinned=False
)


@dataclass
class Has(Says):
    """A Prometheus that has the series of these metrics, or cannot say which."""

    metrics: set[str] = field(default_factory=set)
    mute: Unseen | None = None

    def _answer(self, query: Query) -> Answer:
        if PROBE in query.expr and query.expr != SIGNS:
            numbers = [n for n, name in enumerate(("istio", "traefik")) if name in self.metrics]
            samples = tuple(Sample(labels={PROBE: str(number)}, value=3.0) for number in numbers)
            return Answer(problem=self.mute) if self.mute else Answer(samples=samples)
        asked = next((name for name in self.metrics if f"max({name})" == query.expr), None)
        return super()._answer(query) if asked or query.expr == SIGNS else Answer()

    def rows(self) -> list[str]:
        """What was asked for since the last time, without the questions about Prometheus and its metrics."""
        found = [one.expr for one in self.asked if one.expr.startswith("max(")]
        self.asked.clear()
        return found


@asynccontextmanager
async def having(database: str, *metrics: str, row: Threshold = TWO) -> AsyncIterator[tuple[Measured, Has]]:
    """Poll such a Prometheus."""
    async with measured(database, a_row(threshold=row)) as m:
        has = Has(values={"backstage": 10.0}, metrics=set(metrics))
        m.says, m.watch = has, replace(m.watch, prometheus=has)
        m.poll = Poll(m.r.parts, m.poll.bells, m.watch)
        yield m, has


async def unknown(m: Measured) -> str | None:
    """Why nothing is known of the row, if so."""
    why: str | None = await m.r.sql.fetchval("SELECT unknown_why FROM remediator.threshold_rows WHERE name = $1", ROW)
    return why


async def test_the_one_that_is_there_is_asked(database: str) -> None:
    """Prometheus is asked once which that is; then the row is asked for by its expression alone."""
    async with having(database, "traefik") as (m, has):
        await m.tick()
        await m.tick()
        assert sum(PROBE in one.expr and one.expr != SIGNS for one in has.asked) == 1
        assert has.rows() == [TRAEFIK.expr, TRAEFIK.expr]
        assert m.r.ear.outcomes("poll").count("measured_by") == 1


async def test_it_stays_with_it(database: str) -> None:
    """A better one that comes later would call the same workload by other labels."""
    async with having(database, "traefik") as (m, has):
        await m.tick()
        has.metrics.add("istio")
        await m.tick()
        assert has.rows() == [TRAEFIK.expr, TRAEFIK.expr]


async def test_one_that_has_dried_up_is_left_after_a_while(database: str) -> None:
    """Not at once: a scrape that fails is no reason to measure elsewhere."""
    async with having(database, "istio", "traefik") as (m, has):
        await m.tick()
        has.metrics.remove("istio")
        await m.tick()
        await m.tick()
        assert has.rows() == [ISTIO.expr, ISTIO.expr, ISTIO.expr]
        assert (await unknown(m) or "").startswith("empty")
        poll = m.poll
        await m.age(601)
        # Another replica would choose anew in any case; this one remembers its choice.
        m.poll = poll
        poll._memory = None  # noqa: SLF001 - what it remembers was made older in the database
        await m.tick()
        assert has.rows() == [TRAEFIK.expr]
        assert not await unknown(m)


async def test_none_is_there(database: str) -> None:
    """The row is unknown and says which it looked for; no expression is asked in vain."""
    async with having(database) as (m, has):
        await m.tick()
        assert has.rows() == []
        assert (await unknown(m)) == "empty: no series for any of its sources (istio, traefik); remediator doctor"
        has.metrics.add("traefik")
        await m.tick()
        assert has.rows() == [TRAEFIK.expr]
        assert not await unknown(m)


async def test_it_cannot_be_found_out(database: str) -> None:
    """Then the row is unknown for that reason, and nothing is chosen."""
    async with having(database, "istio") as (m, has):
        has.mute = Unseen.PARTIAL
        await m.tick()
        assert (has.rows(), await unknown(m)) == ([], "partial")
        has.mute = None
        await m.tick()
        assert has.rows() == [ISTIO.expr]


async def test_a_pinned_one_is_asked_whatever_there_is(database: str) -> None:
    """Its author knows better."""
    pinned = Threshold(
        expr=TRAEFIK.expr, unit="percent", warning=70, critical=85, for_s=0, sources=(TRAEFIK, ISTIO), pinned=True
    )
    async with having(database, "istio", row=pinned) as (m, has):
        await m.tick()
        assert not any(PROBE in one.expr and one.expr != SIGNS for one in has.asked)
        assert has.rows() == [TRAEFIK.expr]
