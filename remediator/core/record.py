"""Words for the ledger: what a ruling or a transition says to the person who reads it at 3 a.m."""

from __future__ import annotations

from typing import Any, assert_never

from remediator.core.signals import Change, Transition
from remediator.core.threshold_news import name_of
from remediator.model.case import Ruling
from remediator.model.decision import Act, Ask, Decision, Hold, HoldReason, Observe, Refusal
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.measure import SOURCE
from remediator.model.plan import Plan
from remediator.model.signal import Labels, Signal

# Reasons that make no incident: it is over, people want to hear nothing of it, or no rule speaks of it.
NOBODYS = frozenset(
    {
        HoldReason.NOT_FIRING,
        HoldReason.LATE,
        HoldReason.SILENCED,
        HoldReason.INHIBITED,
        HoldReason.RULE_GONE,
        HoldReason.NO_RULE,
    }
)

# Reasons that leave nothing for a person to do: it is over, under way, asked already, or answered.
QUIET = frozenset(
    {
        HoldReason.NO_RULE,
        HoldReason.NOT_FIRING,
        HoldReason.LATE,
        HoldReason.SILENCED,
        HoldReason.INHIBITED,
        HoldReason.IN_PROGRESS,
        HoldReason.RULE_GONE,
        HoldReason.AWAITING_APPROVAL,
        HoldReason.REJECTED,
    }
)


def alert_name(labels: Labels) -> str:
    """Return the alert's name, or a stand-in for one that has none."""
    return labels.get("alertname") or "(alert without a name)"


def title(ruling: Ruling) -> str:
    """Return an incident's title: the alert and the target."""
    candidate, facts = ruling.assessed.candidate, ruling.assessed.facts
    if facts.workload is not None:
        where = str(facts.workload.target)
    else:
        where = "the cluster could not be read" if facts.retryable else "no target found"
    return f"{alert_name(candidate.labels)}: {where}"


def needs_people(hold: Hold) -> bool:
    """Tell whether a hold must be told to a person: time will not change it, and there is something left to do."""
    if hold.retry_at is not None:
        return False
    return not any(refusal.reason in QUIET for refusal in hold.refusals)


def opens_incident(decision: Decision) -> bool:
    """Tell whether a decision belongs to an incident: all but what is over, silenced, or has no rule any more."""
    if not isinstance(decision, Hold):
        return True
    return not any(refusal.reason in NOBODYS for refusal in decision.refusals)


def decision_entry(ruling: Ruling, *, target_key: str) -> NewEntry:
    """Return the ledger entry of one ruling; the transaction completes it with its numbers."""
    candidate = ruling.assessed.candidate
    kind, summary, reasons = _decision_words(ruling.decision)
    return NewEntry(
        kind=kind,
        summary=summary,
        rule=candidate.rule,
        target_key=target_key,
        reasons=reasons,
        data=_decision_data(ruling),
    )


def reasons_of(decision: Decision) -> tuple[str, ...]:
    """Return the closed reasons of a hold, sorted; nothing for the others."""
    if isinstance(decision, Hold):
        return tuple(sorted({refusal.reason.value for refusal in decision.refusals}))
    return ()


def hold_message(hold: Hold) -> str:
    """Return all refusals in one line."""
    return "; ".join(refusal.message for refusal in hold.refusals)


def transition_entry(step: Transition, rules: int) -> NewEntry | None:
    """Return the entry for a signal that changed its alert, came late or met no rule; None if it only repeats."""
    signal = step.stored.signal
    name, asked = alert_name(signal.labels), signal.confirmed_at is not None
    data = _transition_data(signal)
    match step.change:
        case Change.OPENED | Change.REOPENED:
            return _began(step, rules, name, data)
        case Change.RESOLVED:
            how = "is over: Alertmanager does not have it any more" if asked else "is resolved, says its sender"
            summary = f"{name} {_measured(signal, 'is over') or how}"
            return NewEntry(kind=EntryKind.ALERT_RESOLVED, summary=summary, data=data)
        case Change.CHANGED:
            words = _measured(signal, "fires on") or f"fires on, severity {signal.labels.get('severity', 'none')}"
            data |= {"rules": rules}
            return NewEntry(kind=EntryKind.ALERT_CHANGED, summary=f"{name} {words}", data=data)
        case Change.LATE:
            return NewEntry(
                kind=EntryKind.SIGNAL_LATE,
                summary=f"{name}: a {signal.status} signal of an episode that is over came late; nothing is done",
                reasons=(HoldReason.LATE.value,),
                data=data,
            )
        case Change.CONTINUES | Change.REPEATED:
            return None
        case _:
            assert_never(step.change)


def _began(step: Transition, rules: int, name: str, data: dict[str, Any]) -> NewEntry:
    """Return the entry for an alert that fires from now on, or again."""
    signal = step.stored.signal
    asked = ", as Alertmanager says when it is asked" if signal.confirmed_at is not None else ""
    fires = _measured(signal, "fires") or f"fires{asked}"
    if step.change is Change.REOPENED:
        summary = f"{name} was called resolved and still {fires}: it is opened again"
        reasons = () if rules else (HoldReason.NO_RULE.value,)
        return NewEntry(kind=EntryKind.ALERT_REOPENED, summary=summary, reasons=reasons, data=data | {"rules": rules})
    if rules == 0:
        return NewEntry(
            kind=EntryKind.SIGNAL_UNMATCHED,
            summary=f"{name} {fires}, and no rule matches it",
            reasons=(HoldReason.NO_RULE.value,),
            data=data,
        )
    return NewEntry(kind=EntryKind.ALERT_FIRING, summary=f"{name} {fires}", data=data | {"rules": rules})


def _measured(signal: Signal, verb: str) -> str:
    """Return what the poller says of a series of the threshold table; "" for the alerts of others."""
    if not signal.source.startswith(SOURCE):
        return ""
    return f"of {name_of(signal.labels)} {verb}: {signal.annotations.get('summary', '')}"


def _transition_data(signal: Signal) -> dict[str, Any]:
    data: dict[str, Any] = {
        "fingerprint": signal.fingerprint,
        "source": signal.source,
        "starts_at": signal.starts_at.isoformat(),
        "labels": signal.labels,
    }
    if signal.confirmed_at is not None:
        data["confirmed_at"] = signal.confirmed_at.isoformat()
    return data


def _decision_words(decision: Decision) -> tuple[EntryKind, str, tuple[str, ...]]:
    match decision:
        case Act(plan=plan):
            return EntryKind.DECISION_ACT, f"will {plan.summary}{_passed(plan)}", ()
        case Observe(plan=plan, because=because):
            return (
                EntryKind.DECISION_OBSERVE,
                f"would {plan.summary}; only observed: {because}{_passed(plan)}",
                ("mode",),
            )
        case Ask(plan=plan, because=because):
            return EntryKind.DECISION_ASK, f"asks to {plan.summary}: {because}{_passed(plan)}", ("mode",)
        case Hold():
            return EntryKind.DECISION_HOLD, f"nothing done: {hold_message(decision)}", reasons_of(decision)
        case _:
            assert_never(decision)


def _passed(plan: Plan) -> str:
    """Return which rungs were passed over, and why."""
    return "".join(f"; {one.action} has nothing to do: {one.message}" for one in plan.passed)


def _decision_data(ruling: Ruling) -> dict[str, Any]:
    candidate, facts = ruling.assessed.candidate, ruling.assessed.facts
    data: dict[str, Any] = {
        "alert": alert_name(candidate.labels),
        "fingerprint": candidate.fingerprint,
        "rung": candidate.rung,
        "cause": candidate.cause.value,
        "facts_read_at": facts.read_at.isoformat(),
    }
    if ruling.rule is not None:
        data["severity"] = ruling.rule.severity.value
        data["place"] = ruling.rule.place
    if facts.workload is not None:
        load = facts.workload
        data["workload"] = {"replicas": load.replicas, "ready": load.ready, "revision": load.revision}
    seen = facts.database.facts if facts.database is not None else None
    if seen is not None:
        limits = [f"{one.scope} {one.name}: {one.used} of {one.limit}" for one in seen.limits]
        numbers = {"used": seen.used, "ordinary": seen.ordinary, "max_connections": seen.max_connections}
        data["database"] = {"name": seen.name, **numbers, "limits": limits}
    match ruling.decision:
        case Hold(refusals=refusals, retry_at=retry_at):
            data["refusals"] = [_refusal(refusal) for refusal in refusals]
            data["retry_at"] = retry_at.isoformat() if retry_at else None
        case Act(plan=plan) | Observe(plan=plan) | Ask(plan=plan):
            data["plan"] = _plan(plan)
        case _:
            assert_never(ruling.decision)
    return data


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {"reason": refusal.reason.value, "message": refusal.message, "numbers": refusal.numbers}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "action": plan.action,
        "summary": plan.summary,
        "steps": [type(step).__name__ for step in plan.steps],
        "changes": plan.changes,
        "disruptive": plan.disruptive,
    }
