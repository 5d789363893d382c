"""Which verbs on which resources the rules in force need, and in which namespaces: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from remediator.actions.catalogue import ACTIONS
from remediator.actions.shape import Permission
from remediator.model.rule import Rule

WORKLOADS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
EVERYWHERE = ""
"""The namespace of what has none, or may be in any."""
# What is read for every alert: the way from its labels to the workload, the workload's state, and how many there are.
ALWAYS = (
    Permission(group="", resources=("pods",), verbs=("get", "list")),
    Permission(group="", resources=("services",), verbs=("get",)),
    Permission(group="apps", resources=("replicasets",), verbs=("get", "list")),
    Permission(group="apps", resources=("controllerrevisions",), verbs=("list",)),
    Permission(group="apps", resources=tuple(WORKLOADS), verbs=("get", "list")),
)
# Kept as evidence where they can be had.
EVIDENCE = (
    Permission(group="", resources=("events", "services"), verbs=("list",)),
    Permission(group="", resources=("pods/log",), verbs=("get",)),
    Permission(group="", resources=("nodes",), verbs=("get",), cluster=True),
    Permission(group="discovery.k8s.io", resources=("endpointslices",), verbs=("list",)),
    Permission(group="networking.k8s.io", resources=("ingresses",), verbs=("list",)),
    Permission(group="metrics.k8s.io", resources=("pods",), verbs=("list",)),
    Permission(group="metrics.k8s.io", resources=("nodes",), verbs=("list",), cluster=True),
)
# The API server holds to quotas anyway.
_HELPFUL = frozenset({"resourcequotas"})


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource in one namespace."""

    namespace: str
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        """Return ``patch deployments.apps``."""
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A right, the rules that need it, and whether they cannot do without."""

    right: Right
    rules: tuple[str, ...]
    needed: bool


def needs(rules: Iterable[Rule]) -> tuple[Need, ...]:
    """Return every right that the rules need, each once; those without which nothing goes first."""
    wanted: dict[Right, list[str]] = {}
    needed: set[Right] = set()
    for rule in rules:
        for right, must in _of(rule):
            names = wanted.setdefault(right, [])
            if rule.name not in names:
                names.append(rule.name)
            if must:
                needed.add(right)
    found = [Need(right=right, rules=tuple(names), needed=right in needed) for right, names in wanted.items()]
    return tuple(sorted(found, key=lambda one: (not one.needed, one.right)))


def _of(rule: Rule) -> Iterator[tuple[Right, bool]]:
    for permission in ALWAYS:
        for right in _rights(permission, rule):
            yield right, True
    for rung in rule.ladder:
        action = ACTIONS[rung.action]
        for permission in action.permissions if action.changes else ():
            for right in _rights(permission, rule):
                yield right, right.resource not in _HELPFUL
    looks = any(rung.action == "investigate" for rung in rule.ladder)
    disrupts = rule.evidence and any(ACTIONS[rung.action].disruptive for rung in rule.ladder)
    for permission in EVIDENCE if looks or disrupts else ():
        for right in _rights(permission, rule):
            yield right, False


def _rights(permission: Permission, rule: Rule) -> Iterator[Right]:
    namespaces = (EVERYWHERE,) if permission.cluster else rule.target.namespaces
    for resource in permission.resources:
        kind = WORKLOADS.get(resource)
        for verb in permission.verbs:
            if verb == "patch" and kind is not None and kind not in rule.target.kinds:
                continue
            for namespace in namespaces:
                yield Right(namespace, permission.group, resource, verb)
