"""Bring the database to this version: numbered plain SQL files, each in one transaction, under one lock.

``migrations/NNNN_what.sql`` are applied in the order of their numbers and recorded with their SHA-256. A file is never
changed after it was released: the next one corrects it. Every start calls ``migrate``; when there is nothing to do
that costs one connection and two reads. Statements that cannot run in a transaction (CREATE INDEX CONCURRENTLY) have
no place here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from remediator.adapters.ledger.connect import CONNECT_SECONDS, Plain, connect
from remediator.adapters.ledger.errors import translated
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.errors import ConfigError, InvariantBroken

MIGRATIONS = Path(__file__).with_name("migrations")
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_CLIENT_SECONDS = 900.0
# Waiting for another replica's migration; then, for a lock that running transactions hold; then for the statement.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '120s'"
_LIMITS = "SET LOCAL lock_timeout = '15s'; SET LOCAL statement_timeout = '600s'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sha256: str
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What was done: the versions applied now, the newest version, and what the operator should know."""

    applied: tuple[int, ...]
    version: int
    warnings: tuple[str, ...]


def read_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """The migrations in ``folder`` by number. Raises InvariantBroken on a gap, a doubled number or a strange name."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise InvariantBroken(f"{file.name} is not named NNNN_what.sql")
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        found.append(Migration(version=int(match[1]), name=file.name, sha256=digest, sql=data.decode()))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise InvariantBroken(f"migrations must be numbered 1, 2, 3...: {[migration.name for migration in found]}")
    return tuple(found)


async def migrate(dsn: str, folder: Path = MIGRATIONS) -> MigrationReport:
    """Apply what is missing and tell what was done.

    Raises ConfigError when the database is newer than this program, was changed by hand or gives us no right to make
    the schema, naming what to do; LedgerError when it cannot be reached or a lock is not to be had.
    """
    wanted = read_migrations(folder)
    warnings: list[str] = []

    def listen(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if getattr(message, "severity_en", "") == "WARNING":
            warnings.append(str(getattr(message, "message", message)))

    with translated():
        connection = await connect(dsn, name="migrate", command_seconds=_CLIENT_SECONDS)
        try:
            connection.add_log_listener(listen)
            applied = await _apply_all(connection, wanted)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    return MigrationReport(applied=applied, version=len(wanted), warnings=tuple(warnings))


async def not_applied(connection: Plain) -> tuple[str, ...]:
    """Return the names of the migrations that the database lacks; raises ConfigError as ``migrate`` does."""
    with translated():
        return tuple(one.name for one in _missing(read_migrations(), await _recorded(connection)))


async def _apply_all(connection: Plain, wanted: Sequence[Migration]) -> tuple[int, ...]:
    missing = _missing(wanted, await _recorded(connection))
    applied = []
    while missing:
        await connection.execute(_BEGIN)
        try:
            await connection.execute(QUERIES["lock_migrations"])
            await _make_room(connection)
            # Another replica may have been faster.
            missing = _missing(wanted, await _recorded(connection))
            if missing:
                await _apply(connection, missing[0])
                applied.append(missing.pop(0).version)
            await connection.execute("COMMIT")
        except BaseException:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
    return tuple(applied)


async def _recorded(connection: Plain) -> dict[int, tuple[str, str]]:
    if not await connection.fetchval(QUERIES["migrations_exist"]):
        return {}
    rows = await connection.fetch(QUERIES["applied_migrations"])
    return {row["version"]: (row["name"], row["sha256"]) for row in rows}


def _missing(wanted: Sequence[Migration], recorded: dict[int, tuple[str, str]]) -> list[Migration]:
    known = {migration.version: migration for migration in wanted}
    if unknown := sorted(set(recorded) - set(known)):
        raise ConfigError(
            f"the database has migration {unknown[-1]} ({recorded[unknown[-1]][0]}), this program knows {len(wanted)}: "
            "a newer remediator has been here; run that version, or restore a backup made before it"
        )
    for version, (_, digest) in recorded.items():
        if known[version].sha256 != digest:
            raise ConfigError(
                f"migration {known[version].name} is not the one that was applied to the database: install the release "
                "that made the database, or restore the file; a released migration is never changed"
            )
    return [migration for migration in wanted if migration.version not in recorded]


async def _make_room(connection: Plain) -> None:
    try:
        if not await connection.fetchval(QUERIES["schema_exists"]):
            await connection.execute(QUERIES["create_schema"])
        if not await connection.fetchval(QUERIES["migrations_exist"]):
            await connection.execute(QUERIES["create_migrations"])
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            "the database user may not make the schema 'remediator': as the database's owner run "
            "CREATE SCHEMA remediator AUTHORIZATION <that user>, or GRANT CREATE ON DATABASE <name> TO <that user>"
        ) from error


async def _apply(connection: Plain, migration: Migration) -> None:
    await connection.execute(_LIMITS)
    try:
        await connection.execute(migration.sql)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"the database's schema lacks {migration.name}, and the database user may not apply it ({error.args[0]}): "
            "run remediator ledger migrate with the schema's owner as user"
        ) from error
    except asyncpg.SyntaxOrAccessError as error:
        raise ConfigError(
            f"{_place(migration, error)}: {error.args[0]} [{error.sqlstate}]; nothing of it was applied"
        ) from error
    if not connection.is_in_transaction():
        raise InvariantBroken(
            f"{migration.name} ends its transaction: COMMIT and ROLLBACK have no place in a migration"
        )
    digest = migration.sha256
    await connection.execute(QUERIES["record_migration"], migration.version, migration.name, digest)


def _place(migration: Migration, error: asyncpg.PostgresError) -> str:
    position = getattr(error, "position", None)
    if position is None:
        return migration.name
    line = migration.sql.count("\n", 0, int(position) - 1) + 1
    return f"{migration.name}:{line}"
