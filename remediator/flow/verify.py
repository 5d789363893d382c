"""Verify: did it help? The rollout must be complete and the alerts silent for long enough; no answer is no proof."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.judge import Judgement, Question, judge
from remediator.flow import successors
from remediator.flow.bells import Bells, Stage
from remediator.flow.beside import beside
from remediator.flow.parts import Parts
from remediator.flow.reading import read_facts
from remediator.flow.words import action_entry
from remediator.model.action import ActionState, Verdict
from remediator.model.entry import EntryKind
from remediator.model.rule import Recovery
from remediator.ports.actions import Conclusion, Due, Recovered, Successor
from remediator.ports.observer import StageEvent

ENDS = {
    Verdict.RECOVERED: ActionState.RECOVERED,
    Verdict.UNCHANGED: ActionState.UNCHANGED,
    Verdict.WORSE: ActionState.WORSE,
    Verdict.UNKNOWN: ActionState.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Verify:
    """The stage."""

    parts: Parts
    bells: Bells

    async def step(self) -> int:
        """Look at the actions that are due; return how many."""
        bounds = self.parts.bounds
        due = await self.parts.stores.actions.due(bounds.verify_batch, bounds.look_lease_s)
        return await beside(due, self._look, name="verify")

    async def _look(self, item: Due) -> None:
        rule = self.parts.rulebook.named(item.action.rule)
        facts = await read_facts(self.parts, item.action.target)
        judgement = judge(
            Question(
                now=item.now,
                applied_at=item.action.applied_at or item.now,
                recover=rule.recover if rule else Recovery(),
                facts=facts,
                firing=item.firing,
                quiet_since=item.quiet_since,
                changes=item.action.plan.changes,
                ready_before=item.ready_before,
            )
        )
        if judgement.verdict is Verdict.WAIT:
            await self.parts.stores.actions.look_again(
                item.action.number, item.action.fence, judgement.check_at, judgement.quiet_since
            )
            return
        await self._conclude(item, judgement)

    async def _conclude(self, item: Due, judgement: Judgement) -> None:
        action, state = item.action, ENDS[judgement.verdict]
        took = (item.now - (action.applied_at or item.now)).total_seconds()
        data = {"verdict": judgement.verdict.value, "seconds": round(took, 1), "rung": action.rung}
        summary = f"{judgement.verdict.value}: {judgement.message}"
        conclusion = Conclusion(
            number=action.number,
            fence=action.fence,
            state=state,
            note=summary,
            entries=(action_entry(EntryKind.ACTION_VERIFIED, action, summary, data),),
            successor=self._successor(item, state, judgement.message),
        )
        if await self.parts.stores.actions.conclude(conclusion):
            fields = {"action": action.number, "incident": action.incident, "name": action.plan.action}
            self.parts.observer.tell(
                StageEvent(stage="verify", outcome=judgement.verdict.value, seconds=took, fields=fields)
            )
        self.bells.ring(Stage.ASSESS, Stage.CLOSE, Stage.NOTIFY)

    def _successor(self, item: Due, state: ActionState, message: str) -> Successor:
        if state is ActionState.RECOVERED:
            return Recovered(message=f"{item.action.plan.summary}: {message}")
        rule = self.parts.rulebook.named(item.action.rule)
        return successors.after(rule, item.action, successors.Ending(state=state, note=message, tries=item.tries))
