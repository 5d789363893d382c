"""Make sense of a postmaster.pid that an earlier owner left behind.

PostgreSQL believes in the file as long as a process with its number exists. After kill -9 that can be a zombie that
nobody reaps (process 1 of many containers does not), or a stranger who got the number: both would keep the database
down for ever. Under our lock the truth can be found out. A dead entry is not removed but made to name a process that
cannot exist, so that PostgreSQL still checks whether orphaned backends use the old shared memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remediator.model.errors import LedgerError

_NOBODY_HAS = 2**31 - 1  # above every kernel's largest process id
_STATUS_LINE = 7
_POLL_SECONDS = 0.01
# An orphan is shutting down by its parent-death signal already; after these seconds it is asked again, then pressed.
_ASK_AFTER, _PRESS_AFTER = 0.5, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """The two lines of postmaster.pid that matter: the server's process and its status."""

    pid: int
    status: str


def read(cluster: Path) -> PidFile | None:
    """What the file says; None when there is none or it is not finished."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid = abs(int(lines[0]))
    except (FileNotFoundError, IndexError, ValueError):
        return None
    return PidFile(pid=pid, status=lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else "")


async def retire(cluster: Path, *, seconds: float) -> None:
    """Wait for an orphaned server on ``cluster`` to end, helping it, and disarm what a dead one left.

    Only under the lock on the state folder. Raises LedgerError when the orphan does not end within ``seconds``.
    """
    loop = asyncio.get_running_loop()
    begun, asked = loop.time(), 0
    signals = ((_ASK_AFTER, signal.SIGINT), (_PRESS_AFTER, signal.SIGQUIT))
    while (left := read(cluster)) is not None and _is_server(left.pid, cluster):
        waited = loop.time() - begun
        if waited > seconds:
            raise LedgerError(
                "unavailable", f"an earlier server (process {left.pid}) on {cluster} does not end: end it by hand"
            )
        if asked < len(signals) and waited >= signals[asked][0]:
            with suppress(ProcessLookupError):
                os.kill(left.pid, signals[asked][1])
            asked += 1
        await asyncio.sleep(_POLL_SECONDS)
    if left is not None and left.pid != _NOBODY_HAS:
        _disarm(cluster / "postmaster.pid")


def _disarm(file: Path) -> None:
    _, newline, rest = file.read_bytes().partition(b"\n")
    # In place: a new file would have to get the server's owner first.
    with file.open("r+b") as writable:
        writable.write(str(_NOBODY_HAS).encode() + newline + rest)
        writable.truncate()


def _is_server(pid: int, cluster: Path) -> bool:
    """Whether ``pid`` is a living PostgreSQL server on ``cluster``; a zombie is dead."""
    process = Path("/proc") / str(pid)
    if not Path("/proc/self").exists():
        return _is_server_by_ps(pid, cluster)
    try:
        state = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        if state in {"Z", "X"}:
            return False
        return (process / "cwd").readlink() == cluster.resolve()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        # Not our user's process, so not the server that we started.
        return False


def _is_server_by_ps(pid: int, cluster: Path) -> bool:
    said = subprocess.run(
        ["/bin/ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    ).stdout.strip()
    return bool(said) and not said.startswith("Z") and str(cluster) in said
