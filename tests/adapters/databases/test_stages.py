"""Through the stages: an alert raises a limit of a real database once, whatever happens; and a person takes it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from remediator.adapters.databases.around import PART, DatabaseAround
from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.adapters.kubernetes.marks import ACTION
from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.pool import LedgerPools, open_pools
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.core.returning import next_move
from remediator.flow.parts import Cluster, Parts
from remediator.model.database import DatabaseView, RunStatement
from remediator.model.rule import Mode, Recovery, Rule, Rung
from remediator.model.signal import Status
from remediator.model.target import Target
from remediator.ports.cluster import InDoubt
from remediator.ports.databases import Databases, StatementMark, StatementResult
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.resources import DEPLOYMENTS
from tests.adapters.databases.patient import APP, Patient
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_doubt import QUICK
from tests.flow.test_undo import ask

RAISE = Rung(action="raise_connections", parameters={"step": 10, "max": 50, "full": 10})


@dataclass
class Faulty:
    """The real databases, over a line that loses answers: ``lose`` says how many, ``sent`` whether requests arrive."""

    real: PostgresDatabases
    lose: int = 0
    sent: bool = True
    marks: list[StatementMark] = field(default_factory=list)

    async def look(self, target: Target) -> DatabaseView | None:
        """Look."""
        return await self.real.look(target)

    async def run(self, step: RunStatement, mark: StatementMark, *, dry_run: bool = False) -> StatementResult:
        """Run it, and perhaps lose the answer, or the question."""
        self.marks.append(mark)
        lost = self.lose >= len(self.marks)
        if lost and not self.sent:
            return InDoubt(message="the line is dead")
        result = await self.real.run(step, mark, dry_run=dry_run)
        return InDoubt(message="the answer was lost") if lost else result

    async def settle(self, step: RunStatement, mark: StatementMark, *, close: bool) -> bool | None:
        """Settle."""
        return await self.real.settle(step, mark, close=close)


def postgres() -> dict[str, Any]:
    """Return the database's Deployment, as an API server has it: with its number of connections in the environment."""
    made = deployment("postgres", replicas=1)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "MAX_CONNECTIONS", "value": "100"}, {"name": "POSTGRES_PASSWORD", "value": "s3same"}]
    fill_in(DEPLOYMENTS, made)
    return made


def env(r: Rig) -> dict[str, str]:
    """Return the environment of the database's container."""
    (container,) = r.live("postgres")["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


@asynccontextmanager
async def scene(
    database: str,
    sick: Patient,
    *rungs: Rung,
    wrap: Callable[[PostgresDatabases], Databases] = lambda one: one,
    memory: int | None = None,
    loans: LedgerPools | None = None,
    **rule: Any,
) -> AsyncIterator[Rig]:
    """A rig whose deployment/postgres runs the sick database, with a session of the application in it."""
    real = PostgresDatabases(entries=(replace(sick.entry, memory=memory),))

    def dress(parts: Parts) -> Parts:
        around = DatabaseAround(parts.cluster.reader, parts.cluster.evidence, real)
        cluster = Cluster(reader=around, evidence=around, writer=parts.cluster.writer)
        fields = {name: getattr(parts, name) for name in parts.__slots__}
        lent = {} if loans is None else {"loans": LedgerLoanStore(loans.stages)}
        return Parts(**fields | {"cluster": cluster, "databases": wrap(real), **lent})

    law: Rule = a_rule(ladder=rungs or (RAISE,), **rule)
    session = await sick.session(APP)
    try:
        async with rig(database, law, bounds=QUICK, dress=dress) as r:
            r.put(postgres())
            yield r
    finally:
        await session.close()


async def fire(r: Rig) -> None:
    """Let the alert of the database fire, and all be done about it."""
    await r.deliver(alert("postgres"))
    await r.settle()


async def test_an_alert_raises_the_limit(database: str, sick: Patient) -> None:
    """Decided on what the database says, written once with the action's mark, and told with what it was."""
    async with scene(database, sick) as r:
        await fire(r)
        assert await sick.limit() == 20
        assert await r.states() == ["verifying"]
        (row,) = await r.rows("SELECT id FROM remediator.actions")
        assert await sick.marks() == [(row["id"], "done")]
        applied = [one for one in await r.entries() if one.kind.value == "action.applied"]
        assert applied[0].data["database"]["limits"][0]["before"] == 10
        assert r.writes() == []


async def test_a_lost_answer_is_settled_by_the_mark(database: str, sick: Patient) -> None:
    """It was stored and nobody heard so: the mark is found, and the limit is not raised again."""
    faulty = Faulty(sick.databases, lose=1)
    async with scene(database, sick, wrap=lambda _: faulty) as r:
        await fire(r)
        assert await sick.limit() == 20
        assert len(faulty.marks) == 1
        assert await r.states() == ["verifying"]
        assert "action.in_doubt" in await r.kinds()


async def test_a_lost_question_is_asked_again(database: str, sick: Patient) -> None:
    """Nothing arrived: there is no mark, so the same action is sent again, with the same id."""
    faulty = Faulty(sick.databases, lose=1, sent=False)
    async with scene(database, sick, wrap=lambda _: faulty) as r:
        await fire(r)
        assert len({one.action_id for one in faulty.marks}) == 1
        assert len(faulty.marks) == 2
        assert (await sick.limit(), await r.states()) == (20, ["verifying"])


async def test_given_up_means_never(database: str, sick: Patient) -> None:
    """No attempt arrives: the action ends, and one that is still on its way would find that it is void."""
    faulty = Faulty(sick.databases, lose=99, sent=False)
    async with scene(database, sick, wrap=lambda _: faulty) as r:
        await fire(r)
        assert (await r.states())[0] == "refused"
        assert ("void") in {state for _, state in await sick.marks()}
        assert await sick.limit() == 10


async def test_an_undo_brings_the_limit_back(database: str, sick: Patient) -> None:
    """By the same way, with a mark of its own; what somebody has changed since is left alone, and told."""
    async with scene(database, sick, recover=Recovery(for_s=0, within_s=600)) as r, open_pools(database) as pools:
        await fire(r)
        await r.deliver(alert("postgres", status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["recovered"]
        undos = LedgerUndos(pools.stages)
        await sick.sql.execute("""ALTER ROLE "back""stage; DROP" CONNECTION LIMIT 15""")
        assert await ask(r, undos)
        assert await sick.limit() == 15
        held = [one for one in await r.entries() if one.kind.value == "decision.hold"]
        assert "20 -> 15" in held[-1].summary
        await sick.sql.execute("""ALTER ROLE "back""stage; DROP" CONNECTION LIMIT 20""")
        await ask(r, undos)
        assert await sick.limit() == 10
        assert len(await sick.marks()) == 2


async def test_a_lent_limit_goes_back(database: str, sick: Patient) -> None:
    """When it is due and there is room in the former limit; as long as it is in use, it stays."""
    rung = Rung(action="raise_connections", parameters={"to": 20, "return_after": "1s"})
    others = [await sick.session(APP) for _ in range(7)]
    async with (
        open_pools(database) as pools,
        scene(database, sick, rung, recover=Recovery(for_s=0, within_s=600), loans=pools) as r,
    ):
        loans = LedgerLoanStore(pools.stages, quiet_s=60)

        async def turn() -> int:
            await r.sql.execute("UPDATE remediator.loans SET check_at = now(), return_at = now()")
            await r.sql.execute("UPDATE remediator.incidents SET resolved_at = resolved_at - interval '1 h'")
            asked = await loans.step(8, next_move)
            await r.settle()
            return asked

        await fire(r)
        await r.deliver(alert("postgres", status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["recovered"]
        await turn()
        await turn()
        assert await sick.limit() == 20
        held = [one for one in await r.entries() if one.kind.value == "decision.hold"]
        assert held[-1].reasons == ("not_calm",)
        for other in others:
            await other.close()
        for _ in range(4):
            await turn()
            await r.hasten()
        assert await sick.limit() == 10
        assert await r.states() == ["recovered", "recovered"]
        (row,) = await r.rows("SELECT state FROM remediator.loans")
        assert row["state"] == "returned"
        assert r.people.heard == []


async def test_the_environment_is_patched_and_taken_back(database: str, sick: Patient) -> None:
    """By the leave that the rule gives: one variable, one rollout with the mark; the undo puts it back."""
    how = {"to": 150, "container": "app", "without_asking": True}
    rung = Rung(action="raise_max_connections", parameters=how)
    async with scene(database, sick, rung, memory=2**32) as r, open_pools(database) as pools:
        await fire(r)
        assert env(r) == {"MAX_CONNECTIONS": "150", "POSTGRES_PASSWORD": "s3same"}
        (row,) = await r.rows("SELECT id, before_image::text AS image FROM remediator.actions")
        assert r.live("postgres")["spec"]["template"]["metadata"]["annotations"][ACTION] == row["id"]
        assert "s3same" not in row["image"]
        r.rolled_out("postgres")
        await r.deliver(alert("postgres", status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["recovered"]
        assert await ask(r, LedgerUndos(pools.stages))
        assert env(r) == {"MAX_CONNECTIONS": "100", "POSTGRES_PASSWORD": "s3same"}
        assert len(r.writes()) == 2


async def test_a_full_server_is_asked_about_at_once(database: str, sick: Patient) -> None:
    """Limits would not help: the rung after them is asked for, and carried out on its own rung when a person agrees."""
    raising = Rung(action="raise_connections", parameters={"to": 20, "full": 1})
    rung = Rung(action="raise_max_connections", parameters={"to": 150, "container": "app"})
    async with scene(database, sick, raising, rung, memory=2**32) as r:
        await fire(r)
        (asked,) = [one for one in await r.entries() if one.kind.value == "decision.ask"]
        assert "raise_connections has nothing to do" in asked.summary
        assert asked.data["rung"] == 1
        assert env(r)["MAX_CONNECTIONS"] == "100"
        assert await r.ledger.answer(1, approved=True, actor="ada", reason="users are waiting")
        await r.settle()
        assert env(r)["MAX_CONNECTIONS"] == "150"
        assert [row["rung"] for row in await r.rows("SELECT rung FROM remediator.actions ORDER BY number")] == [1, 1]


async def test_restarting_a_database_asks_first(database: str, sick: Patient) -> None:
    """Though the rule may act: the environment stays until a person says yes."""
    rung = Rung(action="raise_max_connections", parameters={"to": 150, "container": "app"})
    async with scene(database, sick, rung, memory=2**32) as r:
        await fire(r)
        assert env(r)["MAX_CONNECTIONS"] == "100"
        assert "decision.ask" in await r.kinds()


async def test_observed_only(database: str, sick: Patient) -> None:
    """In observe the database is asked whether it would, and keeps nothing."""
    async with scene(database, sick, mode=Mode.OBSERVE) as r:
        await fire(r)
        assert await r.states() == ["observed"]
        (row,) = await r.rows("SELECT note FROM remediator.actions")
        assert row["note"].startswith("dry run accepted by the database: would raise")
        assert (await sick.limit(), await sick.marks()) == (10, [])


async def test_without_known_memory_nothing_is_configured(database: str, sick: Patient) -> None:
    """The cap is not guessed: it is said what is missing."""
    rung = Rung(action="configure_max_connections", parameters={"step": 20, "max": 300})
    async with scene(database, sick, rung) as r:
        await fire(r)
        held = [one.summary for one in await r.entries() if one.kind.value.startswith("decision.")]
        assert "it is not known how much memory" in held[-1]
        assert await sick.marks() == []


async def test_configuring_asks_first(database: str, sick: Patient) -> None:
    """Also where the rule may act by itself: nothing is written before a person says yes."""
    rung = Rung(action="configure_max_connections", parameters={"step": 20, "max": 300})
    async with scene(database, sick, rung, memory=2**32) as r:
        await fire(r)
        assert await sick.marks() == []
        assert "configure_max_connections asks first" in (await r.entries())[-1].summary
        assert await sick.sql.fetchval("SELECT remediator_limits.configured()") == 100


async def test_who_has_connections_is_kept_as_evidence(database: str, sick: Patient) -> None:
    """Investigate keeps users, applications and states beside pods and logs; no statement of anybody's."""
    async with scene(database, sick, Rung(action="investigate", parameters={})) as r:
        await fire(r)
        (row,) = await r.rows("SELECT content::text AS parts FROM remediator.evidence")
        assert PART in row["parts"]
        assert '"holders"' in row["parts"]
        assert "SELECT" not in row["parts"].partition(PART)[2][:3000]
