"""What may be written in a rule file: the shapes at the edge, with the words that explain them to people and editors.

They are strict and closed: nothing is converted silently, and a misspelt field is a fault. ``build`` turns them into
the frozen rules that the rest of the daemon knows.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from remediator.model.rule import Limits, Matcher, Mode, RateLimit, Recovery, Rung, Severity
from remediator.model.target import Kind
from remediator.rulebook.duration import duration_text, parse_duration, parse_rate, rate_text
from remediator.rulebook.ladder import parse_rung
from remediator.rulebook.matchers import parse_matchers
from remediator.rulebook.promql import expression_fault

DURATION_PATTERN = r"^(0|([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$"
RATE_PATTERN = r"^[0-9]+/([0-9]+[wdhms])+$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
OBJECT_PATTERN = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
LABEL_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}$"
WORKLOAD_PATTERN = r"^(\{[a-zA-Z_][a-zA-Z0-9_]*\}|[a-z0-9-]+)/(\{workload\}|[a-z0-9.-]+)$"

_DEFAULTS = Limits()
_RECOVERY = Recovery()


def _matching(pattern: str, advice: str) -> AfterValidator:
    """Return a validator of texts, whose fault says ``advice``."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"{text[:60]!r} {advice}")
        return text

    return AfterValidator(check)


def _expression(text: str) -> str:
    fault = expression_fault(text)
    if fault is not None:
        raise ValueError(fault)
    return text


def _matchers(raw: object) -> tuple[Matcher, ...]:
    if isinstance(raw, str):
        return parse_matchers(raw)
    raise ValueError("a matcher is a text; put it in single quotes, like 'alertname=\"KubePodNotReady\"'")


_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["90s", "10m", "1h30m"]}
_MATCHER_SCHEMA = {"type": "string", "minLength": 3, "examples": ['alertname=~"BackstageDown|HighErrorRate503"']}

Duration = Annotated[int, PlainValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
Rate = Annotated[
    RateLimit,
    PlainValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["3/1h"]}),
]
Name = Annotated[
    str,
    _matching(
        NAME_PATTERN, "is not a name; use up to 63 lower-case letters, digits and '-', a letter or digit at the ends"
    ),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
ObjectName = Annotated[
    str,
    _matching(OBJECT_PATTERN, "is not a name that Kubernetes allows; use lower-case letters, digits, '-' and '.'"),
    WithJsonSchema({"type": "string", "pattern": OBJECT_PATTERN}),
]
LabelName = Annotated[
    str,
    _matching(LABEL_PATTERN, "is not the name of a label; use letters, digits and '_'"),
    WithJsonSchema({"type": "string", "pattern": LABEL_PATTERN}),
]
WorkloadText = Annotated[
    str,
    _matching(WORKLOAD_PATTERN, "does not name a workload; write '{namespace}/{workload}' or 'backstage/postgres'"),
    WithJsonSchema({"type": "string", "pattern": WORKLOAD_PATTERN, "examples": ["{namespace}/{workload}"]}),
]
Expression = Annotated[str, Field(min_length=1), AfterValidator(_expression)]
Matchers = Annotated[tuple[Matcher, ...], PlainValidator(_matchers), WithJsonSchema(_MATCHER_SCHEMA)]
Step = Annotated[Rung, PlainValidator(parse_rung), WithJsonSchema({"title": "Rung"})]
Loose = Field(strict=False)
"""For enumerations: their texts are written in YAML, and only their texts."""


def _written(default: int | RateLimit, description: str, alias: str | None = None) -> Any:
    """Return a field whose default is shown as it would be written in a file."""
    text = rate_text(default) if isinstance(default, RateLimit) else duration_text(default)
    return Field(default=default, alias=alias, description=description, json_schema_extra={"default": text})


class Shape(BaseModel):
    """A closed mapping of a rule file."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class TargetShape(Shape, title="Target"):
    """Which workloads may be touched. An alert's labels only choose among them."""

    namespaces: list[Name] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="The only namespaces in which the rule may act. May be left out where 'match' lists the values of"
        " the namespace label.",
    )
    kinds: list[Annotated[Kind, Loose]] = Field(
        default=[Kind.DEPLOYMENT],
        min_length=1,
        max_length=len(Kind),
        description="The only kinds of workload that the rule may touch.",
    )
    name: ObjectName | None = Field(
        default=None,
        description="Always act on the workload of this name, whatever the alert's labels say.",
    )
    workload: WorkloadText | None = Field(
        default=None,
        description="Namespace and name in one. A label's name in braces means that the alert says it:"
        " '{namespace}/{workload}' is the default, 'backstage/postgres' fixes both,"
        " '{exported_namespace}/{workload}' takes the namespace from another label.",
    )
    namespace_label: LabelName | None = Field(
        default=None,
        description="The label that holds the namespace; 'namespace' where nothing is said.",
    )


class LimitsShape(Shape, title="Limits"):
    """How often the rule may change something. None of them can be switched off."""

    cooldown: Duration = _written(
        _DEFAULTS.cooldown_s,
        "How long a target is left alone after a change. It doubles after each change that did not help.",
    )
    per_target: Rate = _written(_DEFAULTS.per_target, "Changes of one target in any such time, by all rules together.")
    per_rule: Rate = _written(_DEFAULTS.per_rule, "Changes by this rule in any such time.")
    per_namespace: Rate = _written(
        _DEFAULTS.per_namespace, "Changes in one namespace in any such time, by all rules together."
    )
    per_cluster: Rate = _written(
        _DEFAULTS.per_cluster, "Changes in the cluster in any such time, by all rules together."
    )


class RecoverShape(Shape, title="Recovery"):
    """What recovered means."""

    for_: Duration = _written(
        _RECOVERY.for_s, "How long the alert must be silent and the workload healthy.", alias="for"
    )
    within: Duration = _written(
        _RECOVERY.within_s,
        "How long after the action that may take; then the next rung follows, or people if it could not be seen.",
    )


class ThresholdRecoverShape(RecoverShape, title="Recovery of a metric"):
    """What recovered means for a metric."""

    below: float | None = Field(
        default=None,
        description="The value under which the metric must be again; the warning threshold where nothing is said.",
    )


class EntryShape(Shape):
    """What rules and rows of the threshold table have in common."""

    name: Name = Field(description="The rule's name: in the log, in metrics and in the ledger. Unique over all files.")
    description: str = Field(default="", max_length=1000, description="One or two sentences for the person on call.")
    runbook: str = Field(default="", max_length=500, description="Heading or address of the procedure behind the rule.")
    severity: Annotated[Severity, Loose] = Field(description="P1 (service down) to P4 (cosmetic), as in the runbook.")
    mode: Annotated[Mode, Loose] = Field(
        default=Mode.OBSERVE,
        description="observe: decide, record and dry-run only. ask: wait for a person's yes. enforce: act.",
    )
    target: TargetShape = Field(default_factory=TargetShape, description="Which workloads may be touched.")
    ladder: list[Step] = Field(
        min_length=1,
        max_length=10,
        description="What to do, in order; the next rung follows where the one before did not help.",
    )
    limits: LimitsShape = Field(default_factory=LimitsShape, description="How often the rule may change something.")
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Where two rules want the same target at once, the higher wins."
    )
    min_healthy_percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Share of ready pods below which nothing disruptive is done; the policy's where nothing is said.",
    )
    shelf_life: Duration = _written(120, "How long a decision may wait for its turn before it is made anew.")
    evidence: bool = Field(
        default=True, description="Whether to look and keep what was seen before a step that ends pods."
    )


class RuleShape(EntryShape, title="Rule"):
    """A rule: which alerts, which target, what to do about them, within which limits."""

    match: list[Matchers] = Field(
        min_length=1,
        max_length=32,
        description="Matchers in Alertmanager's syntax; all must hold. Regular expressions are anchored.",
    )
    recover: RecoverShape = Field(default_factory=RecoverShape, description="What recovered means.")


class SourceShape(Shape, title="Source"):
    """One way to measure a row: an expression for one kind of monitoring."""

    name: Name = Field(description="The monitoring that has these series, as its users call it: istio, traefik, ...")
    expr: Expression = Field(
        description="PromQL that gives one value for each target, in the row's unit, with labels that lead to the"
        " target; label_replace() gives them the names that the row expects."
    )


class ThresholdShape(EntryShape, title="Row of the threshold table"):
    """A row of the threshold table: a metric, two thresholds, and what to do above them."""

    expr: Expression | None = Field(
        default=None, description="PromQL that gives one value for each target. Either this or `sources`."
    )
    sources: list[SourceShape] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="Ways to measure it, the preferred one first. The first whose series Prometheus has is taken, and"
        " kept as long as it has them.",
    )
    source: Name | None = Field(
        default=None, description="The name of the one among `sources` that is to be taken, whatever Prometheus has."
    )
    unit: str = Field(min_length=1, max_length=20, description="What the value counts: percent, seconds, ...")
    warning: float = Field(description="Above this it is worth telling people.")
    critical: float = Field(description="Above this it is worth acting.")
    for_: Duration = Field(alias="for", description="How long the value must stay above a threshold.")
    alerts: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[],
        max_length=64,
        description="Names of alerts that mean the same. The row's own name always does.",
    )
    match: list[Matchers] = Field(
        default=[], max_length=32, description="Further matchers that the alerts of those names must meet."
    )
    recover: ThresholdRecoverShape = Field(default_factory=ThresholdRecoverShape, description="What recovered means.")
