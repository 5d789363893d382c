"""One simulation: a cluster that falls sick, replicas that look after it, and everything that may go wrong meanwhile.

First a storm of faults, then calm; the invariants are looked at in every step, and when all has come to rest.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - seeded, the same in every run

from remediator.adapters.ledger.pauses import LedgerPauseStore
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.core.undo import obstacle
from remediator.model.errors import PortError
from remediator.model.pause import PauseScope
from remediator.ports.inbox import Inbox
from tests.simulation.chaos import CALM, Chaos
from tests.simulation.cluster import FENCE, MemoryCluster, Workload
from tests.simulation.connection import memory_pool
from tests.simulation.invariants import AT_REST, Scene, Watch
from tests.simulation.life import Life
from tests.simulation.loop import run as run_in_virtual_time
from tests.simulation.monitoring import Alertmanager, TrueAlert
from tests.simulation.replica import Kept, People, Replica, World, living
from tests.simulation.rules import NAMESPACES, MemoryRulebook, draw_policy, draw_rules
from tests.simulation.tables import Database

STORM_S = 600.0
CALM_S = 700.0
SKEWS = (0.0, 0.0, 0.0, 0.0, 0.3, -0.3, 4.0, -4.0, 3600.0, -3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a simulation came to."""

    seed: int
    broken: tuple[str, ...]
    faults: Counter[str]
    counts: Counter[str]
    trace: tuple[str, ...]


@dataclass(slots=True)
class Seat:
    """Where one replica after the other lives: what outlives them."""

    number: int
    rulebook: MemoryRulebook
    kept: Kept = field(default_factory=Kept)
    replica: Replica | None = None
    lives: int = 0


class Simulation:
    """Everything of one seed."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        """Draw the world."""
        self.seed = seed
        self.dice = Random(f"world {seed}")
        self.broken: list[str] = []
        self.lines: list[str] = []
        self.keep_trace = keep_trace
        self.db = Database()
        self.chaos = Chaos.drawn(Random(f"chaos {seed}"), self.trace)
        self.cluster = MemoryCluster(self.db, self.chaos, enforces=self.dice.random() < 0.5)
        self.alertmanager = Alertmanager(self.db, self.chaos, self._door)
        self.people = People()
        self.policy = draw_policy(self.dice)
        self.versions = draw_rules(self.dice)
        self.seats = [Seat(number, MemoryRulebook(self.versions[0])) for number in range(self.dice.choice((2, 2, 3)))]
        self.scene = Scene(
            db=self.db,
            cluster=self.cluster,
            alertmanager=self.alertmanager,
            people=self.people,
            policy=self.policy,
            versions=lambda: [seat.rulebook.current() for seat in self.seats],
        )
        self.watch = Watch(self.scene, self.break_)
        self.world = World(
            db=self.db, cluster=self.cluster, alertmanager=self.alertmanager, people=self.people, policy=self.policy
        )
        # People and tools: they reach the ledger as a replica does, and nothing befalls them.
        self.operator = Life("operator", self.db, Chaos(Random(f"operator {seed}"), CALM, self.trace), 0.0)

    def trace(self, text: str) -> None:
        """Note something down, if anybody wants to read it."""
        if self.keep_trace:
            self.lines.append(f"{asyncio.get_running_loop().time():8.2f}  {text}")

    def break_(self, text: str) -> None:
        """Note down that an invariant is broken."""
        self.trace(f"BROKEN {text}")
        self.broken.append(text)

    # ------------------------------------------------------------------------------------------------------ the run

    async def run(self) -> Report:
        """Let it happen."""
        self.db.bell = self._ring
        self.db.seen = self.watch.committed
        self.db.forgotten = self.watch.forget
        self.cluster.stored = self._stored
        self.cluster.healed = self._healed
        async with asyncio.TaskGroup() as tasks:
            self.tasks = tasks
            ends = [tasks.create_task(self._keep_alive(seat), name=f"seat-{seat.number}") for seat in self.seats]
            ends.append(tasks.create_task(self._note_work()))
            self._furnish()
            storm = [tasks.create_task(self._now_and_then(*one)) for one in self._stories()]
            await asyncio.sleep(STORM_S)
            for task in storm:
                task.cancel()
            await self._calm_down()
            await asyncio.sleep(CALM_S)
            self._judge()
            for seat in self.seats:
                if seat.replica is not None:
                    seat.replica.life.kill()
            for task in [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
                task.cancel()
        counts = Counter(one["state"] for one in self.db.actions) + Counter({"effects": len(self.cluster.effects)})
        counts += Counter({"incidents": len(self.db.incidents.rows), "pages": len(self.people.heard)})
        return Report(
            seed=self.seed,
            broken=tuple(self.broken),
            faults=self.chaos.counts,
            counts=counts,
            trace=tuple(self.lines),
        )

    def _furnish(self) -> None:
        self.sick_alerts = {}
        for number in range(self.dice.randint(3, 7)):
            namespace, name = NAMESPACES[number % 2], f"app{number}"
            workload = self.cluster.make(namespace, name, replicas=self.dice.randint(3, 5))
            labels = {"namespace": namespace, "deployment": name}
            self.sick_alerts[workload.target.key] = [
                self.alertmanager.watch(self.tasks, f"{kind}{number}".ljust(16, "0"), {"alertname": alert, **labels})
                for kind, alert in (("d", "Down"), ("5", "Slow"))
            ]

    async def _calm_down(self) -> None:
        self.trace("CALM: nothing goes wrong from now on")
        self.chaos.odds = CALM
        self.db.down = self.cluster.down = False
        self.alertmanager.come()
        for seat in self.seats:
            if seat.replica is not None:
                seat.replica.life.thawed.set()
                if abs(seat.replica.life.skew.total_seconds()) > 1:
                    self.trace(f"{seat.replica.life.name}: its clock is set right")
                    seat.replica.life.skew *= 0
        for pause in self.db.in_force():
            await LedgerPauseStore(memory_pool(self.db, self.operator)).resume_one(pause["number"], actor="op")

    def _judge(self) -> None:
        for check in AT_REST:
            for found in check(self.scene):
                self.break_(found)

    async def _note_work(self) -> None:
        """Keep a record of when somebody was at work without a break, as seen once a second."""
        began: float | None = None
        while True:
            time = asyncio.get_running_loop().time()
            works = any(seat.replica and seat.replica.inbox and seat.replica.life.works for seat in self.seats)
            if works and not (self.db.down or self.alertmanager.down or self.cluster.down):
                began = time if began is None else began
                self.scene.worked = [one for one in self.scene.worked if one[0] != began] + [(began, time)]
            else:
                began = None
            await asyncio.sleep(1.0)

    # -------------------------------------------------------------------------------------------------- the replicas

    async def _keep_alive(self, seat: Seat) -> None:
        """Start a replica, and another when it has died."""
        while True:
            seat.lives += 1
            life = Life(f"r{seat.number}.{seat.lives}", self.db, self.chaos, self.dice.choice(self._skews()))
            replica = Replica(
                self.world, life, seat.rulebook, seat.kept, lambda: self.break_("I8: the chain is harmed")
            )
            seat.replica = replica
            self.trace(f"{life.name} starts, its clock {life.skew.total_seconds():+g} s")
            async with asyncio.TaskGroup() as one:
                life.task = one.create_task(living(replica, self._died), name=life.name)
            self.trace(f"{life.name} has ended")
            life.kill()
            await asyncio.sleep(self.dice.uniform(1.0, 40.0) if self.chaos.odds is not CALM else 1.0)

    def _skews(self) -> tuple[float, ...]:
        return (0.0,) if self.chaos.odds is CALM else SKEWS

    def _died(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self.break_(f"a replica died of itself: {traceback.format_exception_only(error)[0].strip()}")
        if self.keep_trace:
            self.lines += traceback.format_exception(error)

    def _door(self) -> tuple[Life, Inbox] | None:
        opened = [seat.replica for seat in self.seats if seat.replica is not None and seat.replica.inbox is not None]
        replica = self.chaos.dice.choice(opened) if opened else None
        return (replica.life, replica.inbox) if replica is not None and replica.inbox is not None else None

    def _ring(self, stage: str) -> None:
        for seat in self.seats:
            if seat.replica is not None:
                seat.replica.ring(stage)

    # --------------------------------------------------------------------------------------------------- the cluster

    def _stored(self, effect: object) -> None:
        self.trace(f"EFFECT {effect}")
        self.watch.stored(self.cluster.effects[-1])

    def _healed(self, workload: Workload) -> None:
        self.trace(f"{workload.target.key} is well")
        for alert in self.sick_alerts[workload.target.key]:
            asyncio.get_running_loop().call_later(self.dice.uniform(1.0, 20.0), self._end_alert, workload, alert)

    def _end_alert(self, workload: Workload, alert: TrueAlert) -> None:
        if not workload.sick:
            self.alertmanager.end(alert)

    async def _now_and_then(self, every_s: float, story: Callable[[], Awaitable[None] | None]) -> None:
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / every_s))
            happening = story()
            if happening is not None:
                await happening

    def _stories(self) -> list[tuple[float, Callable[[], Awaitable[None] | None]]]:
        """Return what happens, and about every how many seconds."""
        pick = self.dice.choice
        stories: list[tuple[float, Callable[[], Awaitable[None] | None]]] = [
            (pick((20.0, 60.0)), self._fall_sick),
            (90.0, self._flap),
            (150.0, self._heal_by_itself),
            (pick((60.0, 300.0)), self._human_changes),
            (pick((100.0, 400.0)), self._recreate),
            (pick((80.0, 300.0)), self._pause),
            (200.0, self._reload),
            (pick((150.0, 600.0)), self._stop_in_order),
            (pick((120.0, 500.0)), self._database_away),
            (pick((150.0, 600.0)), self._cluster_away),
            (pick((150.0, 600.0)), self._alertmanager_away),
            (60.0, self._answer),
            (100.0, self._undo),
            (400.0, self._many_fall_sick),
        ]
        return stories

    def _any(self) -> Workload:
        return self.dice.choice(list(self.cluster.workloads.values()))

    def _fall_sick(self) -> None:
        self._sicken(self._any())

    def _sicken(self, workload: Workload) -> None:
        if workload.sick:
            return
        workload.sick, workload.cure = True, self.dice.choice(("restart", "restart", "scale", "never"))
        workload.wanted = workload.replicas + self.dice.randint(1, 2)
        self.trace(f"{workload.target.key} falls sick, cured by {workload.cure}")
        for alert in self.sick_alerts[workload.target.key]:
            if self.dice.random() < 0.7:
                asyncio.get_running_loop().call_later(self.dice.uniform(0.5, 15.0), self._begin_alert, workload, alert)

    def _begin_alert(self, workload: Workload, alert: TrueAlert) -> None:
        if workload.sick:
            self.alertmanager.begin(alert)

    def _many_fall_sick(self) -> None:
        for workload in list(self.cluster.workloads.values()):
            self._sicken(workload)

    def _flap(self) -> None:
        alert = self.dice.choice(self.sick_alerts[self._any().target.key])
        (self.alertmanager.end if alert.fires else self.alertmanager.begin)(alert)

    def _heal_by_itself(self) -> None:
        workload = self._any()
        if workload.sick:
            self.cluster.heal(workload)
        for alert in self.sick_alerts[workload.target.key]:
            self.alertmanager.end(alert)

    def _human_changes(self) -> None:
        workload = self._any()
        annotations = {"note": str(self.dice.random())}
        wiped = {"remediator.io/action": None, FENCE: None} if self.dice.random() < 0.15 else {}
        template = {"template": {"metadata": {"annotations": annotations}}} if self.dice.random() < 0.4 else {}
        self.trace(f"a human changes {workload.target.key} {wiped} {template}")
        self.cluster.touch(workload, {"metadata": {"annotations": annotations | wiped}, "spec": template})

    def _recreate(self) -> None:
        old = self._any()
        made = self.cluster.make(old.target.namespace, old.target.name, replicas=old.replicas)
        made.sick, made.cure, made.wanted = old.sick, old.cure, old.wanted
        self.trace(f"{made.target.key} is made anew as {made.target.uid}")

    async def _pause(self) -> None:
        workload = self._any()
        scope, key = self.dice.choice(
            (
                (PauseScope.GLOBAL, ""),
                (PauseScope.NAMESPACE, workload.target.namespace),
                (PauseScope.TARGET, workload.target.key),
                (PauseScope.RULE, "down"),
            )
        )
        seconds = self.dice.choice((5.0, 20.0, 60.0, None))
        store = LedgerPauseStore(memory_pool(self.db, self.operator))
        try:
            pause = await store.pause(scope, key, reason="test", actor="op", seconds=seconds)
            self.trace(f"PAUSED {scope} {key} for {seconds} s")
            if seconds is None:
                await asyncio.sleep(self.dice.uniform(5.0, 60.0))
                await store.resume_one(pause.number, actor="op")
                self.trace(f"RESUMED {scope} {key}")
        except PortError as error:
            self.trace(f"the pause could not be changed: {error}")

    def _reload(self) -> None:
        version = self.dice.choice(self.versions)
        for seat in self.seats:
            seconds = self.dice.uniform(0.0, 10.0)
            asyncio.get_running_loop().call_later(seconds, seat.rulebook.swap, version)
        self.trace(f"rules {version.digest} are written")

    def _stop_in_order(self) -> None:
        replica = self.dice.choice(self.seats).replica
        if replica is not None and replica.supervisor is not None:
            self.trace(f"{replica.life.name} is asked to stop")
            replica.supervisor.stop.set()

    async def _database_away(self) -> None:
        self.chaos.counts["database away"] += 1
        lost = self.db.crash(skip=self.dice.random() < 0.5)
        self.chaos.counts["commit lost"] += lost
        self.trace(f"FAULT the database is stopped at once, {lost} commits are lost")
        self.db.down = True
        await asyncio.sleep(self.dice.choice((0.5, 5.0, 40.0)))
        self.db.down = False
        self.trace("the database is back")

    async def _cluster_away(self) -> None:
        self.chaos.counts["cluster away"] += 1
        self.cluster.down = True
        self.trace("FAULT the API server goes away")
        await asyncio.sleep(self.dice.choice((2.0, 20.0, 90.0)))
        self.cluster.down = False
        self.trace("the API server is back")

    async def _alertmanager_away(self) -> None:
        self.chaos.counts["alertmanager away"] += 1
        self.alertmanager.go()
        self.trace("FAULT Alertmanager goes away")
        await asyncio.sleep(self.dice.choice((5.0, 60.0)))
        self.alertmanager.come()

    async def _answer(self) -> None:
        waits = [one["number"] for one in self.db.actions if one["state"] == "awaiting_approval"]
        if not waits:
            return
        number, approved = self.dice.choice(waits), self.dice.random() < 0.7
        self.trace(f"a person says {'yes' if approved else 'no'} to A{number}")
        try:
            await LedgerAppender(memory_pool(self.db, self.operator)).answer(
                number, approved=approved, actor="op", reason=""
            )
        except PortError as error:
            self.trace(f"the answer was not taken: {error}")

    async def _undo(self) -> None:
        undos = LedgerUndos(memory_pool(self.db, self.operator))
        done = [one["number"] for one in self.db.actions if one["applied_at"] is not None]
        if not done:
            return
        try:
            former = await undos.former(self.dice.choice(done))
            if former is not None and not obstacle(former):
                asked = await undos.ask(former, actor="op", reason="test")
                self.trace(f"a person asks to undo A{former.number}: {asked}")
        except PortError as error:
            self.trace(f"the wish was not taken: {error}")


def simulate(seed: int, *, keep_trace: bool = False) -> Report:
    """Run one seed from its beginning to its end."""
    simulation = Simulation(seed, keep_trace=keep_trace)
    return run_in_virtual_time(simulation.run())
