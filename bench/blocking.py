"""``blocking``: how long the daemon answers nobody while it does the largest things that it is ever given.

A probe asks the daemon 200 times a second, and a bare server beside it as often: what that one is late with, the
machine is late with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.bodies import Series, body
from bench.daemon import Daemon, Setup, daemon, metric
from bench.database import Databases, databases, fetch
from bench.lines import BenchFailedError, Program, made, program
from bench.load import Plan, Sent
from bench.probe import Answers, Watch
from bench.report import Report
from bench.rulefiles import write_idle_rules, write_restart_rule
from bench.statistics import median, percentile
from bench.table import Cell, Goal
from remediator.adapters.clock import SystemClock

MOST_MS = 50.0
LARGEST_BODY = 5 * 2**20
HEAD = ("while", "took s", "p50 ms", "p99 ms", "longest ms", "longest of all", "bare longest ms", "own gauge ms")
BEFORE_S, AFTER_S = 1.0, 2.0
LATEST_S = 120.0
LAG = "remediator_event_loop_lag_seconds"
OURS, BARE = "daemon", "bare"
OK = 200
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    rounds: int
    body_bytes: int = LARGEST_BODY
    bodies: int = 3
    pods: int = 1000
    rules: int = 10_000


@dataclass(frozen=True, slots=True)
class Scene:
    """A daemon that is watched while ``play`` has it do something, in a folder of its own."""

    daemon: Daemon
    folder: Path
    dsn: str
    cluster: Program | None
    wanted: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something large. ``rules`` writes its rule files and returns their folder."""

    name: str
    rules: Callable[[Path, Size], Path]
    play: Callable[[Scene], Awaitable[None]]
    with_cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What the probe saw of one act. ``gauge_ms``: what the daemon says of itself."""

    took_s: float
    ours: Answers
    bare: Answers
    gauge_ms: float


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about half a minute a round, or everything in small."""
    if quick:
        return Size(rounds=1, body_bytes=2**18, bodies=1, pods=50, rules=200)
    return Size(rounds=rounds)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    acts = _acts(wanted)
    rules = {act.name: act.rules(folder / f"rules-{place}", wanted) for place, act in enumerate(acts)}
    found: dict[str, list[Round]] = {act.name: [] for act in acts}
    async with databases(folder / "postgres") as server:
        for number in range(wanted.rounds):
            for place, act in enumerate(acts):
                run = made(folder / f"a{place}r{number}")
                async with _scene(act, rules[act.name], server, run, wanted) as scene:
                    found[act.name].append(await _watched(scene, act))
    rows = [_row(name, rounds) for name, rounds in found.items()]
    report.table(f"Longest time without an answer, {wanted.rounds} rounds", HEAD, rows)
    for name, rounds in found.items():
        longest = median([max(one.ours.took_ms) for one in rounds])
        report.goal(Goal(f"longest time without an answer, {name}", longest, MOST_MS, most=True, unit=" ms"))
    failed = sum(one.ours.failed for rounds in found.values() for one in rounds)
    report.must("requests of the probe without an answer", failed, 0)


def _row(name: str, rounds: list[Round]) -> tuple[Cell, ...]:
    longest = [max(one.ours.took_ms) for one in rounds]
    return (
        name,
        median([one.took_s for one in rounds]),
        *(median([percentile(one.ours.took_ms, percent) for one in rounds]) for percent in (50, 99)),
        median(longest),
        max(longest),
        median([max(one.bare.took_ms) for one in rounds]),
        median([one.gauge_ms for one in rounds]),
    )


def _acts(wanted: Size) -> tuple[Act, ...]:
    mib = f"{wanted.body_bytes / 2**20:g} MiB"
    return (
        Act(name="nothing", rules=_idle, play=_rest),
        Act(name=f"a body of {mib}", rules=_idle, play=_post),
        Act(name=f"a body of {mib}, odd", rules=_idle, play=_post_odd),
        Act(name=f"a workload of {wanted.pods:,} pods", rules=_acting, play=_act, with_cluster=True),
        Act(name=f"a reload of {wanted.rules:,} rules", rules=_many, play=_reload),
    )


@asynccontextmanager
async def _scene(act: Act, rules: Path, server: Databases, folder: Path, wanted: Size) -> AsyncIterator[Scene]:
    async with server.fresh(f"blocking_{folder.name}") as dsn, _cluster(act, folder, wanted) as cluster:
        kubeconfig = folder / "kubeconfig" if cluster else None
        async with daemon(Setup(folder=folder, rules=rules, dsn=dsn, kubeconfig=kubeconfig)) as ours:
            # The client is imported beside the start, and that is not what is looked at.
            await asyncio.sleep(2.0)
            yield Scene(ours, folder, dsn, cluster, wanted)


@asynccontextmanager
async def _cluster(act: Act, folder: Path, wanted: Size) -> AsyncIterator[Program | None]:
    if not act.with_cluster:
        yield None
        return
    words = [str(folder / "kubeconfig"), "1", str(wanted.pods)]
    async with program("sandbox", words, folder / "cluster.log") as cluster:
        yield cluster


async def _watched(scene: Scene, act: Act) -> Round:
    log = scene.folder / "probe.log"
    async with program("bare", [], log) as bare:
        watch = Watch(ports={OURS: scene.daemon.port, BARE: bare.ready["port"]})
        async with program("probe", [msgspec.json.encode(watch).decode()], log) as probe:
            await probe.ask("begin")
            await asyncio.sleep(BEFORE_S)
            began = time.monotonic()
            await act.play(scene)
            took_s = time.monotonic() - began
            await asyncio.sleep(AFTER_S)
            answers = msgspec.convert(await probe.ask("end"), dict[str, Answers])
    gauge_ms = 1000 * await metric(scene.daemon, LAG)
    return Round(took_s=took_s, ours=answers[OURS], bare=answers[BARE], gauge_ms=gauge_ms)


def _idle(folder: Path, _wanted: Size) -> Path:
    return write_idle_rules(folder, 10)


def _acting(folder: Path, _wanted: Size) -> Path:
    return write_restart_rule(folder, evidence=True)


def _many(folder: Path, wanted: Size) -> Path:
    write_idle_rules(_others(folder), wanted.rules, "P3")
    return write_idle_rules(folder, wanted.rules)


def _others(folder: Path) -> Path:
    """Return where rules wait that take the place of those in ``folder``, and those afterwards."""
    return folder.with_name(f"{folder.name}-others")


async def _rest(_scene: Scene) -> None:
    await asyncio.sleep(AFTER_S)


async def _post(scene: Scene) -> None:
    await _send(scene, bodies=scene.wanted.bodies, per_body=alerts_in(scene.wanted.body_bytes))


async def _post_odd(scene: Scene) -> None:
    await _send(scene, bodies=scene.wanted.bodies, per_body=alerts_in(scene.wanted.body_bytes), odd=True)


async def _send(scene: Scene, *, bodies: int, per_body: int, odd: bool = False) -> None:
    """Post bodies one after the other, and wait until all of them are matched."""
    plan = Plan(
        port=scene.daemon.port,
        run=scene.folder.name,
        starts_at=SystemClock().now(),
        bodies=bodies,
        per_body=per_body,
        connections=1,
        token=scene.daemon.setup.token,
        odd=odd,
    )
    async with program("load", [msgspec.json.encode(plan).decode()], scene.folder / "load.log") as load:
        sent = msgspec.convert(await load.ask("go", LATEST_S), Sent)
    if set(sent.status) != {OK}:
        raise BenchFailedError(f"bodies of {per_body} alerts were answered {sorted(set(sent.status))}")
    await _until("all alerts are matched", lambda: _none_waits(scene))


async def _act(scene: Scene) -> None:
    """Have the one workload investigated and restarted."""
    await _send(scene, bodies=1, per_body=1)
    await _until("the workload was written to", lambda: _written(scene))


async def _reload(scene: Scene) -> None:
    """Put rules of the same names in the place of all others, and wait until they are in force."""
    folder = scene.daemon.setup.rules
    before = (await fetch(scene.dsn, "daemon_rule_loads"))[0][0]
    for file in sorted(_others(folder).iterdir()):
        place = folder / file.name
        old = place.read_bytes()
        file.replace(place)
        file.write_bytes(old)

    async def loaded() -> bool:
        return bool((await fetch(scene.dsn, "daemon_rule_loads"))[0][0] > before)

    await _until("the rules are in force", loaded)


async def _none_waits(scene: Scene) -> bool:
    return bool((await fetch(scene.dsn, "daemon_behind"))[0][0] == 0)


async def _written(scene: Scene) -> bool:
    return scene.cluster is not None and bool(await scene.cluster.ask("dump"))


async def _until(what: str, reached: Callable[[], Awaitable[bool]]) -> None:
    ends = time.monotonic() + LATEST_S
    while not await reached():
        if time.monotonic() > ends:
            raise BenchFailedError(f"it was not reached within {LATEST_S:.0f} s that {what}")
        await asyncio.sleep(_LOOK_S)


def alerts_in(size_bytes: int) -> int:
    """Return how many alerts a body of at most so many bytes holds."""
    series = Series(run="x" * 16, starts_at=SystemClock().now(), per_body=100)
    return (size_bytes - 1024) * series.per_body // len(body(series, 9_000))
