"""What was lent goes back: when it is due and all is well, in steps, by whoever is alive; or it is told why not."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.core.returning import next_move
from remediator.flow.bells import Bells
from remediator.flow.returning import EVERY_S, Return
from remediator.model.entry import EntryKind
from remediator.model.loan import LoanState
from remediator.model.rule import Mode, Rung
from remediator.model.signal import Status
from remediator.ports.loans import Judge
from remediator.ports.loans import Lent as Loaned
from remediator.sandbox import scenario
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.resources import AUTOSCALERS, DEPLOYMENTS
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_doubt import QUICK, Fault
from tests.flow.test_undo import change, last

SCALE = a_rule(ladder=(Rung(action="scale", parameters={"step": 4, "max": 20, "return_after": "1h"}),))
HPA = scenario.autoscaler("backstage", "backstage", least=2, most=12)

Json = dict[str, Any]


@dataclass
class Lent:
    """A rig where something was lent, and the store that any replica works with."""

    r: Rig
    loans: LedgerLoanStore

    async def turn(self) -> int:
        """Go on with the loans once, then let the daemon work; return how many returns were asked for."""
        asked = await self.loans.step(8, next_move)
        await self.r.settle()
        return asked

    async def hour_later(self) -> None:
        """Let the time of the loan be over, and the incident too, for long enough."""
        await self.r.sql.execute("UPDATE remediator.loans SET check_at = now(), return_at = now()")
        await self.r.sql.execute("UPDATE remediator.loans SET ended_at = ended_at - interval '1 h'")
        await self.r.sql.execute("UPDATE remediator.incidents SET resolved_at = resolved_at - interval '1 h'")

    async def step_back(self, replicas: int | None = None) -> None:
        """Let one step be asked for and done; ``replicas``: what an autoscaler makes of it."""
        assert await self.ask() == 1
        if replicas is not None:
            obeyed(self.r, replicas)
        self.r.rolled_out()
        await self.r.hasten()
        await self.settle()

    async def ask(self) -> int:
        """Let the next return be asked for when it is time, and be decided; return how many were."""
        await self.settle()
        await self.hour_later()
        return await self.turn()

    async def settle(self) -> None:
        """Note what was lent, or how the step before has ended."""
        await self.r.sql.execute("UPDATE remediator.loans SET check_at = now() WHERE state = 'returning'")
        assert await self.turn() == 0

    async def state(self) -> tuple[str, str]:
        """Return state and note of the loan."""
        (row,) = await self.r.rows("SELECT state, note FROM remediator.loans")
        return row["state"], row["note"]


def obeyed(r: Rig, replicas: int) -> None:
    """Let the autoscaler's controller do what it was told."""
    change(r, replicas=replicas)
    r.rolled_out()


@asynccontextmanager
async def lending(database: str, *manifests: Json, resolved: bool = True) -> AsyncIterator[Lent]:
    """A Deployment of 4 pods that was lent 4 more for an hour; the alert is over, and so is the incident."""
    async with open_pools(database) as pools:
        loans = LedgerLoanStore(pools.stages, quiet_s=60)
        async with rig(database, SCALE, bounds=QUICK, dress=lambda parts: dataclasses.replace(parts, loans=loans)) as r:
            made = deployment(replicas=4)
            fill_in(DEPLOYMENTS, made)
            r.put(made)
            scenario.put(r.sandbox.store, manifests)
            await r.deliver(alert())
            await r.settle()
            if manifests:
                obeyed(r, 8)
            r.rolled_out()
            if resolved:
                await r.deliver(alert(status=Status.RESOLVED))
                for _ in range(3):
                    await r.hasten()
                assert await r.states() == ["recovered"]
            yield Lent(r, loans)


async def test_pods_go_back_in_steps(database: str) -> None:
    """8 to 6 to 5 to 4: one write a step, each with a mark and a higher fence of its own; then it is told."""
    async with lending(database) as lent:
        r = lent.r
        counts, fences = [r.live()["spec"]["replicas"]], [int(r.live()["metadata"]["annotations"][FENCE])]
        assert await lent.turn() == 0, "it is not due"
        (loan,) = await lent.loans.lent(10)
        assert (loan.action, loan.state, loan.target_key) == (1, LoanState.LENT, "deployment/backstage/backstage")
        for _ in range(3):
            await lent.step_back()
            counts.append(r.live()["spec"]["replicas"])
            fences.append(int(r.live()["metadata"]["annotations"][FENCE]))
        assert counts == [8, 6, 5, 4]
        assert fences == sorted(set(fences))
        assert await lent.turn() == 0
        assert await lent.state() == ("returned", "returned by A4")
        assert await lent.loans.lent(10) == ()
        assert await r.states() == ["recovered"] * 4
        assert len(r.writes()) == 4
        decided = [entry.summary for entry in await r.entries() if entry.kind is EntryKind.DECISION_ACT]
        where = "deployment/backstage in backstage"
        assert decided[1] == f"will return a part of what A1 has lent {where}: spec.replicas 8 -> 6"
        assert decided[3] == f"will return the rest of what A1 has lent {where}: spec.replicas 5 -> 4"
        assert (await last(r, EntryKind.RETURN_ENDED)).summary == "returned by A4"
        assert {entry.incident for entry in await r.entries() if entry.action is not None} == {1}
        assert r.people.heard == []


async def test_the_bound_of_an_autoscaler_goes_back(database: str) -> None:
    """The autoscaler is written to, not the Deployment."""
    async with lending(database, HPA) as lent:
        r = lent.r

        def least() -> int:
            return int(r.sandbox.store.get(AUTOSCALERS, "backstage", "backstage")["spec"]["minReplicas"])

        seen = [least()]
        for _ in range(3):
            await lent.step_back(replicas=8)
            seen.append(least())
        assert await lent.state() == ("returned", "returned by A4")
        assert seen == [8, 5, 3, 2]
        assert {write.path.rsplit("/", 2)[1] for write in r.writes()} == {"horizontalpodautoscalers"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [({"replicas": 12}, "spec.replicas: 8 -> 12"), ({"minReadySeconds": 5}, "spec.minReadySeconds: nothing -> 5")],
)
async def test_what_somebody_has_changed_is_kept(database: str, spec: Json, said: str) -> None:
    """A third party has taken it over: nothing is written, it is told once, and not asked again."""
    async with lending(database) as lent:
        change(lent.r, **spec)
        lent.r.rolled_out()
        assert await lent.ask() == 1
        await lent.settle()
        assert await lent.state() == ("kept", "kept: changed_since")
        held = await last(lent.r, EntryKind.DECISION_HOLD)
        assert held.reasons == ("changed_since",)
        assert "A1 is not returned (lent by A1): deployment/backstage in backstage was changed since" in held.summary
        assert said in held.summary
        assert (await last(lent.r, EntryKind.RETURN_ENDED)).summary == "kept: changed_since"
        await lent.hour_later()
        assert await lent.turn() == 0
        assert len(lent.r.writes()) == 1


async def test_a_change_between_two_steps_ends_it(database: str) -> None:
    """One step back was done; then somebody scaled by hand."""
    async with lending(database) as lent:
        await lent.step_back()
        change(lent.r, replicas=7)
        lent.r.rolled_out()
        assert await lent.ask() == 1
        await lent.settle()
        assert await lent.state() == ("kept", "kept: changed_since")
        assert lent.r.live()["spec"]["replicas"] == 7


async def test_a_loan_upon_a_loan_goes_back_first(database: str) -> None:
    """4 pods were lent 4, and then 4 more in another incident: 12 to 8, then 8 to 4; nobody else has touched it."""
    async with lending(database) as lent:
        r = lent.r
        await lent.settle()
        await r.sql.execute("UPDATE remediator.incidents SET resolved_at = resolved_at - interval '1 h'")
        r.rules.rules = (structs.replace(SCALE, limits=structs.replace(SCALE.limits, cooldown_s=0)),)
        await r.deliver(alert(starts_at=r.parts.clock.now()))
        await r.settle()
        assert r.live()["spec"]["replicas"] == 12
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        counts = []
        for _ in range(6):
            await lent.step_back()
            counts.append(r.live()["spec"]["replicas"])
        await lent.settle()
        assert counts == [10, 9, 8, 6, 5, 4]
        ended = await r.rows("SELECT action, state, note FROM remediator.loans ORDER BY action")
        assert [tuple(row) for row in ended] == [(1, "returned", "returned by A8"), (2, "returned", "returned by A5")]


async def test_nothing_goes_back_while_anything_is_wrong(database: str) -> None:
    """The incident is open; then it is over, but not for long enough; then another one begins."""
    async with lending(database, resolved=False) as lent:
        await lent.turn()
        await lent.r.sql.execute("UPDATE remediator.loans SET check_at = now()")
        assert await lent.turn() == 0, "the action is being verified"
        await lent.r.sql.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
        assert await lent.turn() == 0, "the incident is open"
        await lent.r.sql.execute("UPDATE remediator.actions SET state = 'verifying', ended_at = NULL")
        await lent.r.deliver(alert(status=Status.RESOLVED))
        for _ in range(3):
            await lent.r.hasten()
        assert await lent.turn() == 0
        await lent.r.sql.execute("UPDATE remediator.incidents SET resolved_at = now() - interval '50 s'")
        assert await lent.turn() == 0
        await lent.r.sql.execute("UPDATE remediator.incidents SET resolved_at = now() - interval '70 s'")
        assert await lent.turn() == 1


async def test_an_alert_that_comes_in_between_is_heard(database: str) -> None:
    """The return was asked for; before it is decided the target's alert fires again: held, and asked again later."""
    async with lending(database) as lent:
        await lent.turn()
        await lent.hour_later()
        assert await lent.loans.step(8, next_move) == 1
        await lent.r.sql.execute(
            "UPDATE remediator.incidents SET state = 'open', resolved_at = NULL, check_at = now() + interval '1 h'"
        )
        await lent.r.settle()
        held = await last(lent.r, EntryKind.DECISION_HOLD)
        assert (held.reasons, lent.r.live()["spec"]["replicas"]) == (("in_progress",), 8)
        await lent.turn()
        assert await lent.state() == ("lent", "in_progress")


async def test_nothing_goes_back_while_it_is_not_known_to_be_well(database: str) -> None:
    """A pod is not ready, then the API server does not answer: held, asked again a minute later, then done."""
    async with lending(database) as lent:
        await lent.settle()
        lent.r.rolled_out(readyReplicas=7, availableReplicas=7)
        assert await lent.ask() == 1
        await lent.settle()
        assert await lent.state() == ("lent", "min_healthy")
        wait = await lent.r.sql.fetchval("SELECT extract(epoch FROM check_at - now())::float8 FROM remediator.loans")
        assert 50 < wait <= 60
        assert lent.r.live()["spec"]["replicas"] == 8
        lent.r.rolled_out()
        await lent.step_back()
        assert lent.r.live()["spec"]["replicas"] == 6


async def test_a_lost_answer_is_settled_like_any_other(database: str) -> None:
    """The write of the step was stored and nobody heard: it is found by its mark."""
    async with lending(database) as lent:
        fault = Fault("swallow")
        lent.r.sandbox.middlewares.append(fault)
        await lent.step_back()
        assert (lent.r.live()["spec"]["replicas"], fault.seen) == (6, 1)
        assert await lent.r.states() == ["recovered", "recovered"]


async def test_two_replicas_ask_once(database: str) -> None:
    """Whoever comes first; the other finds nothing to do, and goes on where the first has died."""
    async with lending(database) as lent, open_pools(database) as pools:
        await lent.turn()
        await lent.hour_later()
        other = LedgerLoanStore(pools.stages, quiet_s=60)
        assert [await lent.loans.step(8, next_move), await other.step(8, next_move)] == [1, 0]
        await lent.r.settle()
        lent.r.rolled_out()
        await lent.r.hasten()
        await lent.r.sql.execute("UPDATE remediator.loans SET check_at = now()")
        await other.step(8, next_move)
        assert await lent.state() == ("lent", "in part, by A2")


async def test_what_another_replica_has_in_its_hands_is_left_to_it(database: str) -> None:
    """Nobody waits for a row that is being gone on with."""
    async with lending(database) as lent:
        await lent.turn()
        await lent.hour_later()
        async with lent.r.sql.transaction(), asyncio.timeout(5):
            await lent.r.sql.execute("SELECT FROM remediator.loans FOR UPDATE")
            assert await lent.loans.step(8, next_move) == 0
        assert await lent.loans.step(8, next_move) == 1


async def test_what_a_person_has_undone_is_not_lent_any_more(database: str) -> None:
    """`remediator undo` was quicker; the ledger says so, and nothing is asked for."""
    async with lending(database) as lent, open_pools(database) as pools:
        await lent.turn()
        undos = LedgerUndos(pools.stages)
        former = await undos.former(1)
        assert former is not None
        assert await undos.ask(former, actor="mira", reason="")
        await lent.r.settle()
        lent.r.rolled_out()
        await lent.r.hasten()
        assert lent.r.live()["spec"]["replicas"] == 4
        await lent.hour_later()
        assert await lent.turn() == 0
        assert await lent.state() == ("returned", "undone by A2")


async def test_a_ceiling_holds_for_it_too(database: str) -> None:
    """Where everything only observes, a return is a dry run; it is asked again later, ever less often."""
    async with lending(database) as lent:
        lent.r.rules.rules = (structs.replace(SCALE, mode=Mode.OBSERVE),)
        waits = []
        for _ in range(3):
            assert await lent.ask() == 1
            await lent.settle()
            row = await lent.r.sql.fetchrow(
                "SELECT state, extract(epoch FROM check_at - now())::float8 AS wait FROM remediator.loans"
            )
            assert row is not None
            assert row["state"] == "lent"
            waits.append(round(row["wait"] / 60))
        assert waits == [1, 2, 4]
        assert lent.r.live()["spec"]["replicas"] == 8


async def test_what_is_not_lent_stays(database: str) -> None:
    """A rule that does not say return_after adds pods for good."""
    rule = a_rule(ladder=(Rung(action="scale", parameters={"step": 4, "max": 20}),))
    async with rig(database, rule, bounds=QUICK) as r, open_pools(database) as pools:
        r.put(deployment(replicas=4))
        await r.deliver(alert())
        await r.settle()
        loans = LedgerLoanStore(pools.stages)
        assert await loans.step(8, next_move) == 0
        assert await r.rows("SELECT FROM remediator.loans") == []
        assert await loans.former(1) is None


async def test_the_marks_are_of_the_step(database: str) -> None:
    """Whoever looks at the object sees which action wrote last."""
    async with lending(database) as lent:
        await lent.step_back()
        (row,) = await lent.r.rows("SELECT id FROM remediator.actions WHERE number = 2")
        assert lent.r.live()["metadata"]["annotations"][ACTION] == row["id"]


@dataclass
class Counting:
    """A store that counts its steps."""

    asked: int = 0
    steps: list[float] = field(default_factory=list)
    now: float = 100.0

    def monotonic(self) -> float:
        """Return the moment that the test says it is."""
        return self.now

    async def step(self, limit: int, judge: Judge) -> int:
        """Count."""
        assert limit > 0
        assert judge is next_move
        self.steps.append(self.now)
        return self.asked

    async def former(self, number: int) -> Loaned | None:
        """Return nothing for any number."""
        assert number
        return None

    async def uneasy(self, number: int, fresh_s: float) -> tuple[str, ...]:
        """Return nothing for any number."""
        assert number < fresh_s
        return ()


async def test_the_stage_looks_every_few_seconds(database: str) -> None:
    """Often enough for what is in no hurry, whoever rings."""
    async with rig(database, SCALE) as r:
        store = Counting()
        stage = Return(dataclasses.replace(r.parts, clock=store), Bells(), store)  # type: ignore[arg-type]  # monotonic
        for moment in (100.0, 101.0, 100.0 + EVERY_S, 101.0 + EVERY_S):
            store.now = moment
            assert await stage.step() == 0
        assert store.steps == [100.0, 100.0 + EVERY_S]
