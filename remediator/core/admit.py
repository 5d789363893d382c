"""Admission: a batch of candidates becomes rulings, one after the other, each seeing those before it.

Everything that a limit needs is in the batch, read under the admission lock. What this fold admits is counted at once,
so that ten candidates of one batch meet the same limits as ten candidates that came one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct, field, structs

from remediator.core.decide import decide
from remediator.core.guardrails import looks, scopes
from remediator.core.guardrails.shares import ALL
from remediator.core.hush import hushed
from remediator.core.planning import Draft, climbed, plan
from remediator.core.undo import RETURN_GUARDS, too_late
from remediator.model.action import ActionState, PastAction
from remediator.model.case import AdmissionBatch, Assessed, Case, History, Outlook, Ruling, Scope, Touched, Window
from remediator.model.decision import Act, Ask, Decision, Hold, HoldReason, Observe, Refusal
from remediator.model.freeze import Freeze
from remediator.model.incident import Candidate, Cause, Incident, IncidentState
from remediator.model.pause import Pause
from remediator.model.plan import Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule, Severity
from remediator.model.target import Target

Lookup = Callable[[str], Rule | None]

RULE_GRACE = timedelta(minutes=5)
"""How long a candidate waits for a replica that knows its rule."""


class Tally(Struct, kw_only=True):
    """What has been admitted so far in this fold, on top of what the database knows."""

    windows: dict[Scope, Window]
    past: dict[str, tuple[PastAction, ...]]
    open_by_namespace: dict[str, int]
    open_in_cluster: int
    last_in_cluster: datetime | None
    last_action: int
    touched: tuple[Touched, ...]
    onsets: tuple[datetime, ...]
    taken: set[tuple[str, str]] = field(default_factory=set)

    def remember(self, case: Case, now: datetime, state: ActionState) -> None:
        """Let the candidates that come after see a changing action on the target."""
        target = case.plan.target
        done = PastAction(
            number=self.last_action,
            incident=case.candidate.incident,
            action=case.plan.action,
            rule=case.rule.name,
            target_key=target.key,
            namespace=target.namespace,
            state=state,
            admitted_at=now,
            same_batch=True,
        )
        self.past[target.key] = (done, *self.past.get(target.key, ()))

    def count(self, case: Case, now: datetime) -> None:
        """Add one admitted changing action."""
        target = case.plan.target
        self.remember(case, now, ActionState.ADMITTED)
        self.open_by_namespace[target.namespace] = self.open_by_namespace.get(target.namespace, 0) + 1
        self.open_in_cluster += 1
        self.last_in_cluster = now
        self.touched += (Touched(target_key=target.key, namespace=target.namespace, admitted_at=now),)
        # Rules may count the same thing under different limits: every window of that kind and key has one more.
        self._widen({(scope.kind, scope.key) for scope in scopes(case.rule, target, case.policy)}, now)

    def count_look(self, case: Case, now: datetime) -> None:
        """Add one admitted action that changes nothing."""
        scope = looks(case.plan.action, case.policy)
        self._widen({(scope.kind, scope.key)}, now)

    def _widen(self, counted: set[tuple[str, str]], now: datetime) -> None:
        for scope, window in self.windows.items():
            if (scope.kind, scope.key) in counted:
                self.windows[scope] = Window(count=window.count + 1, oldest_at=window.oldest_at or now)


def needed_scopes(items: tuple[Assessed, ...], rules: Lookup, policy: Policy) -> tuple[Scope, ...]:
    """Return every window that the guards will ask for, so that the transaction can count them all at once."""
    wanted: dict[Scope, None] = {}
    for item in items:
        rule = rules(item.candidate.rule)
        if rule is not None and item.facts.workload is not None:
            wanted.update(dict.fromkeys(scopes(rule, item.facts.workload.target, policy)))
            rung = rule.ladder[item.candidate.rung : item.candidate.rung + 1]
            wanted.update((looks(one.action, policy), None) for one in rung)
    return tuple(wanted)


def outlook(policy: Policy) -> Outlook:
    """Return what the guards will ask for beside windows and targets."""
    # Where all may be touched, nobody has to know what was.
    shares = min(policy.blast_namespace_percent, policy.blast_cluster_percent)
    return Outlook(
        touched_s=policy.blast_window_s if shares < ALL else 0,
        onsets_s=policy.storm.window_s + policy.storm_quiet_s,
        platform=tuple(sorted({brake.alertname for brake in policy.brakes})),
    )


class Law(Struct, frozen=True, kw_only=True):
    """What rulings follow from, apart from the batch: rules and freezes, how a rung becomes a plan, and the policy.

    ``pauses`` are those that only this replica knows of.
    """

    rules: Lookup
    draft: Draft
    policy: Policy
    freezes: tuple[Freeze, ...] = ()
    pauses: tuple[Pause, ...] = ()


def admit(batch: AdmissionBatch, law: Law) -> tuple[Ruling, ...]:
    """Rule on every candidate of the batch: the most severe first, then by priority, then what disrupts less, then age.

    So of two rules that want the same target the first acts; the other is told which that was.
    """
    tally = Tally(
        windows=dict(batch.windows),
        past=dict(batch.past),
        open_by_namespace=dict(batch.open_by_namespace),
        open_in_cluster=batch.open_in_cluster,
        last_in_cluster=batch.last_in_cluster,
        last_action=batch.last_action,
        touched=batch.touched,
        onsets=(*batch.onsets, *_beginning(batch)),
    )
    wishes = sorted((_wish(item, law) for item in batch.items), key=_urgency)
    return tuple(_rule_on(wish, batch, tally, law) for wish in wishes)


class _Wish(Struct, frozen=True, kw_only=True):
    """A candidate, its rule (None: gone), and what would be done."""

    item: Assessed
    rule: Rule | None = None
    proposal: Plan | Refusal | None = None


def _wish(item: Assessed, law: Law) -> _Wish:
    rule = law.rules(item.candidate.rule)
    if rule is None:
        return _Wish(item=item)
    proposal = plan(item.candidate, rule, item.facts, law.policy, law.draft)
    item = structs.replace(item, candidate=climbed(item.candidate, proposal))
    return _Wish(item=item, rule=rule, proposal=proposal)


def _urgency(wish: _Wish) -> tuple[int, int, int, int]:
    """Return the rank of a wish in its batch; candidates are numbered by age."""
    age = wish.item.candidate.id
    if wish.rule is None:
        return len(Severity), 0, 0, age
    what = wish.proposal
    disruption = int(what.changes) + int(what.disruptive) if isinstance(what, Plan) else 0
    return tuple(Severity).index(wish.rule.severity), -wish.rule.priority, disruption, age


def _beginning(batch: AdmissionBatch) -> Iterator[datetime]:
    """Return the onsets of incidents that this batch begins: a storm shows in its first batch, before any action."""
    new = set()
    for item in batch.items:
        workload = item.facts.workload
        key = workload.target.key if workload else f"{item.candidate.source}/{item.candidate.fingerprint}"
        silent = item.candidate.id in batch.hushed
        begins = item.candidate.cause is Cause.SIGNAL and item.incident is None and not silent
        if begins and key not in batch.incidents:
            new.add(key)
    return (batch.now for _ in new)


def _rule_on(wish: _Wish, batch: AdmissionBatch, tally: Tally, law: Law) -> Ruling:
    item, rule, proposal = wish.item, wish.rule, wish.proposal
    if rule is None or proposal is None:
        return Ruling(assessed=item, rule=None, decision=_hold(_rule_gone(item.candidate, batch)))
    workload = item.facts.workload
    target = workload.target if workload else None
    incident = item.incident or (batch.incidents.get(target.key) if target else None)
    item = structs.replace(item, incident=incident)
    blocked = _not_now(item, rule, batch, tally, target)
    if blocked is not None:
        return Ruling(assessed=item, rule=rule, decision=_hold(blocked))
    if isinstance(proposal, Refusal):
        decision: Decision = _hold(proposal)
    else:
        decision = _decide(item, rule, proposal, batch, tally, law)
    if target is not None:
        tally.taken.add((target.key, rule.name))
    return Ruling(assessed=item, rule=rule, decision=decision)


def _rule_gone(candidate: Candidate, batch: AdmissionBatch) -> Refusal:
    """Hold for a while, once: while rules are rolled out, one replica knows a rule that another does not know yet."""
    again = None if HoldReason.RULE_GONE.value in batch.waited.get(candidate.id, ()) else batch.now + RULE_GRACE
    message = f"rule {candidate.rule} is no longer in force" if again is None else f"no rule {candidate.rule} here"
    return Refusal(reason=HoldReason.RULE_GONE, message=message, retry_at=again)


def _decide(item: Assessed, rule: Rule, proposal: Plan, batch: AdmissionBatch, tally: Tally, law: Law) -> Decision:
    key, namespace = proposal.target.key, proposal.target.namespace
    history = History(
        target=tally.past.get(key, ()),
        windows=tally.windows,
        open_in_namespace=tally.open_by_namespace.get(namespace, 0),
        open_in_cluster=tally.open_in_cluster,
        last_in_cluster=tally.last_in_cluster,
        alert_firing=True,
        touched=tally.touched,
        onsets=tally.onsets,
        platform=batch.platform,
        pauses=(*batch.pauses, *law.pauses),
    )
    case = Case(
        now=batch.now,
        candidate=item.candidate,
        rule=rule,
        plan=proposal,
        facts=item.facts,
        history=history,
        policy=law.policy,
        freezes=law.freezes,
    )
    decision = decide(case, RETURN_GUARDS) if item.candidate.cause.takes_back else decide(case)
    if not isinstance(decision, Hold):
        tally.last_action += 1
    if isinstance(decision, Act) and proposal.changes:
        tally.count(case, batch.now)
    elif isinstance(decision, Act):
        tally.count_look(case, batch.now)
    elif isinstance(decision, Ask):
        tally.remember(case, batch.now, ActionState.AWAITING_APPROVAL)
    return decision


def _not_now(item: Assessed, rule: Rule, batch: AdmissionBatch, tally: Tally, target: Target | None) -> Refusal | None:
    """Say why there is nothing to decide: the alert is over or silenced, or this rule is at work on this target."""
    candidate = item.candidate
    if candidate.cause.takes_back:
        return too_late(candidate, batch.now) or _needed(candidate, batch, target)
    if not batch.firing.get(candidate.id, False):
        return Refusal(reason=HoldReason.NOT_FIRING, message="the alert is no longer firing")
    if candidate.id in batch.hushed:
        return hushed(batch.hushed[candidate.id], candidate, batch.now)
    if target is None or candidate.cause is not Cause.SIGNAL:
        return None
    if (target.key, rule.name) in tally.taken:
        message = f"rule {rule.name} is being decided for {target} in this same batch; the alert joins that incident"
        return Refusal(reason=HoldReason.IN_PROGRESS, message=message)
    incident = item.incident
    return _already(incident, rule, batch) if incident is not None and incident.id != candidate.incident else None


def _needed(candidate: Candidate, batch: AdmissionBatch, target: Target | None) -> Refusal | None:
    """Refuse to bring back what was lent while anything is wrong with its target; a person may want it all the same."""
    incident = batch.incidents.get(target.key) if target is not None and candidate.cause is Cause.RETURN else None
    if incident is None:
        return None
    message = f"incident {incident.id} of {target} is {incident.state.value}: what was lent may be needed"
    return Refusal(reason=HoldReason.IN_PROGRESS, message=message, numbers={"incident": incident.id})


def _already(incident: Incident, rule: Rule, batch: AdmissionBatch) -> Refusal | None:
    """Refuse a second ladder of a rule beside its first, and what people have taken over or said no to.

    An incident in which this rule has nothing under way any more is driven on by the alert that fires now: the alert
    before it may have fallen silent before anything was done.
    """
    numbers = {"incident": incident.id}
    if rule.name in batch.working.get(incident.id, ()):
        message = f"incident {incident.id} is already being worked on by this rule; the alert joins it"
        return Refusal(reason=HoldReason.IN_PROGRESS, message=message, numbers=numbers)
    if incident.state is IncidentState.ESCALATED and incident.rule == rule.name:
        message = f"people were called for incident {incident.id}; the machine has nothing left to try"
        return Refusal(reason=HoldReason.LADDER_SPENT, message=message, numbers=numbers)
    if rule.name in batch.rejected.get(incident.id, ()):
        message = f"a person said no to what rule {rule.name} wanted to do in incident {incident.id}"
        return Refusal(reason=HoldReason.REJECTED, message=message, numbers=numbers)
    return None


def _hold(refusal: Refusal) -> Hold:
    return Hold(refusals=(refusal,), retry_at=refusal.retry_at)


def outcome(decision: Decision) -> str:
    """Return the decision's name in metrics and reports: act, observe, ask or hold."""
    match decision:
        case Act():
            return "act"
        case Observe():
            return "observe"
        case Ask():
            return "ask"
        case Hold():
            return "hold"
        case _:
            assert_never(decision)
