"""SQLSTATE, driver and socket errors -> LedgerError, once, at the edge.

The reasons form a closed set (they become a metric label). Messages never carry values: PostgreSQL's detail and, for
errors about data, its message too quote what was written, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import asyncpg

from remediator.model.errors import LedgerError

_MESSAGE_CHARS = 256


class LedgerReason(StrEnum):
    """Why the database did not do what was asked."""

    UNAVAILABLE = "unavailable"
    """Not reachable, starting, stopping, or the connection was lost before COMMIT was sent."""
    COMMIT_UNKNOWN = "commit_unknown"
    """The connection was lost while COMMIT was under way: it may have happened."""
    TIMEOUT = "timeout"
    """A statement, a lock or a connection took longer than its limit."""
    CONTENTION = "contention"
    """Deadlock or serialization failure: the transaction lost against another one."""
    READ_ONLY = "read_only"
    """A standby, or a server switched to read-only."""
    DISK_FULL = "disk_full"
    """No room for data, or no memory."""
    BUSY = "busy"
    """The server has no connection left for us."""
    CONFLICT = "conflict"
    """A unique or exclusion constraint: it is there already. The chained error has ``constraint_name``."""
    DATA = "data"
    """The server or the driver refused a value."""
    PERMISSION = "permission"
    """Wrong credentials or a missing right."""
    FULL = "full"
    """Our own queue before the database is full."""
    CLOSING = "closing"
    """We are shutting down."""
    BUG = "bug"
    """The statement is wrong, or the schema is not ours."""


_BY_STATE = {
    "25006": LedgerReason.READ_ONLY,
    "42501": LedgerReason.PERMISSION,
    "23505": LedgerReason.CONFLICT,
    "23P01": LedgerReason.CONFLICT,
    "53300": LedgerReason.BUSY,
    "25P03": LedgerReason.TIMEOUT,
    "55P03": LedgerReason.TIMEOUT,
    "57014": LedgerReason.TIMEOUT,
    "57P05": LedgerReason.TIMEOUT,
}
_BY_CLASS = {
    "08": LedgerReason.UNAVAILABLE,
    "22": LedgerReason.DATA,
    "23": LedgerReason.DATA,
    "28": LedgerReason.PERMISSION,
    "3D": LedgerReason.PERMISSION,
    "40": LedgerReason.CONTENTION,
    "53": LedgerReason.DISK_FULL,
    "54": LedgerReason.DATA,
    "57": LedgerReason.UNAVAILABLE,
    "58": LedgerReason.UNAVAILABLE,
}
_RETRYABLE = frozenset(
    {
        LedgerReason.UNAVAILABLE,
        LedgerReason.COMMIT_UNKNOWN,
        LedgerReason.TIMEOUT,
        LedgerReason.CONTENTION,
        LedgerReason.READ_ONLY,
        LedgerReason.DISK_FULL,
        LedgerReason.BUSY,
        LedgerReason.FULL,
        LedgerReason.CLOSING,
    }
)
_QUOTE_VALUES = frozenset({LedgerReason.DATA, LedgerReason.CONFLICT})


def ledger_error(reason: LedgerReason, message: str) -> LedgerError:
    """A LedgerError whose ``retryable`` follows from its reason."""
    return LedgerError(reason.value, message, retryable=reason in _RETRYABLE)


def translate(error: Exception) -> LedgerError:
    """The LedgerError for an error of asyncpg, of a socket, or of a deadline. Raise it ``from error``."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return ledger_error(LedgerReason.CONTENTION, "the schema changed under a prepared statement")
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error)
    if isinstance(error, TimeoutError):
        return ledger_error(LedgerReason.TIMEOUT, "the database did not answer in time")
    if isinstance(error, OSError):
        return ledger_error(LedgerReason.UNAVAILABLE, f"the database cannot be reached ({error.strerror or error})")
    if isinstance(error, ValueError):
        # asyncpg refuses a value before it is sent; its words quote the value.
        return ledger_error(LedgerReason.DATA, "a value does not fit its parameter")
    if "argument" in str(error) and "query" in str(error):
        # asyncpg's word for a statement and its parameters that do not fit: no outage, and waiting cures nothing.
        return ledger_error(LedgerReason.BUG, _cut(str(error)))
    return ledger_error(LedgerReason.UNAVAILABLE, f"the connection cannot be used ({_cut(str(error))})")


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver and of sockets inside the block into LedgerError, the cause chained.

    A connection string that the driver cannot read stays its ValueError.
    """
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise translate(error) from error


def _from_server(error: asyncpg.PostgresError) -> LedgerError:
    state = error.sqlstate or ""
    reason = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], LedgerReason.BUG)
    place = next((f" ({name})" for name in (error.constraint_name, error.column_name, error.table_name) if name), "")
    words = type(error).__name__ if reason in _QUOTE_VALUES else _cut(str(error.args[0] if error.args else error))
    return ledger_error(reason, f"{words}{place} [{state or 'no SQLSTATE'}]")


def _cut(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= _MESSAGE_CHARS else f"{line[:_MESSAGE_CHARS]}..."
