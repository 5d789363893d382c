"""Databases that are repaired (never our own): what is known of their connections, and what may be changed of them."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from remediator.model.target import Target


class LimitScope(StrEnum):
    """What a connection limit is set on."""

    ROLE = "role"
    DATABASE = "database"


class ConnectionLimit(Struct, frozen=True, kw_only=True):
    """One limit that the database's owner lets us raise, up to ``most``. ``limit`` -1: there is none. ``used``: now."""

    scope: LimitScope
    name: str
    limit: int
    used: int
    most: int


class Holders(Struct, frozen=True, kw_only=True):
    """Sessions of one user and application in one state; ``longest_s``: since when the first of them is in it."""

    user: str
    application: str
    database: str
    state: str
    count: int
    longest_s: int


class DatabaseFacts(Struct, frozen=True, kw_only=True):
    """One PostgreSQL server as one look found it. ``name`` is that of its entry in the file of databases.

    ``reserved``: connections that ordinary roles cannot have. ``used``: sessions of clients. Sizes in bytes; ``memory``
    is what the server may use, None where nobody said. ``pending``: max_connections as it will be after a restart.
    ``managed_by``: what else decides about its settings. ``server_most``: up to how many max_connections may be raised
    (0: not by us). ``idle``: age in seconds of each session that idles in a transaction and may be ended, oldest first.
    ``standbys`` follow this server, and need as many connections as it has.
    """

    name: str
    version: int
    in_recovery: bool
    max_connections: int
    reserved: int
    used: int
    shared_buffers: int
    work_mem: int
    limits: tuple[ConnectionLimit, ...] = ()
    holders: tuple[Holders, ...] = ()
    idle: tuple[int, ...] = ()
    pending: int | None = None
    memory: int | None = None
    managed_by: str = ""
    server_most: int = 0
    standbys: int = 0

    @property
    def ordinary(self) -> int:
        """Return how many connections ordinary roles can have together."""
        return self.max_connections - self.reserved


class DatabaseView(Struct, frozen=True, kw_only=True):
    """What a look at the database of a workload found: facts, or why there are none and what to do about it."""

    facts: DatabaseFacts | None = None
    problem: str = ""


class ChangedLimit(Struct, frozen=True, kw_only=True):
    """One limit, from the very value that was seen to another; refused where it is not that value any more."""

    scope: LimitScope
    name: str
    before: int
    limit: int

    def __str__(self) -> str:
        """Return ``role backstage from 50 to 100``."""
        return f"{self.scope} {self.name} from {self.before} to {self.limit}"


class EndIdle(Struct, frozen=True, kw_only=True):
    """End sessions that have been idle in a transaction for longer than so many seconds, ``most`` of them."""

    older_than_s: int
    most: int


class SetLimits(Struct, frozen=True, kw_only=True, tag="set_limits"):
    """Set connection limits, all or none; then end idle sessions. Needs no restart."""

    limits: tuple[ChangedLimit, ...]
    end_idle: EndIdle | None = None


class SetServerMaximum(Struct, frozen=True, kw_only=True, tag="set_server_maximum"):
    """Write max_connections into the server's configuration; it counts from the next restart, which is not ours."""

    before: int
    value: int


Statement = SetLimits | SetServerMaximum


class RunStatement(Struct, frozen=True, kw_only=True, tag="run_statement"):
    """Change one database, in a transaction of it with the action's mark. ``database``: its entry's name."""

    target: Target
    database: str
    statement: Statement
