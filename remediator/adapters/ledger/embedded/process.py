"""Start PostgreSQL's programs through the launcher, with nothing of our environment but what they need."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from remediator.adapters.ledger.embedded.identity import Identity
from remediator.model.errors import InvariantBroken

NAMESPACES_FORBIDDEN = 97
OWNER_GONE = 98
_LAUNCHER = Path(__file__).with_name("launch.py")
# PGPORT, PGDATA and their like must not steer the server; the library path may be what makes REMEDIATOR_PG_BIN run.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended: its exit code and everything it printed."""

    code: int
    output: str


async def spawn(
    identity: Identity,
    command: list[str],
    *,
    death_signal: signal.Signals,
    output: int,
    stdin: int = subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    """Start ``command`` in a session of its own, standard output and error to the descriptor ``output``.

    It gets ``death_signal`` when we die, on Linux. The signal follows the thread that starts the child, hence the
    check: a child started by a worker thread would be shut down when that thread ends.
    """
    if threading.current_thread() is not threading.main_thread():
        raise InvariantBroken("the embedded PostgreSQL must be started from the main thread")
    number = int(death_signal) if sys.platform == "linux" else 0
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-B", str(_LAUNCHER)),
        *(identity.kind, str(identity.uid), str(identity.gid), str(number), str(os.getpid())),
        *command,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        env={"LC_ALL": "C", **{name: os.environ[name] for name in _KEPT if name in os.environ}},
        start_new_session=True,  # Ctrl-C at our terminal is for us; we stop the server when we are done with it
    )


async def run(identity: Identity, command: list[str], *, seconds: float, stdin: str = "") -> Finished:
    """Run ``command``, fed with ``stdin``, to its end within ``seconds``; killed and TimeoutError after that."""
    pipe = subprocess.PIPE
    child = await spawn(identity, command, death_signal=signal.SIGTERM, output=pipe, stdin=pipe)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await child.communicate(stdin.encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return Finished(code=await child.wait(), output=output.decode(errors="replace"))
