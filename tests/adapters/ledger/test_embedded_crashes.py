"""Owner and server killed in every order: nothing committed is lost, and the next start needs no help."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.embedded import pidfile, running
from remediator.model.errors import ConfigError, LedgerError
from tests.database_server import DatabaseServer

REPOSITORY = Path(__file__).parents[3]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal and /proc are Linux's")


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Poll a condition until it holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process ended, reaped or not."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def put(dsn: str, number: int) -> None:
    """Commit one row."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
    await connection.execute("INSERT INTO kept VALUES ($1)", number)
    await connection.close()


async def kept(dsn: str) -> list[int]:
    """The rows that are there."""
    connection = await asyncpg.connect(dsn)
    rows = [row["number"] for row in await connection.fetch("SELECT number FROM kept ORDER BY number")]
    await connection.close()
    return rows


async def test_an_owner_that_is_soon_gone_is_waited_for(data_dir: Path) -> None:
    """A command on the ledger of a stopped daemon holds the folder for a second, and the daemon that starts waits."""
    told: list[dict[str, object]] = []

    async def own(opened: asyncio.Event, may_end: asyncio.Event) -> None:
        async with running(data_dir):
            opened.set()
            await may_end.wait()

    opened, may_end = asyncio.Event(), asyncio.Event()

    def waits(**words: object) -> None:
        told.append(words)
        may_end.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(own(opened, may_end))
        await opened.wait()
        async with running(data_dir, waits, patience_s=30) as server:
            assert server.process.returncode is None
    assert told == [{"owner": str(os.getpid()), "seconds": 30}]


async def test_second_owner_is_refused(data_dir: Path) -> None:
    """Two daemons on one folder: the second is told who the first is, and the first does not notice."""
    with DatabaseServer(data_dir, migrated=False) as first:
        with pytest.raises(ConfigError, match=rf"in use by another remediator \(process {first.process.pid}\)"):
            async with running(data_dir, patience_s=0.2):
                pass
        await put(first.dsn, 1)


@linux
def test_server_dies_with_its_owner(data_dir: Path) -> None:
    """After kill -9 of the owner the server shuts itself down, cleanly, without anybody's help."""
    server = DatabaseServer(data_dir, migrated=False)
    server.kill()
    wait_until(lambda: gone(server.pid))
    assert "database system is shut down" in (data_dir / "server.log").read_text()


@pytest.mark.parametrize("server_too", [False, True], ids=["owner", "owner and server"])
async def test_restart_at_once_after_a_kill(data_dir: Path, server_too: bool) -> None:
    """The next owner starts right after kill -9 and finds every committed row."""
    for number in range(3):
        server = DatabaseServer(data_dir, migrated=False)
        await put(server.dsn, number)
        server.kill()
        if server_too:
            os.kill(server.pid, signal.SIGKILL)
    async with running(data_dir) as last:
        assert await kept(last.dsn) == [0, 1, 2]


@linux
async def test_zombie_of_the_server(data_dir: Path) -> None:
    """A server that was killed and never reaped does not count as running."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.ledger.unreaping_parent", str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: " Z " in Path(f"/proc/{pid}/stat").read_text())
        left = pidfile.read(data_dir / "cluster")
        assert left is not None
        assert left.pid == pid
        async with running(data_dir) as server:
            await put(server.dsn, 1)
        assert " Z " in Path(f"/proc/{pid}/stat").read_text()
        parent.communicate(timeout=30)


async def test_number_of_the_server_now_belongs_to_a_stranger(data_dir: Path) -> None:
    """After a reboot or in a new container any process may have the old number."""
    async with running(data_dir):
        content = (data_dir / "cluster" / "postmaster.pid").read_text()
    _, rest = content.split("\n", 1)
    (data_dir / "cluster" / "postmaster.pid").write_text(f"{os.getppid()}\n{rest}")
    async with running(data_dir) as server:
        await put(server.dsn, 1)
        assert server.pid != os.getppid()


@linux
async def test_orphan_that_lives_is_waited_for(data_dir: Path) -> None:
    """A server whose owner is dead but which still has a client is ended, not started over."""
    server = DatabaseServer(data_dir, migrated=False)
    await put(server.dsn, 1)
    os.kill(server.pid, signal.SIGSTOP)  # it cannot follow its owner yet
    server.kill()
    waker = subprocess.Popen(["sh", "-c", f"sleep 0.7; kill -CONT {server.pid}"])
    async with running(data_dir) as second:
        assert gone(server.pid)
        assert await kept(second.dsn) == [1]
    assert waker.wait(timeout=10) == 0


@linux
async def test_orphan_that_hangs_is_reported(data_dir: Path) -> None:
    """An orphan that does not end within the limit is named, and its data not touched."""
    server = DatabaseServer(data_dir, migrated=False)
    os.kill(server.pid, signal.SIGSTOP)
    server.kill()
    with pytest.raises(LedgerError, match=rf"process {server.pid}\) on .* does not end: end it by hand"):
        await pidfile.retire(data_dir / "cluster", seconds=0.05)
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: gone(server.pid))


async def test_unfinished_pid_file_is_no_server(tmp_path: Path) -> None:
    """No file, an empty one and garbage all mean that there is nothing to wait for."""
    assert pidfile.read(tmp_path) is None
    for content in ("", "\n", "not a number\n"):
        (tmp_path / "postmaster.pid").write_text(content)
        assert pidfile.read(tmp_path) is None
        await pidfile.retire(tmp_path, seconds=1)


async def test_immediate_stop_keeps_what_was_committed(data_dir: Path) -> None:
    """As with pg_ctl stop -m immediate: no row that was acknowledged is lost, and the supervisor is told."""
    acknowledged = 0
    async with running(data_dir) as server:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("CREATE TABLE kept (number int)")
        for number in range(200):
            await connection.execute("INSERT INTO kept VALUES ($1)", number)
            acknowledged += 1
            if number == 150:
                os.kill(server.pid, signal.SIGQUIT)
                with pytest.raises(LedgerError, match="ended by itself") as raised:
                    await server.wait()
                assert raised.value.retryable
                break
        connection.terminate()
    async with running(data_dir) as server:
        assert await kept(server.dsn) == list(range(acknowledged))
