"""Order and duplicates over the real stores: however news of one episode comes, one incident and at most one action."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, the same in every run
from datetime import timedelta

import pytest
from msgspec import structs

from remediator.model.rule import Limits, RateLimit
from remediator.model.signal import Signal, Status
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.watching import Peers, Watch, ago, seen, watching

SEEDS = range(16)
WIDE = Limits(per_target=RateLimit(count=20, window_s=3600), per_namespace=RateLimit(count=100, window_s=3600))


def firing(name: str, begun_s: float, moved_s: float = 0.0) -> Signal:
    """Return that it fires; its start may lie a little off, as with two Prometheus."""
    return alert(name, starts_at=ago(begun_s - moved_s))


def resolved(name: str, begun_s: float, ended_s: float) -> Signal:
    """Return that it is over."""
    return alert(name, status=Status.RESOLVED, starts_at=ago(begun_s), ends_at=ago(ended_s))


async def tell(r: Rig, watch: Watch, dice: random.Random, news: list[Signal]) -> None:
    """Tell it piece by piece, some twice, now and then with time to work on it, a look, or a long wait in between."""
    told = [one for piece in news for one in [piece] * dice.choice((1, 1, 2))]
    dice.shuffle(told)
    for piece in told:
        await r.deliver(piece)
        match dice.randrange(4):
            case 0:
                await r.settle()
            case 1:
                await watch.look()
            case 2:
                await r.sql.execute("UPDATE remediator.signals SET last_seen_at = last_seen_at - interval '10 min'")
            case _:
                continue
    await r.settle()


async def outcome(r: Rig, name: str) -> tuple[int, int, int]:
    """Return how many incidents, how many openings, and how many writes there were for one Deployment."""
    incidents = await r.sql.fetchval(
        "SELECT count(*) FROM remediator.incidents WHERE target_key = $1", f"deployment/backstage/{name}"
    )
    opened = await r.sql.fetchval(
        """SELECT count(*) FROM remediator.ledger
           WHERE kind IN ('alert.firing', 'alert.reopened') AND data -> 'labels' ->> 'deployment' = $1""",
        name,
    )
    return incidents, opened, sum(1 for write in r.writes() if write.path.endswith(f"/{name}"))


async def test_any_order_of_an_episode_that_goes_on(database: str) -> None:
    """Starts that move, repeats, two Alertmanagers and looks: one incident, one opening, one action."""
    peers = Peers()
    async with rig(database, a_rule(limits=WIDE)) as r, watching(r, database, peers) as watch:
        for seed in SEEDS:
            dice, name = random.Random(seed), f"app-{seed}"
            r.put(deployment(name))
            news = [firing(name, 600, dice.randrange(30)) for _ in range(dice.randrange(2, 5))]
            peers.has = (*peers.has, seen(news[0]))
            await tell(r, watch, dice, news)
            await watch.look()
            assert await outcome(r, name) == (1, 1, 1), f"seed {seed}"


async def test_any_order_of_an_episode_that_has_ended(database: str) -> None:
    """The end before, between and after the beginning: at most one incident and one action, and it ends resolved."""
    async with rig(database, a_rule(limits=WIDE)) as r, watching(r, database, Peers()) as watch:
        for seed in SEEDS:
            dice, name = random.Random(seed), f"app-{seed}"
            r.put(deployment(name))
            news = [firing(name, 600, dice.randrange(30)) for _ in range(dice.randrange(1, 4))]
            news += [resolved(name, 600, 60), resolved(name, 590, 60)][: dice.randrange(1, 3)]
            await tell(r, watch, dice, news)
            r.rolled_out(name)
            for _ in range(2):
                await watch.look()
            incidents, opened, writes = await outcome(r, name)
            assert max(incidents, opened, writes) <= 1, f"seed {seed}"
            fires = await r.sql.fetchval(
                "SELECT count(*) FROM remediator.alerts WHERE fingerprint = $1 AND status = 'firing'",
                alert(name).fingerprint,
            )
            assert fires == 0, f"seed {seed}"


@pytest.mark.parametrize("wait", [timedelta(0), timedelta(minutes=10), timedelta(days=8)])
async def test_a_captured_notification_is_replayed(database: str, wait: timedelta) -> None:
    """At once, after ten minutes, after eight days: nothing is opened and nothing is done."""
    async with rig(database, a_rule(limits=WIDE)) as r, watching(r, database, Peers()) as watch:
        r.put(deployment())
        captured = firing("backstage", 600)
        await r.deliver(captured)
        await r.settle()
        r.rolled_out()
        await r.deliver(resolved("backstage", 600, 5))
        await r.settle()
        await r.hasten()
        # Everything that we know moves back in time, together with what was captured.
        for table, columns in {
            "signals": ("starts_at", "ends_at", "received_at", "last_seen_at"),
            "alerts": ("starts_at", "ends_at", "changed_at"),
            "actions": ("admitted_at", "applied_at", "ended_at", "good_until"),
        }.items():
            moved = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
            await r.sql.execute(f"UPDATE remediator.{table} SET {moved}", wait)  # noqa: S608 - names of this file
        for _ in range(3):
            await r.deliver(structs.replace(captured, starts_at=captured.starts_at - wait))
            await r.settle()
            await watch.look()
        assert len(r.writes()) == 1
        assert (await r.kinds()).count("alert.firing") == 1
        assert await r.sql.fetchval("SELECT count(*) FROM remediator.incidents") == 1
