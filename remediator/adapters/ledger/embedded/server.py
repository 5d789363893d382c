"""One running PostgreSQL server: start it, watch it, stop it."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from remediator.adapters.ledger.embedded import pidfile, process
from remediator.adapters.ledger.embedded.cluster import DATABASE, ROLE, Cluster
from remediator.adapters.ledger.embedded.places import PORT, Places, log_tail
from remediator.model.errors import LedgerError

_POLL_SECONDS = 0.004
_RETRY_SECONDS = 0.1
_LOG_CHECK_SECONDS = 60.0
# Each step of a stop: the signal, and how long it may take. Smart lets clients finish, fast ends their sessions,
# immediate leaves the rest to crash recovery; nothing that was committed is lost by any of them.
_STOP_STEPS = ((signal.SIGTERM, 1.0), (signal.SIGINT, 8.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_STILL_USED = "pre-existing shared memory block"

# What must hold whatever the configuration file says is given on the command line: durability and privacy.
_FIXED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "restart_after_crash": "on",
}
# Modest: a daemon's own book-keeping on a machine that has other work.
_MODEST = {
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_checkpoints": "off",
    "log_parameter_max_length_on_error": "0",
}
_FROM_18 = {"io_method": "sync"}


@dataclass(slots=True, kw_only=True)
class EmbeddedPostgres:
    """A server that we own. Made by ``running``; its life ends with that context, or with this process."""

    places: Places
    cluster: Cluster
    socket_dir: Path
    process: asyncio.subprocess.Process
    _stopping: bool = field(default=False)

    @property
    def dsn(self) -> str:
        """The connection string of the database, over the private socket."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={PORT}&sslmode=disable"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def major(self) -> int:
        """PostgreSQL's major version."""
        return self.cluster.binaries.major

    async def wait(self) -> None:
        """Return when the server was stopped by ``stop``; raise LedgerError when it ended in any other way.

        Keeps the server's log within bounds meanwhile, so a supervisor should always have this running.
        """
        while self.process.returncode is None:
            try:
                async with asyncio.timeout(_LOG_CHECK_SECONDS):
                    await self.process.wait()
            except TimeoutError:
                self.places.trim_log()
        if not self._stopping:
            raise LedgerError(
                "unavailable",
                f"the embedded PostgreSQL ended by itself (exit {self.process.returncode}); "
                f"last words in {self.places.log}:\n"
                f"{log_tail(self.places.log)}",
                retryable=True,
            )

    async def stop(self) -> None:
        """Shut down: wait a second for clients, then end their sessions, then insist. Takes 20 s at the very worst."""
        self._stopping = True
        for signal_number, seconds in _STOP_STEPS:
            if self.process.returncode is not None:
                break
            try:
                self.process.send_signal(signal_number)
                async with asyncio.timeout(seconds):
                    await self.process.wait()
            except (TimeoutError, ProcessLookupError):
                continue
        if self.socket_dir.parent != self.places.root and self.socket_dir.exists():
            for leftover in self.socket_dir.iterdir():
                leftover.unlink()
            self.socket_dir.rmdir()


async def start(places: Places, cluster: Cluster, *, seconds: float) -> EmbeddedPostgres:
    """Start the server and return when it takes connections. Raises LedgerError after ``seconds`` or when it fails."""
    socket_dir = places.socket_dir()
    if cluster.identity.kind == "drop":
        os.chown(socket_dir, cluster.identity.uid, cluster.identity.gid)
    # The socket has a lock file with a process number too, believed as blindly; whoever held it has been retired.
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (socket_dir / name).unlink(missing_ok=True)
    places.trim_log()
    try:
        async with asyncio.timeout(seconds):
            while True:
                server = EmbeddedPostgres(
                    places=places,
                    cluster=cluster,
                    socket_dir=socket_dir,
                    process=await _launch(places, cluster, socket_dir),
                )
                if await _is_up(server):
                    return server
                await asyncio.sleep(_RETRY_SECONDS)
    except TimeoutError as error:
        raise LedgerError(
            "unavailable",
            f"the embedded PostgreSQL did not start within {seconds:.0f} s; last words in {places.log}:\n"
            f"{log_tail(places.log)}",
            retryable=True,
        ) from error


async def _launch(places: Places, cluster: Cluster, socket_dir: Path) -> asyncio.subprocess.Process:
    settings = _FIXED | _MODEST | (_FROM_18 if cluster.binaries.major >= 18 else {})  # noqa: PLR2004 - a version
    command = [cluster.binaries.postgres, "-D", str(cluster.path), "-k", str(socket_dir), "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with places.log.open("ab") as log:
        places.log.chmod(0o600)
        return await process.spawn(cluster.identity, command, death_signal=signal.SIGINT, output=log.fileno())


async def _is_up(server: EmbeddedPostgres) -> bool:
    """Wait until the server says that it is ready; False when it may be tried again. Stopped if we are interrupted."""
    try:
        while server.process.returncode is None:
            said = pidfile.read(server.cluster.path)
            if said is not None and said.pid == server.pid and said.status == "ready":
                return True
            await asyncio.sleep(_POLL_SECONDS)
    except BaseException:
        await server.stop()
        raise
    words = log_tail(server.places.log)
    if _STILL_USED in words[-1024:]:
        return False
    raise LedgerError(
        "unavailable",
        f"the embedded PostgreSQL did not start (exit {server.process.returncode}); last words in "
        f"{server.places.log}:\n{words}",
    )
