"""Tells people, and changes nothing."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from remediator.actions.shape import ActionType, Parameters
from remediator.model.facts import Facts
from remediator.model.plan import CannotPlan, Notify, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target


class NotifyParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``message``: the rule author's own words, sent as they are. ``urgent``: wake somebody."""

    message: Annotated[str, Meta(max_length=500)] = ""
    urgent: bool = False


def faults(parameters: NotifyParameters) -> tuple[str, ...]:
    """Refuse braces: who writes them expects them to be filled in, and labels are never pasted into text."""
    if "{" in parameters.message or "}" in parameters.message:
        return ("nothing in braces is filled in; leave them out: rule, target and its state are always told",)
    return ()


def plan(target: Target, parameters: NotifyParameters, facts: Facts, rule: Rule, _policy: Policy) -> Plan | CannotPlan:
    """Plan one notification, made of the rule's and the target's own fields only."""
    told = f"{rule.severity} {rule.name}: {target}, {_state(facts)}"
    message = f"{told}. {parameters.message}" if parameters.message else told
    return Plan(
        action="notify",
        target=target,
        summary=f"tell people about {target}",
        steps=(Notify(message=message, urgent=parameters.urgent),),
    )


def _state(facts: Facts) -> str:
    """Return how the target stands, in a few words."""
    if facts.workload is None:
        return f"state unknown ({facts.problem or 'nothing was read'})"
    return f"{facts.workload.ready} of {facts.workload.replicas} ready"


NOTIFY = ActionType(
    name="notify",
    title="Tell people",
    parameters=NotifyParameters,
    kinds=frozenset(Kind),
    changes=False,
    disruptive=False,
    permissions=(),
    plan=plan,
    faults=faults,
)
