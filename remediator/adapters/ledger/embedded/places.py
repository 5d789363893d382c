"""Where the embedded PostgreSQL keeps its things, and the lock that gives them one owner.

``<data_dir>/cluster`` is PostgreSQL's own data directory, ``server.log`` its log, ``run`` its socket (in a short
private folder elsewhere when the path would not fit into a socket address), ``lock`` the lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from remediator.model.errors import ConfigError

PORT = 5432
# Linux has room for 107 bytes and a NUL in a socket's address, macOS for 103.
_ADDRESS_BYTES = 103
_PRIVATE = 0o700
_LOG_BYTES = 8 << 20
_LOCK_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files and folders of one embedded PostgreSQL."""

    root: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "cluster"

    @property
    def log(self) -> Path:
        """What the server writes to its standard error."""
        return self.root / "server.log"

    @property
    def lock(self) -> Path:
        """The lock of the one owner."""
        return self.root / "lock"

    def socket_dir(self) -> Path:
        """Make and return a folder that only we may enter and that fits into a socket's address."""
        near = self.root / "run"
        if len(os.fsencode(near / f".s.PGSQL.{PORT}")) <= _ADDRESS_BYTES:
            near.mkdir(mode=_PRIVATE, exist_ok=True)
            near.chmod(_PRIVATE)
            return near
        return _short_dir(self.root)

    def clear_leftovers(self) -> None:
        """Remove half-made clusters that a killed owner left behind; only under the lock."""
        for leftover in self.root.glob("new-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def trim_log(self) -> None:
        """Cut the log when it has grown past 8 MiB, keeping its last 64 KiB; the server appends to it meanwhile."""
        if not self.log.exists() or self.log.stat().st_size <= _LOG_BYTES:
            return
        kept = log_tail(self.log, 64 << 10)
        with self.log.open("r+b") as file:
            file.truncate(0)
        with self.log.open("ab") as file:
            file.write(kept.encode())


def log_tail(log: Path, size: int = 2048) -> str:
    """The last ``size`` bytes of a log, from the start of a line."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - size)
        file.seek(start)
        text = file.read(size).decode(errors="replace")
    return text.partition("\n")[2] if start else text


def prepare(root: Path) -> Places:
    """Make the state folder (readable by us alone when we make it). Raises ConfigError when that cannot be done."""
    absolute = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would also follow the operator's symbolic links
    try:
        absolute.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        if not os.access(absolute, os.W_OK | os.X_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise ConfigError(
            f"the database's folder {absolute} cannot be used ({error.strerror or error}): "
            "choose another state folder or correct its owner and mode"
        ) from error
    return Places(root=absolute)


@asynccontextmanager
async def owned(places: Places, *, seconds: float, waits: Callable[..., None] | None = None) -> AsyncIterator[None]:
    """Hold the lock on the state folder; wait so long for another owner, and tell ``waits`` of it.

    Raises ConfigError, naming the owner, when it still holds the lock then.
    """
    # The descriptor is not inherited by children, so the lock goes with us even when we are killed.
    with places.lock.open("a+", encoding="ascii") as file:
        if not _locked(file):
            if waits is not None:
                waits(owner=_owner(file), seconds=seconds)
            await _wait_for(file, places, seconds)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


async def _wait_for(file: TextIO, places: Places, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                await asyncio.sleep(_LOCK_POLL_SECONDS)
                if _locked(file):
                    return
    except TimeoutError as error:
        raise ConfigError(
            f"the database in {places.root} is in use by another remediator (process {_owner(file)}): "
            "stop that one, or choose another state folder, or give both the same --database-url"
        ) from error


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(file: TextIO) -> str:
    file.seek(0)
    return file.read(32).strip() or "unknown"


def _short_dir(root: Path) -> Path:
    name = f"remediator-{os.geteuid()}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"):  # noqa: S108 - checked below to be ours alone
        folder = Path(parent, name)
        if not parent or len(os.fsencode(folder)) > _ADDRESS_BYTES - len(f"/.s.PGSQL.{PORT}"):
            continue
        try:
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
        except OSError:
            continue
        if _ours_alone(folder):
            return folder
    # Somebody else sits on our names: a fresh one cannot be guessed.
    return Path(tempfile.mkdtemp(prefix="remediator-", dir="/tmp"))


def _ours_alone(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
