"""Execute: an admitted action becomes one write, at most once (docs/explanation: exactly one effect).

Write down the intent, read the object, look once more, send one write that carries the object's version, the action's
id and the fence, and classify what came back. An answer that does not tell leads to ``doubt``: read back first.
"""

from __future__ import annotations

from functools import partial

from msgspec import structs

from remediator.core.guardrails.frozen import freezing
from remediator.core.guardrails.paused import stopped
from remediator.core.preflight import recheck
from remediator.core.undo import touched_since
from remediator.flow import successors
from remediator.flow.bells import Bells, Stage
from remediator.flow.crew import Crew
from remediator.flow.doubt import Doubt, moved
from remediator.flow.evidence import capture
from remediator.flow.forgive import forgive
from remediator.flow.parts import Parts
from remediator.flow.statements import send
from remediator.flow.words import action_entry, image_data
from remediator.model.action import ActionState
from remediator.model.database import RunStatement
from remediator.model.decision import HoldReason
from remediator.model.entry import EntryKind
from remediator.model.errors import ClusterError, PortError
from remediator.model.plan import CaptureEvidence, Notify, PatchObject
from remediator.model.rule import Mode
from remediator.ports.actions import Claim, Conclusion, NextRung
from remediator.ports.cluster import Applied, InDoubt, LiveObject, WriteMark, WriteRefused
from remediator.ports.databases import Ran
from remediator.ports.observer import StageEvent

ENTRIES = {
    ActionState.DONE: EntryKind.ACTION_APPLIED,
    ActionState.EXPIRED: EntryKind.ACTION_EXPIRED,
    ActionState.REFUSED: EntryKind.ACTION_REFUSED,
    ActionState.OBSERVED: EntryKind.ACTION_OBSERVED,
}
ACTION = "remediator.io/action"
FENCE = "remediator.io/fence"
FRESH = 0.1
"""The part of its lease after which an action is held on to anew before it is written."""
# States in which a dead owner may have sent its write already.
SENT = frozenset({ActionState.DISPATCHED, ActionState.IN_DOUBT})


class Execute(Crew):
    """The stage: up to ``execute_concurrency`` actions under way, each under its own lease."""

    def __init__(self, parts: Parts, bells: Bells) -> None:
        """Start with nothing under way."""
        super().__init__()
        self.parts = parts
        self.bells = bells
        self.doubt = Doubt(parts, bells)
        self._more = False

    def crowded(self) -> bool:
        """Tell whether more actions wait than may be under way."""
        return self._more

    async def step(self) -> int:
        """Claim as many actions as there is room for and begin with them; return how many."""
        bounds = self.parts.bounds
        room = bounds.execute_concurrency - self.under_way
        if room <= 0:
            return 0
        began = self.parts.clock.monotonic()
        claims = await self.parts.stores.actions.claim(room, self.parts.owner, bounds.action_lease_s)
        self._more = len(claims) == room
        for claim in claims:
            self.begin(partial(self._run, claim, began), name=f"action-{claim.action.number}")
        return len(claims)

    async def _run(self, claim: Claim, began: float) -> None:
        """Carry out an action that was claimed no earlier than ``began``."""
        try:
            await self._carry_out(claim, began)
        except PortError as error:
            forgive(error, f"action {claim.action.number}")
            # The lease ends by itself and the action is taken up again, by this replica or another.
            self._interrupted(claim, str(error))
        seconds = self.parts.clock.monotonic() - began
        self.parts.observer.tell(
            StageEvent(
                stage="execute",
                outcome=claim.action.plan.action,
                seconds=seconds,
                fields={"action": claim.action.number, "incident": claim.action.incident},
            )
        )

    def _interrupted(self, claim: Claim, error: str) -> None:
        action = claim.action
        fields = {"action": action.number, "incident": action.incident, "name": action.plan.action, "error": error}
        self.parts.observer.tell(StageEvent(stage="execute", outcome="interrupted", fields=fields))

    def freed(self) -> None:
        """Claim for several places at once: a claim for each place that gets free would cost as much as the action."""
        concurrency = self.parts.bounds.execute_concurrency
        if self._more and concurrency - self.under_way >= max(1, concurrency // 4):
            self.bells.ring(Stage.EXECUTE)

    async def _carry_out(self, claim: Claim, began: float) -> None:
        action = claim.action
        if not await self._may_begin(claim):
            return
        if self.parts.rulebook.named(action.rule) is None:
            if action.attempts == 1:
                # While rules are rolled out another replica knows it: that one takes it up when this lease ends.
                self._interrupted(claim, f"no rule {action.rule} here")
                return
            await self._refuse(claim, f"rule {action.rule} is no longer in force", HoldReason.RULE_GONE.value)
            return
        for step in action.plan.steps:
            match step:
                case CaptureEvidence():
                    await capture(self.parts, claim, step)
                case PatchObject() | RunStatement():
                    await self._patch(claim, step, began)
                    return
                case Notify():
                    await self._finish(claim, people=step)
                    return
        await self._finish(claim)

    async def _may_begin(self, claim: Claim) -> bool:
        """Settle what a dead owner left, and end what comes too late; tell whether there is anything to do."""
        if claim.found_in in SENT and not await self.doubt.settle(claim):
            return False
        # What a dead owner decided hours ago, and never sent, is old news like any other.
        ended = self._too_late(claim)
        if ended is not None:
            await self._end(claim, ended)
        return ended is None

    def _too_late(self, claim: Claim) -> Conclusion | None:
        """Say how an action ends whose moment has passed, or None if it may go on."""
        action = claim.action
        if action.attempts > self.parts.bounds.action_attempts:
            note = f"given up after {action.attempts - 1} attempts that ended without a word"
            return self._conclusion(claim, ActionState.REFUSED, note)
        if not claim.firing and action.plan.undoes is None:
            note = "the alert stopped firing before anything was done"
            return self._conclusion(claim, ActionState.EXPIRED, note, HoldReason.NOT_FIRING.value)
        if claim.now > action.good_until:
            late = (claim.now - action.good_until).total_seconds()
            note = f"the decision was {late:.0f} s past its shelf life"
            return self._conclusion(claim, ActionState.EXPIRED, note, HoldReason.STALE_FACTS.value)
        return None

    async def _finish(self, claim: Claim, people: Notify | None = None) -> None:
        """End an action that changes nothing, and go on with the ladder."""
        done = self._conclusion(claim, ActionState.DONE, claim.action.plan.summary)
        if people is not None and isinstance(done.successor, NextRung):
            done = structs.replace(done, say=people.message)
        await self._end(claim, done)

    async def _patch(self, claim: Claim, step: PatchObject | RunStatement, began: float) -> None:
        refused = WriteRefused(reason="conflict", message="it was never sent")
        # The claim has told all that a renewal would; evidence, conflicts and a busy API server take time.
        fresh = self.parts.clock.monotonic() - began < self.parts.bounds.action_lease_s * FRESH
        for attempt in range(1, self.parts.bounds.write_tries + 1):
            if not (fresh and attempt == 1) and not await self._still_wanted(claim):
                return
            # Nobody has sent anything for this action, so a mark cannot be missed; the version guards all the rest.
            unsent = attempt == 1 and claim.found_in is ActionState.ADMITTED
            live = await self._live(claim, self.parts.bounds.read_again_s if unsent else 0.0)
            if live is None:
                return
            if await self._written(claim, live):
                return
            objection = self._objection(claim, live)
            if objection is not None:
                await self._refuse(claim, *objection)
                return
            again = await self._send(claim, step, live)
            if again is None:
                return
            if isinstance(again, InDoubt):
                claim = structs.replace(claim, found_in=ActionState.IN_DOUBT, before=live.image)
                again = WriteRefused(reason="unreachable", message=f"nothing was stored: {again.message}")
            refused = again
            await self.parts.clock.sleep(0.05 * attempt)
        note = f"given up after {self.parts.bounds.write_tries} tries, the last: {refused.reason}: {refused.message}"
        await self._refuse(claim, note, refused.reason)

    async def _written(self, claim: Claim, live: LiveObject) -> bool:
        """Tell whether a write of this action was stored, or may have been since it was looked for; then settle it."""
        if claim.action.plan.statement is not None:
            # The database finds the mark itself, in the transaction of the next attempt; nothing else is looked at.
            return False
        if live.marker == claim.action.id:
            await self.doubt.found(claim)
            return True
        if claim.found_in in SENT and moved(live, claim.before):
            # Somebody may have replaced what we wrote, our mark with it.
            await self.doubt.rule_out(claim)
            return True
        return False

    async def _still_wanted(self, claim: Claim) -> bool:
        """Hold on to the action, and prove once more that its alert fires and the decision is fresh; else end it."""
        action = claim.action
        standing = await self.parts.stores.actions.renew(action.number, action.fence, self.parts.bounds.action_lease_s)
        if standing is None:
            return False
        ended = self._too_late(structs.replace(claim, firing=standing.firing, now=standing.now))
        if ended is None and standing.paused:
            ended = self._conclusion(claim, ActionState.REFUSED, standing.paused, HoldReason.PAUSED.value)
        if ended is not None:
            await self._end(claim, ended)
        return ended is None

    def _objection(self, claim: Claim, live: LiveObject) -> tuple[str, str] | None:
        """Return why the object as it is must not be written to under the rules as they are now, and the word for it.

        The rule is looked up at each try: it may have been lowered while evidence was captured.
        """
        action = claim.action
        if live.fence >= action.fence:
            note = (
                f"the object carries fence {live.fence}, ours is {action.fence}: a later owner has written; "
                f"if the ledger was made anew, remove the annotations {FENCE} and {ACTION} from {action.target}"
            )
            return note, "overtaken"
        rule = self.parts.rulebook.named(action.rule)
        if rule is None:
            return f"rule {action.rule} is no longer in force", HoldReason.RULE_GONE.value
        now, freezes = self.parts.clock.now(), self.parts.rulebook.current().freezes
        refusal = (
            stopped(self.parts.paused_here(), action.target, action.rule, now)
            or freezing(freezes, action.target, now)
            or touched_since(action.plan, live.image.object)
            or recheck(action, live.facts, rule, self.parts.policy, approved=claim.approved or bool(action.plan.undoes))
        )
        return (refusal.message, refusal.reason.value) if refusal is not None else None

    async def _send(
        self, claim: Claim, step: PatchObject | RunStatement, live: LiveObject
    ) -> WriteRefused | InDoubt | None:
        """Send one write and settle what came back.

        A refusal asks for another try on a fresh read, and so does a doubt: then nothing was stored when it was looked
        for.
        """
        action, dry_run = claim.action, claim.action.mode is Mode.OBSERVE
        if not dry_run and not await self._intend(claim, live):
            return await self._not_intended(claim, live)
        mark = WriteMark(
            action_id=action.id,
            number=action.number,
            fence=action.fence,
            uid=live.image.uid,
            resource_version=live.image.resource_version,
        )
        result = await send(self.parts, step, mark, dry_run=dry_run)
        match result:
            case Applied() | Ran() if dry_run:
                await self._observed(claim, result)
            case Ran():
                await self.doubt.ran(claim, result)
            case Applied():
                data = {"resource_version": result.resource_version, "generation": result.generation}
                data |= {"differs": list(result.differs)} if result.differs else {}
                await self.doubt.applied(claim, f"done: {action.plan.summary}", data)
            case WriteRefused():
                return await self._refused(claim, result)
            case InDoubt() if dry_run:
                note = f"the dry run got no clear answer: {result.message}"
                await self._end(claim, self._conclusion(claim, ActionState.OBSERVED, note))
            case InDoubt() if await self.doubt.enter(claim, live.image, result.message):
                return result
        return None

    async def _intend(self, claim: Claim, live: LiveObject) -> bool:
        """Write down, before it is sent, what is sent to which object; tell whether the action is still ours."""
        action = claim.action
        entry = action_entry(EntryKind.ACTION_DISPATCHED, action, f"sending: {action.plan.summary}", image_data(live))
        return await self.parts.stores.actions.dispatched(action.number, action.fence, live.image, entry)

    async def _not_intended(self, claim: Claim, live: LiveObject) -> WriteRefused | None:
        """Find out why no intent was written: another owner, an alert that has ended, or a mark that nobody knows."""
        if not await self._still_wanted(claim):
            return None
        if not live.marker or await self.parts.stores.actions.knows(live.marker):
            return WriteRefused(reason="conflict", message="the alert had ended, and fires again")
        note = (
            f"the object carries the mark of action {live.marker[:40]!r}, which this ledger does not know: it has lost "
            "its end (a standby or a backup took over), or another remediator writes here; look at what was done, and "
            f"remove the annotation {ACTION} from {claim.action.target}"
        )
        await self._refuse(claim, note, "overtaken")
        return None

    async def _refused(self, claim: Claim, result: WriteRefused) -> WriteRefused | None:
        if result.reason == "conflict":
            return result
        if result.reason in ("throttled", "unreachable"):
            await self.parts.clock.sleep(min(result.retry_after or 1.0, 10.0))
            return result
        who = "the API server" if claim.action.plan.statement is None else "the database"
        note = f"{who} refused the write: {result.reason}: {result.message}"
        await self._refuse(claim, note, result.reason)
        return None

    async def _live(self, claim: Claim, within_s: float) -> LiveObject | None:
        try:
            reader, lever = self.parts.cluster.reader, claim.action.plan.lever
            return await reader.live(claim.action.target, within_s=within_s, through=lever)
        except ClusterError as error:
            if error.retryable:
                raise
            note = f"the object cannot be read: {error}"
            await self._refuse(claim, note, error.reason)
            return None

    async def _observed(self, claim: Claim, result: Applied | Ran) -> None:
        who = "API server" if isinstance(result, Applied) else "database"
        note = f"dry run accepted by the {who}: would {claim.action.plan.summary}"
        if isinstance(result, Applied) and result.differs:
            note += f"; it would keep other values at {', '.join(result.differs)}"
        await self._end(claim, self._conclusion(claim, ActionState.OBSERVED, note))

    async def _refuse(self, claim: Claim, note: str, reason: str) -> None:
        await self._end(claim, self._conclusion(claim, ActionState.REFUSED, note, reason))

    def _conclusion(self, claim: Claim, state: ActionState, note: str, reason: str = "") -> Conclusion:
        action = claim.action
        entry = action_entry(ENTRIES[state], action, note, {}, (reason,) if reason else ())
        ending = successors.Ending(state=state, note=note, reason=reason, tries=claim.tries)
        return Conclusion(
            number=action.number,
            fence=action.fence,
            state=state,
            note=note,
            entries=(entry,),
            successor=successors.after(self.parts.rulebook.named(action.rule), action, ending),
        )

    async def _end(self, claim: Claim, conclusion: Conclusion) -> None:
        """End an action that has changed nothing; where a write of it may yet be stored, that is not known."""
        if claim.found_in in SENT and not await self.doubt.rule_out(claim):
            return
        await self.parts.stores.actions.conclude(conclusion)
        self.bells.ring(Stage.ASSESS, Stage.CLOSE, Stage.NOTIFY)
