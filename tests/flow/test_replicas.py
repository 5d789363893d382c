"""Several replicas over one database and one cluster: every alert once, every limit exact, no owner missed for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from msgspec import structs

from remediator.adapters.ledger.actions import LedgerActionStore, moves_together
from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.evidence import LedgerEvidenceStore
from remediator.adapters.ledger.incidents import LedgerIncidentStore, LedgerOutbox
from remediator.adapters.ledger.matching import LedgerMatchStore
from remediator.adapters.ledger.pool import Purpose, one_pool, open_pools
from remediator.adapters.ledger.record import LedgerAppender
from remediator.flow.bells import Bells
from remediator.flow.lane import Lane
from remediator.flow.parts import Stores
from remediator.flow.pipeline import Pipeline, pipeline
from remediator.model.policy import Policy
from remediator.model.rule import RateLimit, Rung
from remediator.model.signal import Status
from remediator.ports.rules import Rulebook
from tests.flow.rig import ROOMY, Rig, Rules, a_rule, alert, deployment, rig

ALERTS = 24
LIMIT = 7
WIDE = RateLimit(count=1000, window_s=3600)
RULE = a_rule(limits=structs.replace(a_rule().limits, per_rule=WIDE, per_namespace=WIDE, per_cluster=WIDE))


@asynccontextmanager
async def replica(dsn: str, r: Rig, name: str, rules: Rulebook | None = None) -> AsyncIterator[Pipeline]:
    """Another daemon's stages: pools, group commit, bells and an owner's name of its own; the cluster is the rig's.

    So are the rules, unless it has others.
    """
    async with AsyncExitStack() as stack:
        async with open_pools(dsn) as probe:
            server = probe.server
        pool = await stack.enter_async_context(one_pool(dsn, server, Purpose.STAGES))
        moves = moves_together(pool)
        stores = Stores(
            matching=LedgerMatchStore(pool),
            admission=LedgerAdmissionStore(pool),
            actions=LedgerActionStore(pool, moves),
            evidence=LedgerEvidenceStore(pool),
            incidents=LedgerIncidentStore(pool),
            outbox=LedgerOutbox(pool),
            ledger=LedgerAppender(pool),
            alarm=LedgerAppender(pool),
        )
        parts = replace(r.parts, stores=stores, owner=name, rulebook=rules or r.parts.rulebook)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(moves.run())
            async with pipeline(parts, Bells()) as line:
                yield line
            moves.close()


@asynccontextmanager
async def replicas(dsn: str, policy: Policy = ROOMY) -> AsyncIterator[tuple[Rig, list[Pipeline]]]:
    """Three daemons."""
    async with AsyncExitStack() as stack:
        r = await stack.enter_async_context(rig(dsn, RULE, policy=policy))
        others = [await stack.enter_async_context(replica(dsn, r, f"replica-{n}")) for n in range(2)]
        yield r, [r.line, *others]


async def settle(r: Rig, lines: Sequence[Pipeline]) -> None:
    """Let every lane of every replica work at once, until nothing is left to do now."""
    quiet = 0
    async with asyncio.timeout(30.0):
        while quiet < 3:
            async with asyncio.TaskGroup() as tasks:
                steps = [tasks.create_task(once(lane)) for line in lines for lane in line.lanes]
            await asyncio.sleep(0.005)
            quiet = 0 if any(step.result() for step in steps) or r.under_way() else quiet + 1


async def once(lane: Lane) -> int:
    """Make one step of a lane."""
    return await lane.step()


async def hasten(r: Rig, lines: Sequence[Pipeline]) -> None:
    """Make due what waits for a time, for all replicas."""
    await r.sql.execute("UPDATE remediator.actions SET check_at = now() WHERE state = 'verifying'")
    await r.sql.execute("UPDATE remediator.incidents SET check_at = now() WHERE state <> 'resolved'")
    await r.sql.execute("UPDATE remediator.outbox SET not_before = now() WHERE state = 'waiting'")
    await settle(r, lines)


async def test_every_alert_is_remediated_once(database: str) -> None:
    """From the inbox to the end: one write, one verdict and one resolution each, whoever did what."""
    async with replicas(database) as (r, lines):
        names = [f"app-{n:x}" for n in range(ALERTS)]
        for name in names:
            r.put(deployment(name))
        firing = [alert(name) for name in names]
        await r.deliver(*firing)
        await settle(r, lines)
        assert Counter(one.path.rpartition("/")[2] for one in r.writes()) == dict.fromkeys(names, 1)
        fences = await r.rows("SELECT fence, owner FROM remediator.actions")
        assert len({row["fence"] for row in fences}) == ALERTS
        for name in names:
            r.rolled_out(name)
        await r.deliver(*(alert(name, Status.RESOLVED) for name in names))
        await settle(r, lines)
        for _ in range(3):
            await hasten(r, lines)
        assert await r.states() == ["recovered"] * ALERTS
        kinds = Counter(await r.kinds())
        once = ("alert.firing", "incident.opened", "decision.act", "action.dispatched", "action.applied")
        ends = ("alert.resolved", "action.verified", "incident.resolved")
        assert kinds == dict.fromkeys((*once, *ends), ALERTS)
        assert len(r.writes()) == ALERTS


async def test_the_limit_of_the_cluster_is_theirs_together(database: str) -> None:
    """Seven changes an hour are seven, over three replicas, and each of the others is told why it waits."""
    policy = structs.replace(ROOMY, cluster_hourly=RateLimit(count=LIMIT, window_s=3600))
    async with replicas(database, policy) as (r, lines):
        for number in range(ALERTS):
            r.put(deployment(f"app-{number:x}"))
            await r.deliver(alert(f"app-{number:x}"))
        await settle(r, lines)
        assert len(r.writes()) == LIMIT
        kinds = Counter(await r.kinds())
        assert (kinds["decision.act"], kinds["decision.hold"]) == (LIMIT, ALERTS - LIMIT)
        await r.sql.execute("UPDATE remediator.candidates SET not_before = now() WHERE state = 'held'")
        await settle(r, lines)
        assert len(r.writes()) == LIMIT, "asked again at once, the answer is the same"
        assert Counter(await r.kinds()) == kinds, "and it is not written again"


async def test_people_are_told_once(database: str) -> None:
    """Three replicas empty one outbox."""
    async with replicas(database) as (r, lines):
        await r.deliver(*(alert(f"gone-{n:x}") for n in range(ALERTS)))
        await settle(r, lines)
        await hasten(r, lines)
        assert len(r.people.heard) == ALERTS
        assert len({message["id"] for message in r.people.heard}) == ALERTS
        assert Counter(await r.kinds())["notified"] == ALERTS


async def test_replicas_under_different_rules_act_once(database: str) -> None:
    """One has been told of new rules and the other has not: whoever decides, each target is changed by one of them."""
    newer = structs.replace(RULE, ladder=(Rung(action="scale", parameters={"to": 4}),))
    async with rig(database, RULE) as r, replica(database, r, "newer", Rules((newer,), digest="newer")) as other:
        names = [f"app-{n:x}" for n in range(ALERTS)]
        for name in names:
            r.put(deployment(name))
        for name in names:
            await r.deliver(alert(name))
            await settle(r, [other, r.line])
        assert Counter(one.path.rpartition("/")[2] for one in r.writes()) == dict.fromkeys(names, 1)
        assert Counter(await r.kinds())["decision.act"] == ALERTS
