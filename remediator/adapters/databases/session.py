"""One connection to a database that is repaired: short, alone, with deadlines, and with its faults in plain words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from remediator import redaction
from remediator.adapters.databases.entries import Entry
from remediator.model.errors import ConfigError, PortError

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ReadSecret = Callable[[str, str, str], Awaitable[str]]
"""From namespace, name and key to the value in a Kubernetes Secret; raises PortError where it cannot be read."""

CONNECT_S = 5.0
COMMAND_S = 10.0
CLOSE_S = 2.0
NAME = "remediator"
_SETTINGS = {
    "application_name": NAME,
    "lock_timeout": "5s",
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "30s",
    # Whatever the role's defaults are: a mark that is told must last.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
}
LOST = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What is raised where nobody knows what became of the statement that was sent last."""
GONE = (*LOST, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError)
"""The same, and what a server says to a session that somebody ends."""
LONGEST = 256


class CannotOpen(PortError):
    """No session could be had: nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Opens sessions. ``read_secret`` is None where there is no cluster to read Secrets from."""

    read_secret: ReadSecret | None = None

    @asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator[Session]:
        """Open one session, and end it in any case; raises CannotOpen."""
        try:
            session = await asyncpg.connect(
                host=entry.host,
                port=entry.port,
                user=entry.user,
                password=await self._password(entry),
                database=entry.database,
                ssl=_tls(entry),
                timeout=CONNECT_S,
                command_timeout=COMMAND_S,
                statement_cache_size=0,
                server_settings=_SETTINGS,
            )
        except asyncpg.TooManyConnectionsError as error:
            raise CannotOpen(
                "full",
                f"database {entry.name} has no connection left for us ({words(error)}): let {entry.user} use reserved "
                "ones (GRANT pg_use_reserved_connections, with reserved_connections > 0; PostgreSQL 16)",
            ) from error
        except (*LOST, asyncpg.PostgresError, ValueError) as error:
            raise CannotOpen("unreachable", f"database {entry.name} cannot be reached: {words(error)}") from error
        try:
            yield session
        finally:
            await _end(session)

    async def _password(self, entry: Entry) -> str:
        if entry.password_file is not None:
            try:
                # A few bytes of a local file; Secrets that are mounted change, so it is read each time.
                return await asyncio.to_thread(read_password, entry.password_file)
            except ConfigError as error:
                raise CannotOpen("credentials", str(error)) from error
        if self.read_secret is None:
            raise CannotOpen("credentials", f"database {entry.name}: there is no cluster to read {entry.secret} from")
        namespace, name, key = entry.secret.split("/")
        try:
            return await self.read_secret(namespace, name, key)
        except PortError as error:
            message = f"database {entry.name}: the Secret {namespace}/{name} cannot be read: {error.message}"
            raise CannotOpen("credentials", message) from error


def read_password(path: Path) -> str:
    """Return the password in a file; raise ConfigError, which names the file, where there is none."""
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must hold one password and nothing else") from error
    if not password or "\n" in password:
        raise ConfigError(f"{path}: must hold one password and nothing else")
    return password


def words(error: BaseException) -> str:
    """Return what went wrong, without secrets and not too long."""
    return redaction.text(str(error) or type(error).__name__)[:LONGEST]


def _tls(entry: Entry) -> ssl.SSLContext | bool:
    if entry.tls == "off":
        return False
    try:
        context = ssl.create_default_context(cafile=entry.ca)
    except OSError as error:
        raise CannotOpen("credentials", f"database {entry.name}: {entry.ca}: {error.strerror or error}") from error
    if entry.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _end(session: Session) -> None:
    """Say goodbye; whoever does not listen is left. Nothing that matters is on its way any more."""
    try:
        await session.close(timeout=CLOSE_S)
    except (*LOST, asyncpg.PostgresError):
        session.terminate()
