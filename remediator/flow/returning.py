"""Return: what was lent goes back. This stage asks for it when it is due; the others do it, like everything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from msgspec import structs

from remediator.core.returning import next_move, returning, still_needed
from remediator.core.undo_statement import undoing_statement
from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.flow.statements import look
from remediator.flow.undo import compared
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.ports.loans import LoanStore

EVERY_S = 5.0
AT_ONCE = 8
"""So many loans are gone on with in one step: what goes back is in no hurry."""


@dataclass(slots=True)
class Return:
    """The stage."""

    parts: Parts
    bells: Bells
    loans: LoanStore
    _not_before: float = field(default=0.0, init=False)

    async def step(self) -> int:
        """Go on with what is lent, every few seconds; nothing of it calls for another step at once."""
        now = self.parts.clock.monotonic()
        if now < self._not_before:
            return 0
        self._not_before = now + EVERY_S
        if await self.loans.step(AT_ONCE, next_move):
            self.bells.ring(Stage.ASSESS)
        return 0


async def return_facts(parts: Parts, candidate: Candidate) -> Facts:
    """Read the very object that something was lent to, and compare it with how the last step has left it.

    Limits of a database go back in one step: nobody loses a session by it.
    """
    found = await parts.loans.former(int(candidate.fingerprint)) if parts.loans is not None else None
    if found is None:
        detail = f"A{candidate.fingerprint} has lent nothing"
        return Facts(read_at=parts.clock.now(), problem="target_not_found", detail=detail)
    lent = found.lent
    facts = await parts.cluster.reader.facts(lent.target)
    if facts.workload is None:
        return facts
    if lent.plan.statement is not None:
        view = await look(parts, lent.target)
        wanted = structs.replace(undoing_statement(lent, view), loan=lent.number)
        why = still_needed(view, wanted)
    else:
        compare = partial(returning, lent, found.last, later=found.later)
        wanted = await compared(parts, found.last, lent.plan.lever, compare)
        why = ""
    uneasy = "; ".join(filter(None, (why, await _uneasy(parts, lent.number))))
    return structs.replace(facts, undo=structs.replace(wanted, uneasy=uneasy))


async def _uneasy(parts: Parts, number: int) -> str:
    """Return why the measure of a loan is not known to be well; "" if it is, or where the table is not polled."""
    if parts.watch is None or parts.loans is None:
        return ""
    return "; ".join(await parts.loans.uneasy(number, parts.watch.gap_s))
