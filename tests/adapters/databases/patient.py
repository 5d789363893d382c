"""A PostgreSQL to be repaired: a server of its own, the functions installed, roles and sessions to be judged."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from remediator.adapters.databases.entries import Entry
from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.adapters.databases.queries import SETUP
from remediator.model.database import ChangedLimit, EndIdle, LimitScope, RunStatement, SetLimits, SetServerMaximum
from remediator.model.target import Kind, Target
from remediator.ports.databases import StatementMark

POSTGRES = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="postgres", uid="u-1")
ROLE = "remediator_db"
APP = 'back"stage; DROP'
"""A role whose name has to be quoted."""
GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "raise-connections.md"
GRANTS = re.findall(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[1]
"""What the guide tells administrators to grant: no more, and it has to be enough."""
ROLES = """
CREATE ROLE remediator_db LOGIN NOSUPERUSER;
CREATE ROLE "back""stage; DROP" LOGIN CONNECTION LIMIT 10;
CREATE ROLE copier LOGIN REPLICATION;
"""


@dataclass
class Patient:
    """A database with the functions installed, and what a test does to it as its administrator."""

    dsn: str
    sql: asyncpg.Connection[asyncpg.Record]
    password: Path

    @property
    def entry(self) -> Entry:
        """Return how the daemon knows it."""
        parts = urlsplit(self.dsn)
        return Entry(
            name="backstage",
            workload=POSTGRES.key,
            host=parse_qs(parts.query)["host"][0],
            port=int(parse_qs(parts.query).get("port", ["5432"])[0]),
            database=parts.path.lstrip("/"),
            user=ROLE,
            password_file=self.password,
            secret="",
            tls="off",
            ca=None,
            memory=None,
        )

    @property
    def databases(self) -> PostgresDatabases:
        """Return the adapter, as one replica has it."""
        return PostgresDatabases(entries=(self.entry,))

    async def limit(self, role: str = APP) -> int:
        """Return a role's limit as it is now."""
        return int(await self.sql.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", role))

    async def marks(self) -> list[tuple[str, str]]:
        """Return the marks: action and state."""
        rows = await self.sql.fetch("SELECT action_id, state FROM remediator_limits.applied ORDER BY at")
        return [(row["action_id"], row["state"]) for row in rows]

    async def session(self, user: str, application: str = "app") -> asyncpg.Connection[asyncpg.Record]:
        """Open a session as somebody."""
        entry = self.entry
        return await asyncpg.connect(
            host=entry.host,
            port=entry.port,
            user=user,
            database=entry.database,
            server_settings={"application_name": application},
        )


@asynccontextmanager
async def patient(dsn: str, folder: Path) -> AsyncIterator[Patient]:
    """Install the functions in a fresh database, and undo at the end what counts for the whole server."""
    password = folder / "password"
    password.write_text("not asked for on a socket\n")
    sql = await asyncpg.connect(dsn)
    try:
        if not await sql.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
            await sql.execute(ROLES)
        await sql.execute("""ALTER ROLE "back""stage; DROP" CONNECTION LIMIT 10""")
        await sql.execute(SETUP)
        await sql.execute(GRANTS)
        await sql.execute(
            "INSERT INTO remediator_limits.allowed VALUES ('role', $1, 200), ('server', 'max_connections', 300)", APP
        )
        yield Patient(dsn=dsn, sql=sql, password=password)
    finally:
        await sql.execute("ALTER SYSTEM RESET max_connections")
        await sql.execute("SELECT pg_reload_conf()")
        await sql.close()


def raising(limit: int = 20, *, before: int = 10, idle: EndIdle | None = None, name: str = APP) -> RunStatement:
    """Return the step that raises the application's limit."""
    change = ChangedLimit(scope=LimitScope.ROLE, name=name, before=before, limit=limit)
    return RunStatement(target=POSTGRES, database="backstage", statement=SetLimits(limits=(change,), end_idle=idle))


def maximum(value: int, *, before: int) -> RunStatement:
    """Return the step that writes max_connections."""
    return RunStatement(target=POSTGRES, database="backstage", statement=SetServerMaximum(before=before, value=value))


def mark(action: str = "a", fence: int = 5) -> StatementMark:
    """Return the mark of an action; ``action`` is repeated to a full id."""
    return StatementMark(action_id=(action * 40)[:40], number=7, fence=fence)
