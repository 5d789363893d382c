"""Changes in a database: once, whatever is lost on the way; and what the answers mean.

Limits are set in one transaction with the action's mark, so a second attempt finds the mark and does nothing. ALTER
SYSTEM cannot be part of a transaction: before it comes an intent, after it what the files say, and meanwhile nobody
else may begin.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec

from remediator.adapters.databases.queries import QUERIES
from remediator.adapters.databases.session import GONE, Session, words
from remediator.model.database import RunStatement, SetLimits, SetServerMaximum
from remediator.ports.cluster import InDoubt, WriteRefused
from remediator.ports.databases import Ran, StatementMark, StatementResult

LOOKS = 20
LOOK_S = 0.1
"""How often, and after how long, it is looked whether the server has read its files anew."""
DONE = "done"
BEGUN = frozenset({"new", "again"})
_SAID = {
    "overtaken": ("overtaken", "a later owner has changed the database (fence {fence})"),
    "void": ("overtaken", "this action was given up before"),
    "changed": ("invalid", "{name} was changed meanwhile, it is {found} now"),
    "fixed": ("invalid", "max_connections is given where the server is started, which counts more than its files"),
    "not_allowed": ("invalid", "the database's owner does not let us set {name} so high (at most {most})"),
}


async def set_limits(session: Session, does: SetLimits, mark: StatementMark, *, dry_run: bool) -> StatementResult | int:
    """Set limits in one transaction; an int is its number, where nobody knows what became of its commit."""
    transaction = session.transaction()
    await transaction.start()
    number = int(await session.fetchval(QUERIES["transaction_id"]))
    idle = does.end_idle
    said = await session.fetchval(
        QUERIES["set_limits"],
        *(mark.action_id, mark.number, mark.fence, msgspec.json.encode(does.limits).decode()),
        *(idle.older_than_s if idle else 0, idle.most if idle else 0, dry_run),
    )
    result = meaning(said)
    if dry_run or not (isinstance(result, Ran) and not result.found):
        await transaction.rollback()
        return result
    try:
        await transaction.commit()
    except GONE:
        return number
    return result


async def outcome(session: Session, number: int, result: StatementResult) -> StatementResult:
    """Say what became of a transaction whose commit was never answered, by its number."""
    status = await session.fetchval(QUERIES["transaction_status"], str(number))
    if status == "committed":
        return result
    if status == "aborted":
        return WriteRefused(reason="unreachable", message="the connection was lost, and nothing was stored")
    return InDoubt(message=f"the connection was lost at the commit; the transaction is {status or 'not known'}")


async def set_maximum(
    session: Session, does: SetServerMaximum, mark: StatementMark, *, dry_run: bool
) -> StatementResult:
    """Write max_connections into the configuration, between an intent and a look at what is there."""
    await session.execute(QUERIES["lock_server"])
    begun = await _intend(session, does, mark, dry_run=dry_run)
    if begun is not None:
        return begun
    try:
        await session.execute(QUERIES["alter_maximum"].format(value=does.value))
    except asyncpg.QueryCanceledError as error:
        return InDoubt(message=f"ALTER SYSTEM was broken off: {words(error)}")
    try:
        return await _finish(session, does, mark)
    except asyncpg.PostgresError as error:
        return InDoubt(message=f"ALTER SYSTEM is done, and what came of it cannot be read: {words(error)}")


async def _finish(session: Session, does: SetServerMaximum, mark: StatementMark) -> StatementResult:
    """Let the server read its files, and read back what they say."""
    await session.execute(QUERIES["reload"])
    # The server reads its files when it comes to it; that it has is told with the rest, and not needed for the mark.
    for _ in range(LOOKS):
        if await session.fetchval(QUERIES["pending"], does.value):
            break
        await asyncio.sleep(LOOK_S)
    return meaning(await session.fetchval(QUERIES["finish_maximum"], mark.action_id, does.value))


async def _intend(
    session: Session, does: SetServerMaximum, mark: StatementMark, *, dry_run: bool
) -> StatementResult | None:
    """Commit the intent; None: go on. Anything else is the end of it."""
    transaction = session.transaction()
    await transaction.start()
    said = await session.fetchval(
        QUERIES["intend_maximum"], mark.action_id, mark.number, mark.fence, does.before, does.value
    )
    begun = msgspec.json.decode(said)["outcome"] in BEGUN
    if dry_run or not begun:
        await transaction.rollback()
        return Ran() if begun else meaning(said)
    await transaction.commit()
    return None


async def settle(session: Session, step: RunStatement, mark: StatementMark, *, close: bool) -> bool:
    """Tell by its mark whether a step was done; ``close``: and see to it that it is not, from now on."""
    value = step.statement.value if isinstance(step.statement, SetServerMaximum) else 0
    state = await session.fetchval(QUERIES["settle"], mark.action_id, mark.number, mark.fence, value, close)
    return bool(state == DONE)


def meaning(said: str) -> StatementResult:
    """Return what an answer of the functions means."""
    answer: dict[str, Any] = msgspec.json.decode(said)
    word = answer.pop("outcome")
    if word in {DONE, "already"}:
        return Ran(details=answer["result"], found=word == "already")
    reason, message = _SAID[word]
    return WriteRefused(reason=reason, message=message.format_map(answer))


def refusal(error: asyncpg.PostgresError) -> WriteRefused:
    """Return what a refused statement means: nothing was stored. Locks and conflicts may be tried again."""
    again = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, asyncpg.SerializationError)
    if isinstance(error, (*again, asyncpg.DeadlockDetectedError)):
        return WriteRefused(reason="throttled", message=words(error))
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return WriteRefused(reason="forbidden", message=words(error))
    return WriteRefused(reason="invalid", message=words(error))
