"""Verify: did it help? The rollout must be complete and the alerts silent for long enough; no answer is no proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remediator.core.judge import Judgement, Question, judge
from remediator.core.undo import judge_return
from remediator.core.words import span
from remediator.flow import successors
from remediator.flow.bells import Bells, Stage
from remediator.flow.beside import beside
from remediator.flow.parts import Parts
from remediator.flow.reading import read_workload
from remediator.flow.undo import undone_entries
from remediator.flow.words import action_entry
from remediator.model.action import ActionState, Verdict
from remediator.model.entry import EntryKind
from remediator.model.errors import PortError
from remediator.model.measure import Measure
from remediator.model.rule import Recovery
from remediator.ports.actions import Conclusion, Due, NextLook, Recovered, Successor
from remediator.ports.measuring import IncidentMeasures
from remediator.ports.observer import StageEvent

ENDS = {
    Verdict.RECOVERED: ActionState.RECOVERED,
    Verdict.UNCHANGED: ActionState.UNCHANGED,
    Verdict.WORSE: ActionState.WORSE,
    Verdict.UNKNOWN: ActionState.UNKNOWN,
}
MOST_MEASURES = 20
_UNMEASURED = IncidentMeasures(measures=(), others=0)
STAND_BACK_S = 1.0
"""While more actions wait than can be carried out at once, a batch of looks is taken once in so many seconds: a write
that comes late is worse than a verdict that does, but verdicts come all the same."""


@dataclass(slots=True)
class Verify:
    """The stage. ``crowded`` tells whether actions wait for others to be carried out."""

    parts: Parts
    bells: Bells
    crowded: Callable[[], bool]
    _not_before: float = field(default=0.0, init=False)

    async def step(self) -> int:
        """Look at the actions that are due; return how many."""
        bounds, now = self.parts.bounds, self.parts.clock.monotonic()
        if self.crowded() and now < self._not_before:
            return 0
        self._not_before = now + STAND_BACK_S
        due = await self.parts.stores.actions.due(bounds.verify_batch, bounds.look_lease_s)
        measures = await self._measures(due)
        later: list[NextLook] = []

        async def look(item: Due) -> None:
            judgement = await self._judge(item, measures.get(item.action.incident, _UNMEASURED))
            if judgement.verdict is Verdict.WAIT:
                later.append(_next_look(item, judgement))
            else:
                await self._conclude(item, judgement, measures.get(item.action.incident, _UNMEASURED))

        try:
            count = await beside(due, look, name="verify")
        except PortError:
            await self._again(later)
            raise
        await self._again(later)
        return count

    async def _again(self, later: list[NextLook]) -> None:
        if later:
            await self.parts.stores.actions.look_again(later)

    async def _measures(self, due: Sequence[Due]) -> Mapping[int, IncidentMeasures]:
        """Return how the series of the incidents' alerts stand, where the threshold table is polled."""
        watch, incidents = self.parts.watch, [item.action.incident for item in due]
        return await watch.store.measures(incidents, watch.gap_s) if watch is not None and incidents else {}

    async def _judge(self, item: Due, measured: IncidentMeasures) -> Judgement:
        rule = self.parts.rulebook.named(item.action.rule)
        facts = await read_workload(self.parts, item.action.target)
        return (judge if item.action.plan.undoes is None else judge_return)(
            Question(
                now=item.now,
                applied_at=item.action.applied_at or item.now,
                recover=rule.recover if rule else Recovery(),
                facts=facts,
                firing=item.firing,
                quiet_since=item.quiet_since,
                changes=item.action.plan.changes,
                ready_before=item.ready_before,
                # What returns something is judged by the object alone.
                measures=measured.measures if item.action.plan.undoes is None else (),
                all_measured=not measured.others,
            )
        )

    async def _conclude(self, item: Due, judgement: Judgement, measured: IncidentMeasures) -> None:
        action, state = item.action, ENDS[judgement.verdict]
        took = (item.now - (action.applied_at or item.now)).total_seconds()
        data: dict[str, Any] = {
            "verdict": judgement.verdict.value,
            "seconds": round(took, 1),
            "rung": action.rung,
            "remedy": action.plan.action,
        }
        if measured.measures:
            data["measures"] = [_spelt(one) for one in measured.measures[:MOST_MEASURES]]
        summary = f"{judgement.verdict.value}: {judgement.message}"
        if state is ActionState.RECOVERED and action.plan.undoes is None:
            summary += f"; {span(took)} after {action.plan.action} (rung {action.rung})"
        conclusion = Conclusion(
            number=action.number,
            fence=action.fence,
            state=state,
            note=summary,
            entries=(action_entry(EntryKind.ACTION_VERIFIED, action, summary, data), *undone_entries(action, state)),
            successor=self._successor(item, state, judgement.message),
            undo=judgement.message if judgement.harmed and measured.measures and action.plan.undo else "",
        )
        if await self.parts.stores.actions.conclude(conclusion):
            fields = {"action": action.number, "incident": action.incident, "name": action.plan.action}
            self.parts.observer.tell(
                StageEvent(stage="verify", outcome=judgement.verdict.value, seconds=took, fields=fields)
            )
        self.bells.ring(Stage.ASSESS, Stage.CLOSE, Stage.NOTIFY)

    def _successor(self, item: Due, state: ActionState, message: str) -> Successor:
        if state is ActionState.RECOVERED and item.action.plan.undoes is None:
            return Recovered(message=f"{item.action.plan.summary}: {message}")
        rule = self.parts.rulebook.named(item.action.rule)
        return successors.after(rule, item.action, successors.Ending(state=state, note=message, tries=item.tries))


def _spelt(measure: Measure) -> dict[str, Any]:
    level = measure.level.value if measure.level is not None else None
    return {"row": measure.row, "phase": measure.phase.value, "level": level, "value": measure.value}


def _next_look(item: Due, judgement: Judgement) -> NextLook:
    action = item.action
    return NextLook(
        number=action.number,
        fence=action.fence,
        check_at=judgement.check_at,
        quiet_since=judgement.quiet_since,
    )
