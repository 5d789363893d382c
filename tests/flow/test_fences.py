"""The watch over the cluster's fences: what it says, when, and what it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from remediator.flow.fences import EVERY_S, REPEAT_S, SOON_S, FencedWriter, FenceWatch
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import ClusterError, LedgerError
from remediator.model.plan import PatchObject
from remediator.model.policy import Policy
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Applied, WriteMark, WriteRefused, WriteResult
from remediator.ports.fences import FenceReport, FenceState
from tests.fakes.clock import StillClock
from tests.fakes.observer import Notebook
from tests.flow.rig import Rules, a_rule

STEP = PatchObject(target=Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="web"), patch={})
MARK = WriteMark(action_id="a", number=1, fence=1, uid="u", resource_version="1")


@dataclass
class Cluster:
    """Answers what it is told to, and counts; then fails."""

    answers: list[FenceState]
    asked: list[tuple[str, ...]] = field(default_factory=list)
    written: list[bool] = field(default_factory=list)
    kept_off: list[str] = field(default_factory=list)

    async def probe_fences(self, specs: Sequence[TargetSpec], allowed: Callable[[Target], bool]) -> FenceReport:
        """Answer."""
        self.kept_off = [name for name in ("web", "db") if not allowed(structs.replace(STEP.target, name=name))]
        self.asked.append(tuple(namespace for spec in specs for namespace in spec.namespaces))
        if not self.answers:
            raise ClusterError("unreachable", "nobody answers", retryable=True)
        return FenceReport(state=self.answers.pop(0), detail=f"trial {len(self.asked)}")

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """Take a write."""
        self.written.append(dry_run)
        return Applied(resource_version="2", generation=2)


@dataclass
class Ledger:
    """Keeps entries, or refuses them."""

    entries: list[NewEntry] = field(default_factory=list)
    down: bool = False

    async def append(self, *entries: NewEntry) -> None:
        """Keep."""
        if self.down:
            raise LedgerError("unavailable", "the database is away", retryable=True)
        self.entries += entries


class Scene:
    """A watch with all that it needs."""

    def __init__(self, *answers: FenceState, required: bool = False) -> None:
        """Set it up."""
        self.cluster = Cluster(list(answers))
        self.ledger = Ledger()
        self.notebook = Notebook()
        self.clock = StillClock()
        self.watch = FenceWatch(
            cluster=self.cluster,
            rulebook=Rules(rules=(a_rule(),)),
            policy=Policy(protected=("deployment/backstage/db",)),
            ledger=self.ledger,
            clock=self.clock,
            observer=self.notebook,
            owner="replica-0",
            required=required,
        )
        self.writer = FencedWriter(self.cluster, self.watch)

    async def look(self, times: int) -> None:
        """Look several times."""
        for _ in range(times):
            await self.watch.look()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (FenceState.ENFORCED, "fences are enforced by the cluster"),
        (FenceState.MISSING, "NOT enforced"),
        (FenceState.BLOCKED, "refuses our writes"),
    ],
)
async def test_what_is_found_is_said_everywhere_once(state: FenceState, words: str) -> None:
    """In the log, in the ledger, and to whoever asks; again only when it changes. The rules say where to look."""
    scene = Scene(state, state, FenceState.UNKNOWN)
    await scene.look(3)
    assert scene.notebook.outcomes("fences") == [state.value]
    (entry,) = scene.ledger.entries
    assert (entry.kind, entry.data) == (EntryKind.FENCES, {"state": state.value, "owner": "replica-0"})
    assert words in entry.summary
    status = await scene.watch.check()
    assert status.ok
    assert words in status.detail
    assert scene.cluster.asked[0] == ("backstage",)
    assert scene.cluster.kept_off == ["db"]


async def test_changes_are_told() -> None:
    """Somebody deletes the policy, and puts it back."""
    scene = Scene(FenceState.ENFORCED, FenceState.MISSING, FenceState.ENFORCED)
    await scene.look(3)
    assert scene.notebook.outcomes("fences") == ["enforced", "missing", "enforced"]
    assert [entry.data["state"] for entry in scene.ledger.entries] == ["enforced", "missing", "enforced"]


async def test_what_is_not_known_is_told_once_and_kept_out_of_the_ledger() -> None:
    """No cluster, no workload, no answer: tried again soon, and a clear answer follows."""
    scene = Scene(FenceState.UNKNOWN, FenceState.UNKNOWN, FenceState.MISSING)
    await scene.look(2)
    assert scene.notebook.outcomes("fences") == ["unknown"]
    assert scene.ledger.entries == []
    await scene.look(1)
    assert scene.notebook.outcomes("fences") == ["unknown", "missing"]


async def test_it_tries_again_soon_until_it_knows(caplog: pytest.LogCaptureFixture) -> None:
    """And from then on every ten minutes."""
    scene = Scene(FenceState.UNKNOWN, FenceState.UNKNOWN, FenceState.ENFORCED, FenceState.ENFORCED)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(scene.watch.run())
        while len(scene.cluster.asked) < 5:
            await asyncio.sleep(0)
        running.cancel()
    assert scene.clock.ahead == pytest.approx(2 * SOON_S + 2 * EVERY_S, abs=EVERY_S)


async def test_it_tries_again_soon_while_writes_wait_for_it() -> None:
    """Where fences are required and missing, somebody is about to apply the policy."""
    scene = Scene(*(FenceState.MISSING,) * 4, required=True)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(scene.watch.run())
        while len(scene.cluster.asked) < 4:
            await asyncio.sleep(0)
        running.cancel()
    assert scene.clock.ahead <= 4 * SOON_S


async def test_writes_go_on_where_nothing_is_required() -> None:
    """Missing, blocked or unknown: the resourceVersion and the database's fences protect them."""
    for state in FenceState:
        scene = Scene(state)
        await scene.look(1)
        assert isinstance(await scene.writer.patch(STEP, MARK), Applied)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(FenceState.MISSING, "forbidden"), (FenceState.BLOCKED, "forbidden"), (FenceState.UNKNOWN, "unreachable")],
)
async def test_nothing_is_written_unless_what_is_required_is_proven(state: FenceState, reason: str) -> None:
    """Not yet known may pass and is tried again; missing calls people. Readiness is red; dry runs go through."""
    scene = Scene(FenceState.ENFORCED, state, required=True)
    before = await scene.writer.patch(STEP, MARK)
    assert isinstance(before, WriteRefused), "not before it was tried"
    await scene.look(1)
    assert isinstance(await scene.writer.patch(STEP, MARK), Applied)
    assert (await scene.watch.check()).ok
    await scene.look(1)
    refused = await scene.writer.patch(STEP, MARK)
    assert isinstance(refused, WriteRefused)
    assert (refused.reason, "--require-fences" in refused.message) == (reason, True)
    assert not (await scene.watch.check()).ok
    assert scene.cluster.written == [False]
    await scene.writer.patch(STEP, MARK, dry_run=True)
    assert scene.cluster.written == [False, True]


async def test_a_ledger_that_is_away_does_not_end_the_watch() -> None:
    """What could not be written down is said in the log."""
    scene = Scene(FenceState.MISSING)
    scene.ledger.down = True
    await scene.look(1)
    assert scene.notebook.outcomes("fences") == ["missing", "unrecorded"]
    scene.ledger.down = False
    scene.cluster.answers.append(FenceState.MISSING)
    await scene.look(1)
    assert [entry.data["state"] for entry in scene.ledger.entries] == ["missing"], "it is made up for"


async def test_the_ledger_is_told_again_after_a_day() -> None:
    """So that the state can be found among its later entries; the log is not."""
    scene = Scene(FenceState.ENFORCED, FenceState.ENFORCED, FenceState.ENFORCED)
    await scene.look(2)
    assert len(scene.ledger.entries) == 1
    scene.clock.ahead += REPEAT_S
    await scene.look(1)
    assert len(scene.ledger.entries) == 2
    assert scene.notebook.outcomes("fences") == ["enforced"]
