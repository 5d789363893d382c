"""The one shape that every action has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from remediator.model.facts import Facts
from remediator.model.plan import CannotPlan, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target

Draft = Callable[[Target, Any, Facts, Rule, Policy], Plan | CannotPlan]
"""From a target, the action's own parameters and one snapshot of the world to a plan. Pure."""


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every action's parameters: closed, so that a misspelt word in a rule is a fault and not a default."""


class Permission(Struct, frozen=True, kw_only=True):
    """Verbs on resources of one API group that an action needs in the target's namespace, as RBAC spells them.

    ``cluster`` marks resources that have no namespace, or may be in any: those need a ClusterRole, and are only ever
    read.
    """

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    cluster: bool = False


def no_faults(_parameters: Any) -> tuple[str, ...]:
    """Find nothing to say about parameters whose fields cannot contradict each other."""
    return ()


class ActionType(Struct, frozen=True, kw_only=True):
    """One action: what it is called, what it takes, what it may touch, what it needs, and how it plans.

    ``parameters`` is the frozen type of the mapping that a rule writes behind the action's name. ``faults`` finds
    contradictions between fields that are each valid; one sentence each, for the rule's author. ``changes`` tells
    whether it writes to the cluster, ``disruptive`` whether pods may end by it. ``surroundings``: it must know who else
    decides about the workload, which costs some reads more. ``passes``: where there is nothing to do for it, the next
    rung of the ladder is planned at once.
    """

    name: str
    title: str
    parameters: type[Parameters]
    kinds: frozenset[Kind]
    changes: bool
    disruptive: bool
    permissions: tuple[Permission, ...]
    plan: Draft
    faults: Callable[[Any], tuple[str, ...]] = no_faults
    surroundings: bool = False
    passes: bool = False
