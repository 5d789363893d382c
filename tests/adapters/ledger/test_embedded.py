"""The embedded PostgreSQL's life: made, started, shared with nobody, stopped; what it promises meanwhile."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from asyncio import Runner
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.embedded import running
from remediator.adapters.ledger.embedded.places import Places
from remediator.model.errors import ConfigError, InvariantBroken, LedgerError


async def test_promises(data_dir: Path) -> None:
    """Durable, UTF-8, checksummed, byte-ordered, and reachable only through a private socket."""
    async with running(data_dir) as server:
        connection = await asyncpg.connect(server.dsn)
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
            ["fsync", "synchronous_commit", "full_page_writes", "data_checksums", "server_encoding"],
        )
        assert {row["name"]: row["setting"] for row in rows} == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
        }
        assert await connection.fetchval("SELECT 'a' > 'B' COLLATE \"default\"")
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SELECT current_database()") == "remediator"
        await connection.close()
        for folder in (server.socket_dir, server.cluster.path):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert os.getsid(server.pid) == server.pid, "Ctrl-C at our terminal must not reach the server"


async def test_configuration_file_cannot_take_durability_away(data_dir: Path) -> None:
    """What keeps acknowledged alerts safe holds against the configuration file and ALTER SYSTEM."""
    with (data_dir / "cluster" / "postgresql.auto.conf").open("a") as file:
        file.write("fsync = off\nsynchronous_commit = off\nlisten_addresses = '127.0.0.1'\n")
    async with running(data_dir) as server:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert await connection.fetchval("SHOW listen_addresses") == ""
        await connection.close()


async def test_existing_cluster_starts_quickly(data_dir: Path) -> None:
    """Start-up has a budget; the bound here leaves room for a busy machine (0.1 s on a quiet one)."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        async with running(data_dir):
            times.append(time.perf_counter() - begun)
    assert min(times) < 1.0


async def test_stop_does_not_wait_for_clients(data_dir: Path) -> None:
    """A forgotten client costs the smart second, not the shutdown, and its socket folder stays ours."""
    async with running(data_dir) as server:
        connection = await asyncpg.connect(server.dsn)
        begun = time.perf_counter()
    assert 0.9 < time.perf_counter() - begun < 9
    assert server.process.returncode == 0
    connection.terminate()


async def test_wait_returns_after_a_stop(data_dir: Path) -> None:
    """A server that was stopped on purpose is no fault."""
    async with running(data_dir) as server:
        assert server.process.returncode is None
    await server.wait()
    assert server.process.returncode == 0


async def test_long_path(made: Path, tmp_path: Path) -> None:
    """A path too long for a socket's address gets a short private folder, which goes with the server."""
    folder = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 4)
    folder.parent.mkdir(parents=True)
    shutil.copytree(made, folder)
    async with running(folder) as server:
        assert len(os.fsencode(server.socket_dir)) < 80
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        connection = await asyncpg.connect(server.dsn)
        await connection.close()
    assert not server.socket_dir.exists()
    shutil.rmtree(tmp_path)


async def test_squatter_on_the_short_folder(tmp_path: Path) -> None:
    """A folder under our name that others may enter is not used."""
    places = Places(root=tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 4))
    first = places.socket_dir()
    first.chmod(0o777)
    second = places.socket_dir()
    try:
        assert second != first
        assert stat.S_IMODE(second.stat().st_mode) == 0o700
    finally:
        first.rmdir()
        second.rmdir()


async def test_opened_folder_is_closed_again(data_dir: Path) -> None:
    """A volume that adds group rights on each mount does not keep the server down."""
    (data_dir / "cluster").chmod(0o770)
    async with running(data_dir):
        assert stat.S_IMODE((data_dir / "cluster").stat().st_mode) == 0o700


async def test_leftovers_of_a_killed_initdb_are_removed(data_dir: Path) -> None:
    """Half a cluster is never taken for one, and does not stay."""
    (data_dir / "new-half" / "base").mkdir(parents=True)
    async with running(data_dir):
        assert not (data_dir / "new-half").exists()


async def test_not_a_cluster(tmp_path: Path) -> None:
    """Somebody else's folder is left alone, with advice."""
    (tmp_path / "cluster").mkdir()
    with pytest.raises(ConfigError, match=r"is not a PostgreSQL data directory .* move it away"):
        async with running(tmp_path):
            pass


async def test_file_in_the_way(tmp_path: Path) -> None:
    """A state folder that cannot be made says so."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/state cannot be used \(Not a directory\)"):
        async with running(tmp_path / "file" / "state"):
            pass


async def test_other_version_is_refused(data_dir: Path) -> None:
    """A cluster of a PostgreSQL that is not here is not touched, and the way out is told."""
    (data_dir / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigError, match=r"made by PostgreSQL 17\. no PostgreSQL 17 on this machine .*pg_dumpall"):
        async with running(data_dir):
            pass
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


async def test_only_the_main_thread_may_start_it(data_dir: Path) -> None:
    """The parent-death signal follows the thread that starts the server."""
    raised: list[BaseException] = []

    async def start() -> None:
        async with running(data_dir):
            pass

    def other_thread() -> None:
        try:
            with Runner() as runner:
                runner.run(start())
        except InvariantBroken as error:
            raised.append(error)

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_log_is_bounded(tmp_path: Path) -> None:
    """The log is cut past 8 MiB and keeps its newest lines."""
    places = Places(root=tmp_path)
    places.trim_log()
    line = "x" * 99 + "\n"
    places.log.write_text(line * 90_000 + "the end\n")
    places.trim_log()
    kept = places.log.read_text()
    assert len(kept) < 70_000
    assert kept.startswith("xxx")
    assert kept.endswith("the end\n")
    places.trim_log()
    assert places.log.read_text() == kept


async def test_server_that_cannot_start_tells_its_last_words(data_dir: Path) -> None:
    """What the server complained of is in the error, not only in a file."""
    (data_dir / "cluster" / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(LedgerError, match="no_such_setting"):
        async with running(data_dir):
            pass
