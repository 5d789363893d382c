"""In doubt: nobody knows whether a write was stored, so the object is read before anything else is done.

The action's mark on the object (or on a pod template that it made) proves that the write was stored. Without the mark a
second write may be sent only if the object's generation has not moved since the first: then of the two attempts only
one can win. If the object has moved and there is no proof, nobody can know, and people are called.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.flow.statements import settled
from remediator.flow.words import action_entry
from remediator.model.action import ActionState, BeforeImage
from remediator.model.database import RunStatement
from remediator.model.entry import EntryKind
from remediator.model.errors import ClusterError
from remediator.ports.actions import CallPeople, Claim, Conclusion
from remediator.ports.cluster import LiveObject
from remediator.ports.databases import Ran

LONGEST_WAY = timedelta(minutes=10)
"""After its decision's shelf life nothing is sent, and so long after that nothing that was sent is on its way any more:
an API server gives a request up after a minute."""


class Doubt:
    """Settles actions whose write may or may not have been stored."""

    def __init__(self, parts: Parts, bells: Bells) -> None:
        """Keep the ports."""
        self.parts = parts
        self.bells = bells

    async def enter(self, claim: Claim, before: BeforeImage, message: str) -> bool:
        """Write down the doubt and try to settle it at once, for ``doubt_s`` seconds at most.

        True: nothing was stored and the object is as it was, so the write may be sent again on a fresh read. False:
        settled, or left to whoever claims the action when its lease has ended.
        """
        entry = action_entry(EntryKind.ACTION_IN_DOUBT, claim.action, f"no clear answer to the write: {message}", {})
        if not await self.parts.stores.actions.in_doubt(claim.action.number, claim.action.fence, entry):
            return False
        clock, wait = self.parts.clock, 0.25
        until = clock.monotonic() + self.parts.bounds.doubt_s
        while clock.monotonic() < until:
            answer = await self._read_back(claim, before)
            if answer is not None:
                return answer
            await clock.sleep(wait)
            wait = min(wait * 2, 5.0)
        return False

    async def rule_out(self, claim: Claim) -> bool:
        """Look once more before an action ends undone whose write was in doubt (``claim.before``: what it rested on).

        A write that was looked for too early may be stored by now, or yet be: only a newer version of the object keeps
        out one that is still on its way, or a time in which no request can be. True: it was not stored and cannot be
        any more. False: settled otherwise, or left to whoever claims the action when its lease has ended.
        """
        may_land = claim.now < claim.action.good_until + LONGEST_WAY
        return bool(await self._read_back(claim, claim.before, may_land=may_land))

    async def found(self, claim: Claim) -> None:
        """Go on to verification: the object carries this action's mark."""
        what = "object" if claim.action.plan.statement is None else "database"
        await self.applied(
            claim, f"found done: the {what} carries the mark: {claim.action.plan.summary}", {"read_back": True}
        )

    async def ran(self, claim: Claim, result: Ran) -> None:
        """Go on to verification: the statement was run, by this attempt or by one before it."""
        summary = claim.action.plan.summary
        words = f"found done: the database carries the mark: {summary}" if result.found else f"done: {summary}"
        await self.applied(claim, words, {"database": result.details, "read_back": result.found})

    async def applied(self, claim: Claim, summary: str, data: dict[str, Any]) -> None:
        """Write down that the write was stored."""
        entry = action_entry(EntryKind.ACTION_APPLIED, claim.action, summary, data)
        await self.parts.stores.actions.applied(claim.action.number, claim.action.fence, entry)

    async def settle(self, claim: Claim) -> bool:
        """Settle an action that a former owner left after its write may have gone out.

        True: no write was stored and the object is as it was, so the action may be sent again, on a fresh read.
        """
        spent = claim.action.attempts > self.parts.bounds.action_attempts
        answer = await self._read_back(claim, claim.before)
        if spent and answer is not False:
            await self._unknown(claim, f"{claim.action.attempts - 1} attempts ended in doubt")
            return False
        return bool(answer)

    async def _read_back(self, claim: Claim, before: BeforeImage | None, *, may_land: bool = False) -> bool | None:
        """Read the object. True: not stored, may be sent again. False: settled. None: it cannot be read now.

        Mark and generation come from one read: a write that is still on its way may land between two. ``may_land``:
        it is not to be sent again, so as long as such a write could still be stored, nothing is known. A database is
        asked for its mark, and told then that the action is over.
        """
        statement = claim.action.plan.statement
        if statement is not None:
            return await self._ask_database(claim, statement, close=may_land)
        try:
            live = await self.parts.cluster.reader.live(claim.action.target, through=claim.action.plan.lever)
        except ClusterError as error:
            if error.retryable:
                return None
        else:
            if live.marker == claim.action.id:
                await self.found(claim)
                return False
            if may_land and _untouched(live, before):
                await self._unknown(claim, "it was not when the object was read last, and may be yet")
                return False
            if not moved(live, before):
                return True
        return await self._prove(claim)

    async def _ask_database(self, claim: Claim, step: RunStatement, *, close: bool) -> bool | None:
        """Settle by the mark in the database; the meaning is that of ``_read_back``."""
        done = await settled(self.parts, claim.action, step, close=close)
        if done:
            await self.found(claim)
        return None if done is None else not done

    async def _prove(self, claim: Claim) -> bool | None:
        """Settle by a proof, or the lack of it, what the object itself does not tell; None: nobody can look now."""
        proof = await self._proof(claim)
        if proof is None:
            return None
        if proof:
            await self.found(claim)
        else:
            await self._unknown(claim, "the object has changed since, and carries no mark of this action")
        return False

    async def _proof(self, claim: Claim) -> bool | None:
        """Tell whether the mark is anywhere. None: nobody can read that now; what can never be read proves nothing."""
        try:
            reader, action = self.parts.cluster.reader, claim.action
            return bool(await reader.proof(action.target, action.id, through=action.plan.lever))
        except ClusterError as error:
            if error.reason in ("not_found", "gone"):
                return False
            return None

    async def _unknown(self, claim: Claim, why: str) -> None:
        note = f"it cannot be known whether the write was stored: {why}"
        conclusion = Conclusion(
            number=claim.action.number,
            fence=claim.action.fence,
            state=ActionState.UNKNOWN,
            note=note,
            entries=(action_entry(EntryKind.ACTION_REFUSED, claim.action, note, {}, ("unknown",)),),
            successor=CallPeople(message=f"{claim.action.plan.summary}: {note}"),
        )
        await self.parts.stores.actions.conclude(conclusion)
        self.bells.ring(Stage.NOTIFY, Stage.CLOSE)


def _untouched(live: LiveObject, before: BeforeImage | None) -> bool:
    """Tell whether the object is of the very version that our write rested on: then that may yet be stored."""
    return before is not None and live.image.resource_version == before.resource_version


def moved(live: LiveObject, before: BeforeImage | None) -> bool:
    """Tell whether the object is another one, or its spec another, than when our write may have been sent."""
    if before is None:
        return False
    return live.image.uid != before.uid or live.image.generation != before.generation
