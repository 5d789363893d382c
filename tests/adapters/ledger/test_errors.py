"""Every kind of database error becomes the right reason, and tells no value."""

from __future__ import annotations

import asyncpg
import pytest

from remediator.adapters.ledger.errors import LedgerReason, ledger_error, translate, translated
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.model.errors import LedgerError


@pytest.mark.parametrize(
    ("state", "reason", "retryable"),
    [
        ("08006", "unavailable", True),
        ("57P01", "unavailable", True),
        ("57P03", "unavailable", True),
        ("57014", "timeout", True),
        ("55P03", "timeout", True),
        ("25P03", "timeout", True),
        ("40001", "contention", True),
        ("40P01", "contention", True),
        ("25006", "read_only", True),
        ("53100", "disk_full", True),
        ("53200", "disk_full", True),
        ("53300", "busy", True),
        ("23505", "conflict", False),
        ("23P01", "conflict", False),
        ("23514", "data", False),
        ("22P02", "data", False),
        ("22021", "data", False),
        ("28P01", "permission", False),
        ("42501", "permission", False),
        ("3D000", "permission", False),
        ("42P01", "bug", False),
        ("42601", "bug", False),
        ("XX000", "bug", False),
        ("ZZ999", "bug", False),
    ],
)
def test_states(state: str, reason: str, retryable: bool) -> None:
    """The table of SQLSTATEs; what is unknown is never retried."""
    error = asyncpg.PostgresError.new({"C": state, "M": "words"})
    found = translate(error)
    assert (found.reason, found.retryable) == (reason, retryable)
    assert state in found.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(111, "Connection refused"), "unavailable"),
        (FileNotFoundError(2, "No such file or directory"), "unavailable"),
        (asyncpg.InterfaceError("connection is closed"), "unavailable"),
        (asyncpg.InternalClientError("got result for unknown protocol state"), "unavailable"),
        (asyncpg.InvalidCachedStatementError("cached statement plan is invalid"), "contention"),
    ],
)
def test_driver_and_sockets(error: Exception, reason: str) -> None:
    """What is not from the server has a reason too, and may be retried."""
    found = translate(error)
    assert (found.reason, found.retryable) == (reason, True)


def test_values_stay_out() -> None:
    """Errors about data quote the data; we do not."""
    fields = {"C": "22P02", "M": 'invalid input syntax for type integer: "hunter2"', "D": "hunter2", "c": "column_x"}
    found = translate(asyncpg.PostgresError.new(fields))
    assert str(found) == "data: InvalidTextRepresentationError (column_x) [22P02]"


def test_long_words_are_cut() -> None:
    """A page of server words becomes one line."""
    error = asyncpg.PostgresError.new({"C": "42P01", "M": "x" * 5000 + "\nsecond"})
    assert len(str(translate(error))) < 300


def test_cause_is_kept() -> None:
    """The foreign error is chained, for the one place that needs its constraint's name."""
    refused = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(LedgerError) as raised, translated():
        raise refused
    assert raised.value.__cause__ is refused


def test_other_errors_pass() -> None:
    """A bug in our own code stays what it is."""
    with pytest.raises(KeyError), translated():
        raise KeyError


@pytest.mark.parametrize("reason", list(LedgerReason))
def test_every_reason_knows_whether_to_retry(reason: LedgerReason) -> None:
    """Whether to retry follows from the reason alone."""
    final = {LedgerReason.CONFLICT, LedgerReason.DATA, LedgerReason.PERMISSION, LedgerReason.BUG}
    assert ledger_error(reason, "x").retryable is (reason not in final)


async def test_parameters_that_do_not_fit_their_statement_are_a_bug(pool: LedgerPool) -> None:
    """Asyncpg raises the same class for a closed connection; only that one is an outage."""
    with pytest.raises(LedgerError) as raised:
        async with transaction(pool) as connection:
            await connection.fetch("SELECT 1", 2)
    assert (raised.value.reason, raised.value.retryable) == ("bug", False)
