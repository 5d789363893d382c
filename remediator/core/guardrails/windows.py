"""Counting limits: which windows a case is counted in, and whether one of them is full."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.case import Case, Scope, Window
from remediator.model.decision import HoldReason, Refusal
from remediator.model.errors import InvariantBroken
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Target

TARGET, RULE, NAMESPACE, CLUSTER, LOOK = "target", "rule", "namespace", "cluster", "look"


def scopes(rule: Rule, target: Target, policy: Policy) -> tuple[Scope, ...]:
    """Return every window that must be counted before a change of the target by the rule may be decided.

    A window of ``window_s`` seconds holds the changing actions admitted later than ``now - window_s``, whatever became
    of them: what was begun may have had its effect. Those of observe mode do not count.
    """
    limits = rule.limits
    wanted = (
        Scope(kind=TARGET, key=target.key, limit=limits.per_target),
        Scope(kind=RULE, key=rule.name, limit=limits.per_rule),
        Scope(kind=NAMESPACE, key=target.namespace, limit=limits.per_namespace),
        Scope(kind=CLUSTER, key="", limit=limits.per_cluster),
        Scope(kind=CLUSTER, key="", limit=policy.cluster_burst),
        Scope(kind=CLUSTER, key="", limit=policy.cluster_hourly),
    )
    return tuple(dict.fromkeys(wanted))


def looks(action: str, policy: Policy) -> Scope:
    """Return the window of the actions of that name that change nothing: how many a storm leaves room for."""
    return Scope(kind=LOOK, key=action, limit=policy.storm_evidence)


def full(case: Case, kind: str, reason: HoldReason) -> Refusal | None:
    """Refuse when a window of that kind is full; of several full ones, name the one that frees last."""
    refusals = []
    for scope in scopes(case.rule, case.plan.target, case.policy):
        if scope.kind != kind:
            continue
        window = counted(case, scope)
        if window.count >= scope.limit.count:
            refusals.append((frees_at(case.now, scope, window), scope, window))
    if not refusals:
        return None
    retry_at, scope, window = max(refusals, key=lambda found: found[0])
    return _refusal(case, reason, scope, window, retry_at)


def counted(case: Case, scope: Scope) -> Window:
    """Return a window as it was counted. Raises InvariantBroken where it was not: it must never be read as empty."""
    window = case.history.windows.get(scope)
    if window is None:
        raise InvariantBroken(f"the window {scope.kind} '{scope.key}' {scope.limit} was not counted")
    return window


def frees_at(now: datetime, scope: Scope, window: Window) -> datetime:
    """Return when the oldest action leaves the window; a whole window from now where that is not known."""
    frees = (window.oldest_at or now) + timedelta(seconds=scope.limit.window_s)
    return max(frees, now + timedelta(seconds=1))


def _refusal(case: Case, reason: HoldReason, scope: Scope, window: Window, retry_at: datetime) -> Refusal:
    """Return the refusal with the count, the limit and the wait."""
    left = (retry_at - case.now).total_seconds()
    return Refusal(
        reason=reason,
        message=(
            f"{_who(case, scope)} had {window.count} of at most {scope.limit.count} actions "
            f"in {span(scope.limit.window_s)}; the next may start in {span(left)}"
        ),
        numbers={
            "count": window.count,
            "limit": scope.limit.count,
            "window_s": scope.limit.window_s,
            "left_s": left,
            "key": scope.key,
        },
        retry_at=retry_at,
    )


def _who(case: Case, scope: Scope) -> str:
    """Return whose window it is."""
    match scope.kind:
        case "target":
            return str(case.plan.target)
        case "cluster":
            return "the cluster"
        case _:
            return f"{scope.kind} {scope.key}"
