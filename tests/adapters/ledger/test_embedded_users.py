"""The server as root, as an ordinary user, as a user nobody knows, and where namespaces are forbidden."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.embedded import identity
from remediator.adapters.ledger.embedded.identity import Identity
from remediator.model.errors import ConfigError
from tests.database_server import DatabaseServer

UNKNOWN = 54321
NOBODY = pwd.getpwnam("nobody")
NO_NAMESPACES = (sys.executable, str(Path(__file__).with_name("no_namespaces.py")))

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="user namespaces are Linux's"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the users of these tests"),
]


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder on a path that everybody may enter (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="remediator-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def program_for_anybody() -> tuple[str, str] | None:
    """A Python of our version that other users may run, and where it finds our packages; None when there is none."""
    packages = sysconfig.get_path("platlib")
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        if not Path(python).exists():
            continue
        try:
            for path in (Path(python).resolve().parent, Path(packages), Path(__file__).parent):
                identity.check_reach(Identity(kind="drop", uid=UNKNOWN, gid=UNKNOWN), path)
        except ConfigError:
            continue
        return python, packages
    return None


PROGRAM = program_for_anybody()
reachable = pytest.mark.skipif(PROGRAM is None, reason="other users may not enter this repository or its environment")


def start(data_dir: Path, *, user: int | None = None, prefix: tuple[str, ...] = ()) -> DatabaseServer:
    """A server whose owner may be any user."""
    assert PROGRAM is not None
    python, packages = PROGRAM
    return DatabaseServer(
        data_dir, migrated=False, user=user, program=[*prefix, python], environment={"PYTHONPATH": packages}
    )


async def works(server: DatabaseServer) -> bool:
    """Whether the server answers."""
    connection = await asyncpg.connect(server.dsn)
    try:
        return bool(await connection.fetchval("SELECT true"))
    finally:
        await connection.close()


async def test_root_keeps_private_folders_private(tmp_path: Path) -> None:
    """As root the data stays root's and no folder on the way is opened to others."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with DatabaseServer(closed / "state", migrated=False) as server:
        assert await works(server)
        assert (closed.stat().st_mode & 0o777, (closed / "state").stat().st_mode & 0o777) == (0o700, 0o700)
        assert (closed / "state" / "cluster" / "PG_VERSION").stat().st_uid == 0
    shutil.rmtree(closed)


@reachable
@pytest.mark.parametrize("user", [NOBODY.pw_uid, UNKNOWN], ids=["known", "without an entry"])
async def test_ordinary_user(open_dir: Path, user: int) -> None:
    """An ordinary user owns its server, whether or not /etc/passwd knows it."""
    os.chown(open_dir, user, user)
    for _ in range(2):
        with start(open_dir / "state", user=user) as server:
            assert await works(server)
            assert (open_dir / "state" / "cluster" / "PG_VERSION").stat().st_uid == user


@reachable
async def test_root_opens_what_a_user_made(open_dir: Path) -> None:
    """Started once with sudo: the server runs as the owner of the data, who can go on afterwards."""
    user = NOBODY.pw_uid
    os.chown(open_dir, user, user)
    for who in (user, None, user):
        with start(open_dir / "state", user=who) as server:
            assert await works(server)
            assert (open_dir / "state" / "cluster" / "PG_VERSION").stat().st_uid == user


@reachable
async def test_root_without_namespaces(open_dir: Path) -> None:
    """As in a container with a strict profile: the data is given to nobody and the server drops to it."""
    for _ in range(2):
        with start(open_dir / "state", prefix=NO_NAMESPACES) as server:
            assert await works(server)
            assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY.pw_uid
            assert (open_dir / "state" / "cluster" / "PG_VERSION").stat().st_uid == NOBODY.pw_uid


@reachable
async def test_root_loses_namespaces_later(open_dir: Path) -> None:
    """Data made under a namespace is handed over when the next start finds them forbidden."""
    for prefix in ((), NO_NAMESPACES, ()):
        with start(open_dir / "state", prefix=prefix) as server:
            assert await works(server)


def test_closed_path_is_named(tmp_path: Path) -> None:
    """Where the user dropped to may not go, the folder is named, before anything is started."""
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    tmp_path.chmod(0o755)
    closed.chmod(0o700)
    who = Identity(kind="drop", uid=UNKNOWN, gid=UNKNOWN)
    with pytest.raises(ConfigError, match=f"who may not enter {closed}: run remediator as an ordinary user"):
        identity.check_reach(who, closed / "inner")
    os.chown(closed, UNKNOWN, 0)
    (closed / "inner").chmod(0o755)


def test_somebody_elses_data(open_dir: Path) -> None:
    """An ordinary user is told whose data it is."""
    os.chown(open_dir, UNKNOWN, UNKNOWN)
    assert identity.choose(open_dir) == Identity(kind="drop", uid=UNKNOWN, gid=UNKNOWN)
    os.seteuid(NOBODY.pw_uid)
    try:
        with pytest.raises(ConfigError, match=f"belongs to user {UNKNOWN}, not to {NOBODY.pw_uid}: run remediator as"):
            identity.choose(open_dir)
    finally:
        os.seteuid(0)
