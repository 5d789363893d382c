"""What to do about a signal: rules, as the core sees them after the files were read and checked."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from remediator.model.freeze import Freeze
from remediator.model.target import Kind


class Severity(StrEnum):
    """The runbook's severity levels. The order of the names is the order of urgency."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Mode(StrEnum):
    """What a rule may do: decide and record only, ask a person, or act."""

    OBSERVE = "observe"
    ASK = "ask"
    ENFORCE = "enforce"

    @property
    def rank(self) -> int:
        """Return 0 for observe, 1 for ask, 2 for enforce; a ceiling is the lower of two ranks."""
        return (Mode.OBSERVE, Mode.ASK, Mode.ENFORCE).index(self)


class MatchOp(StrEnum):
    """Alertmanager's matcher operators. Regular expressions are anchored at both ends."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class Matcher(Struct, frozen=True, kw_only=True):
    """One condition on one label; a missing label counts as the empty string, as in Alertmanager."""

    label: str
    op: MatchOp
    value: str

    def __str__(self) -> str:
        """Return the matcher in Alertmanager's syntax."""
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.label}{self.op}"{escaped}"'


class TargetSpec(Struct, frozen=True, kw_only=True):
    """Which objects a rule may touch, and how the one object is found from the labels.

    ``namespaces`` and ``kinds`` are the limits and may not be empty: a label can only choose inside them.
    ``name`` fixes the object (the rule names it); otherwise it is found from the labels. ``namespace_label``
    names the label that holds the namespace. ``stateful``: a Deployment that keeps data (a database), which is left to
    people after one failed attempt, as every StatefulSet is.
    """

    namespaces: tuple[str, ...]
    kinds: tuple[Kind, ...]
    name: str = ""
    namespace_label: str = "namespace"
    max_targets: int = 1
    stateful: bool = False


class RateLimit(Struct, frozen=True, kw_only=True):
    """At most ``count`` actions in any ``window_s`` seconds. Count is at least 1: nothing here means unlimited."""

    count: int
    window_s: int

    def __str__(self) -> str:
        """Return ``3/3600s``."""
        return f"{self.count}/{self.window_s}s"


class Limits(Struct, frozen=True, kw_only=True):
    """How often a rule may act. The defaults are those of docs/guardrails.md."""

    cooldown_s: int = 600
    per_rule: RateLimit = RateLimit(count=20, window_s=3600)
    per_target: RateLimit = RateLimit(count=3, window_s=3600)
    per_namespace: RateLimit = RateLimit(count=10, window_s=3600)
    per_cluster: RateLimit = RateLimit(count=20, window_s=3600)


class Recovery(Struct, frozen=True, kw_only=True):
    """What recovered means: the alert silent and the rollout healthy ``for_s`` seconds, ``within_s`` of the action."""

    for_s: int = 60
    within_s: int = 600


class Rung(Struct, frozen=True, kw_only=True):
    """One step of the ladder: an action and its parameters, already checked against the action's own model."""

    action: str
    parameters: dict[str, Any]


class Source(Struct, frozen=True, kw_only=True):
    """One way to measure what a row is about: an expression for one kind of monitoring, under a name its users know.

    ``needs`` are selectors of series. The expression can give something where all the selectors of one of these groups
    select something; empty: that cannot be told beforehand.
    """

    name: str
    expr: str
    needs: tuple[tuple[str, ...], ...] = ()


class Threshold(Struct, frozen=True, kw_only=True):
    """The metric part of a rule made from a row of the threshold table.

    ``recover_below`` is the value under which the metric must be again; None: the warning threshold. ``sources`` are
    the ways to measure it, the preferred one first; ``expr`` is that one's expression until ``core.sources.choose`` has
    found out which of them this Prometheus has series for. ``pinned``: the author wants no other than the first.
    """

    expr: str
    unit: str
    warning: float
    critical: float
    for_s: int
    recover_below: float | None = None
    sources: tuple[Source, ...] = ()
    pinned: bool = False


class Rule(Struct, frozen=True, kw_only=True):
    """Which signals, which target, which severity, a ladder of remedies, limits, and what recovery means.

    ``place`` is ``file:line`` of its definition, for people. ``priority`` breaks ties between rules that want the same
    target: the higher wins. ``min_healthy_percent`` is the share of ready pods below which nothing disruptive is done
    (None: the policy's default). ``evidence``: look before a disruptive step and keep what was seen.
    """

    name: str
    match: tuple[Matcher, ...]
    severity: Severity
    target: TargetSpec
    ladder: tuple[Rung, ...]
    limits: Limits = Limits()
    recover: Recovery = Recovery()
    mode: Mode = Mode.OBSERVE
    priority: int = 0
    min_healthy_percent: int | None = None
    shelf_life_s: int = 120
    evidence: bool = True
    threshold: Threshold | None = None
    description: str = ""
    runbook: str = ""
    place: str = ""


class RuleSet(Struct, frozen=True, kw_only=True):
    """Every rule in force, and every freeze. ``digest`` is the SHA-256 of their files: two replicas compare it."""

    rules: tuple[Rule, ...]
    digest: str
    freezes: tuple[Freeze, ...] = ()

    def named(self, name: str) -> Rule | None:
        """Return the rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)
