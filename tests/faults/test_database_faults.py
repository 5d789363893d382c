"""A sick database: it crashes under load, restarts, refuses to write, is full, locked, or gives way to its standby.

Each time: nobody is answered 200 without a row, nothing is done twice, and the daemon goes on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import ROOMY, Scene, body
from tests.faults.length import LONG
from tests.faults.load import Load
from tests.faults.servers import Server
from tests.faults.stage import RULES, Kind, Target, fleet

CRASHES = 20 if LONG else 2
HELD_S = 60.0 if LONG else 6.0
TABLES = ("signals", "actions", "ledger") if LONG else ("signals", "actions")
APPS = 40
ANSWER_S = 6.0
"""A webhook is answered within its deadline of 5 s, whatever the database does; and a second for a busy machine."""
PATIENCE_S = 90.0
pytestmark = pytest.mark.slow


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server of the test's own."""
    async with Server.made(tmp_path / "database") as made:
        yield made


@dataclass(slots=True)
class Ward:
    """A daemon that takes alerts without a pause while its database falls ill."""

    scene: Scene
    daemon: Daemon
    load: Load
    done: list[Target] = field(default_factory=list)
    _fresh: Iterator[Target] = field(
        default_factory=lambda: (Target(number, Kind.RESTART) for number in itertools.count())
    )

    @classmethod
    @asynccontextmanager
    async def caring(cls, folder: Path, dsn: str) -> AsyncIterator[Ward]:
        """Begin and end well; what is checked at the end holds for every sickness."""
        async with Scene.playing(folder, dsn, fleet(APPS)) as scene:
            daemon = scene.daemon(*ROOMY, "--action-lease", "20s", rules=RULES)
            await daemon.start()
            load = Load(daemon, scene.http)
            ward = cls(scene, daemon, load)
            async with load.pouring():
                await ward.answers(200, 20)
                yield ward
            assert await load.missing(dsn) == (set(), [])
            assert set(load.answers) <= {200, 503}
            assert load.slowest_s < ANSWER_S
            assert {one.key: ward.restarts(one) for one in ward.done} == {one.key: 1 for one in ward.done}
            await scene.until("it is ready again", ward.ready, ledger=False)
            assert await daemon.stop() == 0
            assert [line for line in daemon.lines() if line["level"] in ("error", "critical")] == []

    async def through(self, sickness: Callable[[Ward], Coroutine[None, None, None]]) -> None:
        """Let one alert begin before a sickness and one during it: both targets are restarted, and that is recorded."""
        before, during = next(self._fresh), next(self._fresh)
        began = SystemClock().now()
        await self.post(body([before.labels], began))
        async with asyncio.TaskGroup() as group:
            group.create_task(sickness(self))
            group.create_task(self.post(body([during.labels], began)))
        self.done += [before, during]
        await self.scene.until("both are restarted", lambda: self._all_restarted(before, during), PATIENCE_S)
        await self.post(body([before.labels, during.labels], began, resolved=SystemClock().now()))
        await self.scene.until_resolved(len(self.done), PATIENCE_S)

    async def answers(self, status: int, more: int) -> None:
        """Wait for so many more answers of a status."""
        wanted = self.load.answers[status] + more

        async def enough() -> bool:
            return self.load.answers[status] >= wanted

        await self.scene.until(f"{more} more answers {status}", enough, ledger=False)

    async def ready(self) -> bool:
        """Tell whether it says that it can do its work."""
        return (await self.daemon.get(self.scene.http, "/readyz"))[0] == 200

    def restarts(self, target: Target) -> int:
        """Count the writes that the cluster stored for a target."""
        return sum(1 for write in self.scene.writes() if write.changed and write.path.endswith(target.path))

    async def post(self, document: dict[str, object]) -> None:
        """Post until it is taken."""

        async def taken() -> bool:
            return await self.daemon.post(self.scene.http, document) == 200

        await self.scene.until("the alert is taken", taken, PATIENCE_S, ledger=False)

    async def _all_restarted(self, *targets: Target) -> bool:
        return all(self.restarts(one) for one in targets)


async def _crash(server: Server, ward: Ward) -> None:
    """As in a power cut, again and again, a moment after the start, too."""
    for number in range(CRASHES):
        await server.end(signal.SIGQUIT)
        await asyncio.sleep(0.2 * (number % 5))
        await server.start()
        await ward.answers(200, 5)


async def _restart(server: Server, ward: Ward) -> None:
    """In good order, as for an update: it ends every session, and is away for a moment."""
    await server.end(signal.SIGINT)
    await ward.answers(503, 1)
    assert not await ward.ready()
    assert (await ward.daemon.get(ward.scene.http, "/livez"))[0] == 200
    await server.start()


async def _only_read(server: Server, ward: Ward) -> None:
    """Every write is refused for a while."""
    await server.say("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    await ward.answers(503, 5)
    await server.say("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


async def _lock(table: str, server: Server, ward: Ward) -> None:
    """Somebody holds a table for longer than anybody waits. Intake writes signals alone: only that lock stops it."""
    connection = await asyncpg.connect(server.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE remediator.{table} IN ACCESS EXCLUSIVE MODE")
            taken = ward.load.answers[200]
            await asyncio.sleep(HELD_S)
            assert (ward.load.answers[200] > taken + 20) is (table != "signals")
    finally:
        await connection.close()


@pytest.mark.timeout(1200 if LONG else 240)
async def test_one_sickness_after_another(tmp_path: Path, server: Server) -> None:
    """Crashes, a restart, no writing, locks: the same daemon lives through all of them."""
    locks = [partial(_lock, table) for table in TABLES]
    sicknesses: list[Callable[[Server, Ward], Coroutine[None, None, None]]] = [_crash, _restart, _only_read, *locks]
    async with Ward.caring(tmp_path, server.dsn) as ward:
        for sickness in sicknesses:
            await ward.through(partial(sickness, server))
    assert len(ward.done) == 2 * len(sicknesses)


@pytest.fixture
def little_room(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; skipped by name where nobody may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a full disk needs a file system of its own, and only root may mount one")
    command = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=0700", "remediator-test", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a full disk needs a file system of its own, and none can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_the_disk_is_full(tmp_path: Path, little_room: Path) -> None:
    """No room for another row or another log segment: 503 until somebody makes room, and then everything arrives."""

    async def fill(server: Server, ward: Ward) -> None:
        ballast = little_room / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * (64 << 10))
        await ward.answers(503, 10)
        ballast.unlink()
        if not server.alive:
            await server.start()

    async with Server.made(little_room / "database") as server, Ward.caring(tmp_path, server.dsn) as ward:
        await ward.through(partial(fill, server))
    assert (len(ward.done), ward.load.answers[503] >= 10) == (2, True)


async def test_its_standby_takes_over(tmp_path: Path, server: Server) -> None:
    """The primary is gone for good; its standby has everything that was answered 200, and the daemon finds it."""
    async with server.standby(tmp_path / "standby") as standby:
        hosts = f"{server.running.socket_dir},{standby.running.socket_dir}"
        dsn = f"postgresql://remediator@/remediator?host={hosts}&port=5432,5432&target_session_attrs=primary"

        async def fail_over(_: Ward) -> None:
            await server.end(signal.SIGQUIT)
            await standby.say("SELECT pg_promote()")

        async with Ward.caring(tmp_path, dsn) as ward:
            await ward.through(fail_over)
    assert len(ward.done) == 2
