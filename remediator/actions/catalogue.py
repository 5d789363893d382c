"""Every action there is, by the name that rules use.

An action is a value of ``ActionType``; whoever adds one adds it to ``collect`` below and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import structs

from remediator.actions.investigate import INVESTIGATE
from remediator.actions.max_connections import CONFIGURE_MAX_CONNECTIONS, RAISE_MAX_CONNECTIONS
from remediator.actions.notify import NOTIFY
from remediator.actions.parameters import did_you_mean, parse_parameters
from remediator.actions.raise_connections import RAISE_CONNECTIONS
from remediator.actions.restart import RESTART
from remediator.actions.scale import SCALE
from remediator.actions.shape import ActionType, Parameters
from remediator.model.errors import ConfigError, InvariantBroken
from remediator.model.facts import Facts
from remediator.model.plan import CannotPlan, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule, Rung
from remediator.model.target import Target


def collect(*actions: ActionType) -> Mapping[str, ActionType]:
    """Return the actions by name, read-only; raise ConfigError for every name that is taken twice."""
    found: dict[str, ActionType] = {}
    problems = []
    for action in actions:
        if action.name in found:
            problems.append(f"two actions are called '{action.name}'; rename one")
        found[action.name] = action
    if problems:
        raise ConfigError(*problems)
    return MappingProxyType(found)


ACTIONS: Mapping[str, ActionType] = collect(
    INVESTIGATE,
    NOTIFY,
    RESTART,
    SCALE,
    RAISE_CONNECTIONS,
    RAISE_MAX_CONNECTIONS,
    CONFIGURE_MAX_CONNECTIONS,
)


def parse(action: str, raw: dict[str, Any]) -> Parameters:
    """Return the checked parameters of one rung, or raise ConfigError with every fault and what to do about it."""
    known = ACTIONS.get(action)
    if known is None:
        raise ConfigError(f"there is no action {action!r}{did_you_mean(action, ACTIONS)}")
    return parse_parameters(known, raw)


def needs_surroundings(rule: Rule, rung: int) -> bool:
    """Tell whether a rung of a rule must know who else decides about the workload; one above the ladder need not."""
    known = ACTIONS.get(rule.ladder[rung].action) if 0 <= rung < len(rule.ladder) else None
    return known is not None and known.surroundings


def draft(rung: Rung, target: Target, facts: Facts, rule: Rule, policy: Policy) -> Plan | CannotPlan:
    """Plan one rung. Raises InvariantBroken for a rung that the loader should never have let in."""
    try:
        parameters = parse(rung.action, rung.parameters)
    except ConfigError as error:
        raise InvariantBroken(f"rule '{rule.name}' is in force with a bad rung: {error}") from error
    action = ACTIONS[rung.action]
    if target.kind not in action.kinds:
        wanted = ", ".join(sorted(action.kinds))
        return CannotPlan(
            reason="wrong_kind",
            message=f"{action.name} works on {wanted}, and {target} is a {target.kind}",
            numbers={"kind": target.kind.value, "kinds": sorted(action.kinds)},
        )
    found = action.plan(target, parameters, facts, rule, policy)
    return structs.replace(found, passes=True) if isinstance(found, CannotPlan) and action.passes else found
