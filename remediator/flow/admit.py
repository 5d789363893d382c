"""Admit: assessed candidates are decided about, a batch at a time, in one transaction under one lock."""

from __future__ import annotations

from dataclasses import dataclass, field

from remediator.actions.catalogue import draft
from remediator.core import record
from remediator.core.admit import Law, admit, needed_scopes, outlook
from remediator.core.words import span
from remediator.flow.assess import Assess
from remediator.flow.bells import Bells, Stage
from remediator.flow.forgive import forgive
from remediator.flow.parts import Parts
from remediator.model.case import AdmissionBatch, Assessed, Outlook, Ruling, Scope
from remediator.model.decision import Ask, Hold, HoldReason
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import PortError
from remediator.ports.admission import AdmissionReport, Writ
from remediator.ports.observer import StageEvent

STORMY = frozenset({HoldReason.STORM.value, HoldReason.STORM_EVIDENCE.value})
"""Reasons that tell of a storm."""
STUCK_S = 3600.0
"""How often people are called, at most, for what cannot be decided about; in seconds."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Implements ports.admission.Deliberation under one law: a reload must not change it while the batch is read."""

    law: Law

    def scopes(self, items: tuple[Assessed, ...]) -> tuple[Scope, ...]:
        """Say which windows are to be counted."""
        return needed_scopes(items, self.law.rules, self.law.policy)

    def outlook(self) -> Outlook:
        """Say how far back to look."""
        return outlook(self.law.policy)

    def rule(self, batch: AdmissionBatch) -> tuple[Writ, ...]:
        """Rule on the batch."""
        return tuple(_writ(ruling) for ruling in admit(batch, self.law))


@dataclass(slots=True)
class Admit:
    """The stage. It is handed what ``assess`` has read."""

    parts: Parts
    bells: Bells
    assess: Assess
    last: AdmissionReport = field(default_factory=AdmissionReport)
    _next_call: float = float("-inf")

    async def step(self) -> int:
        """Decide about what is ready; return how many candidates that were."""
        ready = self.assess.ready
        items = [ready.popleft() for _ in range(min(len(ready), self.parts.bounds.admit_batch))]
        if not items:
            return 0
        self.assess.ring_for_more()
        trouble = await self._decide(items, Bench(self._law()))
        if trouble is not None:
            raise trouble
        return len(items)

    def _law(self) -> Law:
        """Return the law as it is now: a reload must not change it while a batch is read."""
        current = self.parts.rulebook.current()
        return Law(
            rules={rule.name: rule for rule in current.rules}.get,
            draft=draft,
            policy=self.parts.policy,
            freezes=current.freezes,
            pauses=self.parts.paused_here(),
        )

    async def _decide(self, items: list[Assessed], bench: Bench) -> PortError | None:
        """Decide about a batch, and return what went wrong.

        What may succeed later stays ready. What the database refuses for good is halved until it stands alone, so that
        one candidate cannot hold up the others; its lease ends, and it is read anew.
        """
        began = self.parts.clock.monotonic()
        try:
            self.last = await self.parts.stores.admission.admit(items, bench)
        except PortError as error:
            if error.retryable:
                self.assess.ready.extendleft(reversed(items))
                return error
            if len(items) == 1:
                await self._call_for_one(items[0], error)
                return error
            middle = len(items) // 2
            first = await self._decide(items[:middle], bench)
            return await self._decide(items[middle:], bench) or first
        self._tell(self.last, self.parts.clock.monotonic() - began)
        await self._call_for_a_storm()
        return None

    async def _call_for_one(self, item: Assessed, error: PortError) -> None:
        """Call people for a candidate that the database refuses for good, at most once an hour."""
        candidate = item.candidate
        summary = (
            f"{record.alert_name(candidate.labels)} under rule {candidate.rule} cannot be decided about, and nothing "
            f"is done for it: {error}"
        )
        data = {"candidate": candidate.id, "source": candidate.source, "fingerprint": candidate.fingerprint}
        entry = NewEntry(kind=EntryKind.UNDECIDABLE, summary=summary, rule=candidate.rule, data=data)
        # Where that fails, the candidate comes back when its lease has ended, and so does this call.
        if await self._call_once(entry, STUCK_S, stage="admit"):
            self.bells.ring(Stage.NOTIFY)

    async def _call_once(self, entry: NewEntry, within_s: float, *, stage: str) -> bool | None:
        """Call people unless they were called lately; tell whether they were now, None where that cannot be done."""
        try:
            return await self.parts.stores.alarm.call_once(entry, within_s)
        except PortError as error:
            forgive(error, f"the call for {entry.kind}")
            self.parts.observer.tell(StageEvent(stage=stage, outcome="trouble", fields={"error": str(error)}))
            return None

    async def _call_for_a_storm(self) -> None:
        """Call people once for a storm, not for each of its incidents; those are held and come back by themselves."""
        quiet_s = self.parts.policy.storm_quiet_s
        now = self.parts.clock.monotonic()
        if STORMY.isdisjoint(self.last.reasons) or now < self._next_call:
            return
        summary = (
            "a storm: many incidents began at almost the same time, so nothing is changed until it has been calm for "
            f"{span(quiet_s)}; look for one cause of them all"
        )
        called = await self._call_once(NewEntry(kind=EntryKind.STORM, summary=summary), quiet_s, stage="storm")
        if called is None:
            # The batch is decided and stays so; the next one that meets the storm calls.
            return
        self._next_call = now + quiet_s
        if called:
            self.parts.observer.tell(StageEvent(stage="storm", outcome="escalated", fields={"summary": summary}))

    def _tell(self, report: AdmissionReport, seconds: float) -> None:
        if report.acts or report.observed:
            self.bells.ring(Stage.EXECUTE)
        if report.asked or report.escalated:
            self.bells.ring(Stage.NOTIFY)
        tell = self.parts.observer.tell
        counts = {"act": report.acts, "observe": report.observed, "ask": report.asked, "hold": report.held}
        for outcome, count in counts.items():
            if count:
                tell(StageEvent(stage="admit", outcome=outcome, count=count, seconds=seconds))
        for reason in report.reasons:
            tell(StageEvent(stage="hold", outcome=reason))
        if report.escalated:
            tell(StageEvent(stage="escalate", outcome="held", count=report.escalated))


def _writ(ruling: Ruling) -> Writ:
    decision = ruling.decision
    workload = ruling.assessed.facts.workload
    people = ""
    asked_for = ruling.assessed.candidate.cause.takes_back  # whoever did is told by the command
    if isinstance(decision, Hold) and record.needs_people(decision) and not asked_for:
        people = record.hold_message(decision)
    elif isinstance(decision, Ask):
        people = f"asks for approval to {decision.plan.summary}: {decision.because}"
    return Writ(
        ruling=ruling,
        entry=record.decision_entry(ruling, target_key=workload.target.key if workload else ""),
        incident=record.opens_incident(decision),
        title=record.title(ruling),
        people=people,
    )
