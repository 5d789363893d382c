"""The match stage's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.endings import lock_admission
from remediator.adapters.ledger.pool import Connection, LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.signal import AlertState, StoredSignal
from remediator.ports.matching import AlertKey, Judge, JudgeAgain, Matched, NewCandidate


class LedgerMatchStore:
    """Implements ports.matching.MatchStore."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool

    async def match(self, limit: int, judge: Judge) -> int:
        """Match up to ``limit`` signals; 0 also when another replica is matching now."""
        async with transaction(self._pool) as connection:
            if not await connection.fetchval(QUERIES["lock_matching"]):
                return 0
            waiting = await connection.fetch(QUERIES["take_signals"], limit)
            if not waiting:
                return 0
            signals = tuple(rows.stored_signal(row) for row in waiting)
            made = judge(signals, await _states(connection, signals))
            await _write(connection, made)
            await connection.execute(QUERIES["mark_matched"], [signal.id for signal in signals])
            if made.candidates:
                await connection.execute(QUERIES["wake"], "assess")
            return len(signals)

    async def match_again(self, after: AlertKey, limit: int, judge: JudgeAgain) -> AlertKey | None:
        """Look at up to ``limit`` firing alerts after a key; return the last of them, None at the end."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["firing_alerts"], *after, limit)
            states = tuple(rows.alert_state(row) for row in found)
            candidates = judge(states)
            if candidates:
                await lock_admission(connection)
                await _put_candidates(connection, candidates)
                await connection.execute(QUERIES["wake"], "assess")
        return (states[-1].source, states[-1].fingerprint) if states else None


async def _states(connection: Connection, signals: tuple[StoredSignal, ...]) -> dict[AlertKey, AlertState]:
    keys = {(stored.signal.source, stored.signal.fingerprint) for stored in signals}
    found = await connection.fetch(QUERIES["alert_states"], [key[0] for key in keys], [key[1] for key in keys])
    states = (rows.alert_state(row) for row in found)
    return {(state.source, state.fingerprint): state for state in states}


async def _write(connection: Connection, made: Matched) -> None:
    if made.candidates or made.resolved:
        # Else a decision under way could end the candidate that stands for a new episode, not knowing of it.
        await lock_admission(connection)
    if made.resolved:
        # Actions before incidents before candidates: the order in which an action's end locks them, too.
        ended = [key[0] for key in made.resolved], [key[1] for key in made.resolved]
        await connection.execute(QUERIES["hasten_verification"], *ended)
        await connection.execute(QUERIES["hasten_incidents"], *ended)
    await _put_states(connection, made.states)
    if made.candidates:
        await _put_candidates(connection, made.candidates)
    if made.entries:
        await connection.execute(QUERIES["append_entries"], rows.entries_json(made.entries))


async def _put_states(connection: Connection, states: Sequence[AlertState]) -> None:
    await connection.execute(
        QUERIES["put_states"],
        [state.source for state in states],
        [state.fingerprint for state in states],
        [state.status.value for state in states],
        [state.starts_at for state in states],
        [state.ends_at for state in states],
        [state.changed_at for state in states],
        [rows.as_json(state.labels) for state in states],
    )


async def _put_candidates(connection: Connection, wanted: Sequence[NewCandidate]) -> None:
    await connection.execute(
        QUERIES["put_candidates"],
        [new.rule for new in wanted],
        [new.source for new in wanted],
        [new.fingerprint for new in wanted],
        [rows.as_json(new.labels) for new in wanted],
        [new.severity for new in wanted],
        [new.priority for new in wanted],
    )
