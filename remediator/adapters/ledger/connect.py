"""Open single connections, and judge whether a server may be entrusted with alerts.

The same code serves the embedded server, a server of the operator's and a server behind pgbouncer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from remediator.adapters.ledger.errors import translated
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.errors import ConfigError, LedgerError

Plain: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

APPLICATION_ROLE = "remediator_app"
CONNECT_SECONDS = 10.0
MINIMUM_VERSION = 15_00_00
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What was found out about a server: whether we speak with it directly, as which role to work, what to tell."""

    direct: bool
    role: str | None
    version: str
    warnings: tuple[str, ...]


async def connect(dsn: str, *, name: str, command_seconds: float) -> Plain:
    """One connection of its own, without prepared statements, each command limited to ``command_seconds``.

    Raises ConfigError when ``dsn`` is no connection string, LedgerError when nobody answers.
    """
    try:
        with translated():
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=command_seconds,
                statement_cache_size=0,
                server_settings={"application_name": f"remediator-{name}"},
            )
    except ValueError as error:
        # The driver's words may quote the string, and with it a password.
        raise ConfigError(
            "the database's connection string cannot be understood: it should look like "
            "postgresql://user@host:5432/database (--database-url, REMEDIATOR_DATABASE_URL)"
        ) from error


async def judge(connection: Plain) -> Server:
    """Look at the server behind ``connection``, after the migrations.

    Raises ConfigError, listing every fault, when it would lose or refuse what we write.
    """
    with translated():
        facts = await connection.fetchrow(QUERIES["server_facts"])
        if facts is None:
            raise ConfigError("the database answers no query: is --database-url that of a PostgreSQL server?")
        if faults := _faults(facts):
            raise ConfigError(*faults)
        role, warnings = await _role(connection)
    # A pooler invents the process number that it tells its clients; a server tells its own.
    direct = facts["backend"] == connection.get_server_pid()
    return Server(direct=direct, role=role, version=facts["version_text"], warnings=warnings)


def _faults(facts: asyncpg.Record) -> tuple[str, ...]:
    checks = (
        (
            facts["version"] < MINIMUM_VERSION,
            f"the database server is PostgreSQL {facts['version_text']}: version 15 or newer is needed",
        ),
        (
            facts["standby"],
            "the database server is a standby: give --database-url the primary (target_session_attrs=primary)",
        ),
        (
            facts["read_only"] and not facts["standby"],
            (
                "default_transaction_read_only is on for the database user: nothing could be recorded; "
                "ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off"
            ),
        ),
        (
            facts["synchronous_commit"] == "off",
            (
                "synchronous_commit is off for the database user: alerts answered with 200 would be lost in a crash; "
                "ALTER ROLE or ALTER DATABASE ... SET synchronous_commit = on"
            ),
        ),
        (facts["fsync"] == "off", "fsync is off on the database server: a crash would destroy what was recorded"),
        (
            facts["isolation"] != "read committed",
            (
                f"default_transaction_isolation is {facts['isolation']!r} for the database user, limits are counted "
                "under locks at 'read committed'; ALTER ROLE or ALTER DATABASE ... SET default_transaction_isolation"
            ),
        ),
        (
            facts["encoding"] != "UTF8",
            f"the database's encoding is {facts['encoding']}: make one with CREATE DATABASE ... ENCODING 'UTF8'",
        ),
    )
    return tuple(message for wrong, message in checks if wrong)


async def _role(connection: Plain) -> tuple[str | None, tuple[str, ...]]:
    unprotected = "so the ledger is not protected against the daemon's own statements"
    has_rights = await connection.fetchval(QUERIES["application_role"])
    if has_rights is None:
        return None, (
            (
                f"the role {APPLICATION_ROLE} is not there and the database user may not make it, {unprotected}: "
                f"as an administrator run CREATE ROLE {APPLICATION_ROLE} NOLOGIN before the first start"
            ),
        )
    if not has_rights:
        return None, (
            (
                f"the role {APPLICATION_ROLE} has no rights in the schema, {unprotected}: "
                "run migration 0002 again as the schema's owner"
            ),
        )
    await connection.execute("BEGIN")
    try:
        await connection.execute(f"SET LOCAL ROLE {APPLICATION_ROLE}")
    except asyncpg.InsufficientPrivilegeError:
        return None, (
            (
                f"the database user may not become {APPLICATION_ROLE}, {unprotected}: "
                f"as an administrator run GRANT {APPLICATION_ROLE} TO that user"
            ),
        )
    finally:
        await connection.execute("ROLLBACK")
    return APPLICATION_ROLE, ()


async def system_identifier(dsn: str) -> int:
    """Return what tells the server behind ``dsn`` from all others, by whatever name they are reached."""
    connection = await connect(dsn, name="identity", command_seconds=CONNECT_SECONDS)
    try:
        with translated():
            return int(await connection.fetchval(QUERIES["system_identifier"]))
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


def without_password(dsn: str) -> str:
    """Return a connection string that may be kept: without the password, wherever it stands in it."""
    parts = urlsplit(dsn)
    user, at, place = parts.netloc.rpartition("@")
    netloc = user.partition(":")[0] + at + place
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name not in _SECRET_PARAMETERS])
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")


async def own_login(dsn: str) -> str:
    """Return the connection string by which to work on a server that is ours alone, after the migrations.

    There the application role may log in itself: whoever did so cannot become the owner again, whatever he is made to
    say. (On an operator's server that is the operator's to arrange.)
    """
    connection = await connect(dsn, name="login", command_seconds=CONNECT_SECONDS)
    try:
        with translated():
            await connection.execute(QUERIES["let_role_log_in"])
    finally:
        await connection.close(timeout=CONNECT_SECONDS)
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{APPLICATION_ROLE}@{parts.netloc.rpartition('@')[2]}").geturl()


async def reachable(dsn: str) -> bool:
    """Tell whether a server answers at ``dsn`` (a command looks for the daemon's own, which may be gone)."""
    try:
        connection = await connect(dsn, name="look", command_seconds=CONNECT_SECONDS)
    except LedgerError:
        return False
    await connection.close(timeout=CONNECT_SECONDS)
    return True
