"""READ FIRST: the whole behaviour of the daemon behind its front door, in the order that data takes.

    inbox -> match -> assess -> admit -> execute -> verify -> close
                                  |         |         |         |
                                  +---------+---------+---------+--> notify

Each arrow is a committed row in PostgreSQL; each stage is a lane that takes rows, and a bell only saves the wait for
the next poll. A crash anywhere leaves the row that says what is next, for this process or for another replica.

- match: signals change their alerts and become candidates under the rules that match (``flow.match``, ``core.signals``)
- assess: each candidate's target is found and its facts are read (``flow.assess``)
- admit: every decision, in one transaction under one lock: Act, Observe, Ask or Hold (``flow.admit``, ``core.admit``)
- execute: an admitted action becomes one write, at most once (``flow.execute``, ``flow.doubt``)
- verify: did it help? (``flow.verify``, ``core.judge``); if not, the next rung, or people (``core.escalate``)
- close: the incident ends when all is silent and healthy (``flow.close``)
- notify: people are told, from the outbox (``flow.notify``)
- reconcile: Alertmanager is asked what the inbox was not told, and Prometheus what it missed (``flow.reconcile``)
- return: what was lent is asked back when it has not been needed for a while (``flow.returning``)
- poll: Prometheus is asked for every row of the threshold table (``flow.poll``, ``core.thresholds``)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from remediator.flow.admit import Admit
from remediator.flow.assess import Assess
from remediator.flow.bells import Bells, Stage
from remediator.flow.close import Close
from remediator.flow.execute import Execute
from remediator.flow.lane import Lane
from remediator.flow.match import Match
from remediator.flow.notify import NotifyPeople
from remediator.flow.parts import Parts
from remediator.flow.poll import Poll
from remediator.flow.reconcile import Reconcile
from remediator.flow.rematch import Rematch
from remediator.flow.returning import Return
from remediator.flow.verify import Verify


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The lanes, in stage order."""

    lanes: tuple[Lane, ...]
    bells: Bells


@asynccontextmanager
async def pipeline(parts: Parts, bells: Bells) -> AsyncIterator[Pipeline]:
    """Set up every stage. On exit, reads and writes under way are waited for."""
    async with Assess(parts, bells) as assess, Execute(parts, bells) as execute:
        bounds = parts.bounds
        steps: list[tuple[Stage, Callable[[], Awaitable[int]], int]] = [
            (Stage.MATCH, Match(parts, bells, Rematch(parts, bells), assess).step, bounds.match_batch),
            (Stage.ASSESS, assess.step, bounds.assess_concurrency),
            (Stage.ADMIT, Admit(parts, bells, assess).step, bounds.admit_batch),
            (Stage.EXECUTE, execute.step, bounds.execute_concurrency),
            (Stage.VERIFY, Verify(parts, bells, execute.crowded).step, bounds.verify_batch),
            (Stage.CLOSE, Close(parts, bells).step, bounds.close_batch),
            (Stage.NOTIFY, NotifyPeople(parts).step, bounds.notify_batch),
        ]
        if parts.lookout is not None:
            steps.append((Stage.RECONCILE, Reconcile(parts, bells, parts.lookout).step, 1))
        if parts.watch is not None:
            steps.append((Stage.POLL, Poll(parts, bells, parts.watch).step, 1))
        if parts.loans is not None:
            steps.append((Stage.RETURN, Return(parts, bells, parts.loans).step, 1))
        lanes = tuple(
            Lane(
                stage=stage,
                step=step,
                full=full,
                bells=bells,
                clock=parts.clock,
                observer=parts.observer,
                poll_s=bounds.poll_s,
                gather_s=bounds.gather_s if stage is Stage.MATCH else 0.0,
            )
            for stage, step, full in steps
        )
        yield Pipeline(lanes=lanes, bells=bells)
