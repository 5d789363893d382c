"""Checked entries to frozen rules, and the checks that look at more than one field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from remediator import redaction
from remediator.actions.catalogue import ACTIONS
from remediator.core.match import NEVER_ACTED_ON, needs_a_label, wanted_values
from remediator.model.rule import Limits, Matcher, MatchOp, Recovery, Rule, TargetSpec, Threshold
from remediator.rulebook.duration import duration_text
from remediator.rulebook.faults import Fault
from remediator.rulebook.measures import source_faults, sources_of
from remediator.rulebook.parse import Entry
from remediator.rulebook.shapes import (
    NAME_PATTERN,
    OBJECT_PATTERN,
    LimitsShape,
    RuleShape,
    TargetShape,
    ThresholdShape,
)

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")
_NAMESPACE = re.compile(NAME_PATTERN)
_OBJECT = re.compile(OBJECT_PATTERN)
DEFAULT_NAMESPACE_LABEL = "namespace"


def faults_between_fields(entry: Entry[Any]) -> Iterator[Fault]:
    """Find contradictions between fields, as far as the fields themselves are good."""
    values = entry.values
    if "match" in values and "target" in values:
        matchers = _flat(values["match"])
        yield from _target_faults(entry, values["target"], matchers)
    if values.get("match"):
        yield from _match_faults(entry, _flat(values["match"]))
    if "ladder" in values and "target" in values:
        yield from _ladder_faults(entry)
    recover = values.get("recover")
    if recover is not None and recover.for_ > recover.within:
        stated = f"it must be quiet for {duration_text(recover.for_)}, within {duration_text(recover.within)}"
        yield entry.fault(f"recovery can never be seen: {stated}; make 'within' the longer one", "recover")
    yield from _threshold_faults(entry)
    yield from source_faults(entry)


def _target_faults(entry: Entry[Any], target: TargetShape, matchers: tuple[Matcher, ...]) -> Iterator[Fault]:
    if target.workload and (target.name or target.namespace_label):
        yield entry.fault(
            "'workload' says it all; remove 'name' and 'namespace_label', or 'workload'", "target", "workload"
        )
        return
    fixed = _fixed_namespace(target)
    if fixed is not None and target.namespaces is not None and fixed not in target.namespaces:
        yield entry.fault(f"namespace {fixed} is not among 'namespaces'; add it there", "target", "workload")
    yield from _namespace_faults(entry, target, matchers)
    seen = [kind for number, kind in enumerate(target.kinds) if kind in target.kinds[:number]]
    for kind in dict.fromkeys(seen):
        yield entry.fault(f"{kind} is listed twice; remove one", "target", "kinds")


def _namespace_faults(entry: Entry[Any], target: TargetShape, matchers: tuple[Matcher, ...]) -> Iterator[Fault]:
    label = _namespace_label(target)
    listed = _listed_values(matchers, label)
    stated = _stated_namespaces(target)
    if stated is None and listed is None:
        yield entry.fault(
            f"the rule does not say in which namespaces it may act; add 'target: {{namespaces: [...]}}',"
            f" or a matcher that lists the values of '{label}'",
            "target",
        )
        return
    if listed is None:
        return
    for value in sorted(listed):
        if stated is None and _NAMESPACE.fullmatch(value) is None:
            yield entry.fault(f"{value!r} is not the name of a namespace; correct the matcher on '{label}'", "match")
    if stated is not None and not listed & set(stated):
        yield entry.fault(
            f"the matchers on '{label}' want {_words(listed)}, and the rule may act in {_words(stated)} only;"
            " no target can ever be found, make them agree",
            "match",
        )


def _match_faults(entry: Entry[Any], matchers: tuple[Matcher, ...]) -> Iterator[Fault]:
    if isinstance(entry.values.get("alerts"), list):
        return
    if not needs_a_label(matchers):
        yield entry.fault("these matchers accept alerts that say nothing at all; name the alerts you mean", "match")
    if _listed_values(matchers, "severity") == frozenset({NEVER_ACTED_ON}):
        yield entry.fault(
            "alerts of severity 'none' only prove that alerting works, and no rule acts on them; remove the rule",
            "match",
        )


def _ladder_faults(entry: Entry[Any]) -> Iterator[Fault]:
    kinds = entry.values["target"].kinds
    for number, rung in enumerate(entry.values["ladder"]):
        action = ACTIONS[rung.action]
        unable = sorted(kind for kind in set(kinds) if kind not in action.kinds)
        if unable:
            able = _words(sorted(action.kinds))
            yield entry.fault(
                f"{action.name} cannot be done to a {_words(unable)}, only to {able}; change 'kinds' or the ladder",
                "ladder",
                number,
            )


def _threshold_faults(entry: Entry[Any]) -> Iterator[Fault]:
    warning, critical = entry.values.get("warning"), entry.values.get("critical")
    if warning is None:
        return
    if critical is not None and warning >= critical:
        yield entry.fault(
            f"the warning threshold {warning:g} is not below the critical one {critical:g}; make it lower", "warning"
        )
    below = getattr(entry.values.get("recover"), "below", None)
    if below is not None and below > warning:
        yield entry.fault(
            f"{below:g} is above the warning threshold {warning:g}; recovered means below it", "recover", "below"
        )


def build_rule(entry: Entry[RuleShape], shape: RuleShape) -> Rule:
    """Return the rule of an entry without faults."""
    matchers = _flat(shape.match)
    return _rule(entry, shape, matchers, Recovery(for_s=shape.recover.for_, within_s=shape.recover.within), None)


def build_threshold(entry: Entry[ThresholdShape], shape: ThresholdShape) -> Rule:
    """Return the rule of a row of the threshold table: alerts that mean the same set it off."""
    matchers = (_alert_matcher(list(dict.fromkeys([shape.name, *shape.alerts]))), *_flat(shape.match))
    sources = sources_of(shape)
    threshold = Threshold(
        expr=sources[0].expr,
        sources=sources,
        pinned=shape.source is not None,
        unit=shape.unit,
        warning=shape.warning,
        critical=shape.critical,
        for_s=shape.for_,
        recover_below=shape.recover.below,
    )
    recover = Recovery(for_s=shape.recover.for_, within_s=shape.recover.within)
    return _rule(entry, shape, matchers, recover, threshold)


def _rule(
    entry: Entry[Any],
    shape: RuleShape | ThresholdShape,
    matchers: tuple[Matcher, ...],
    recover: Recovery,
    threshold: Threshold | None,
) -> Rule:
    place = entry.document.place(entry.path)
    return Rule(
        name=shape.name,
        match=matchers,
        severity=shape.severity,
        target=_target(shape.target, matchers),
        ladder=tuple(shape.ladder),
        limits=_limits(shape.limits),
        recover=recover,
        mode=shape.mode,
        priority=shape.priority,
        min_healthy_percent=shape.min_healthy_percent,
        shelf_life_s=shape.shelf_life,
        evidence=shape.evidence,
        threshold=threshold,
        description=redaction.text(shape.description),
        runbook=redaction.text(shape.runbook),
        place=f"{place.file}:{place.line}",
    )


def _target(shape: TargetShape, matchers: tuple[Matcher, ...]) -> TargetSpec:
    label = _namespace_label(shape)
    namespaces = _stated_namespaces(shape)
    if namespaces is None:
        namespaces = tuple(sorted(_listed_values(matchers, label) or ()))
    return TargetSpec(
        namespaces=namespaces,
        kinds=tuple(shape.kinds),
        name=shape.name or _fixed_name(shape),
        namespace_label=label,
    )


def _limits(shape: LimitsShape) -> Limits:
    return Limits(
        cooldown_s=shape.cooldown,
        per_rule=shape.per_rule,
        per_target=shape.per_target,
        per_namespace=shape.per_namespace,
        per_cluster=shape.per_cluster,
    )


def _alert_matcher(names: list[str]) -> Matcher:
    if len(names) == 1:
        return Matcher(label="alertname", op=MatchOp.EQUAL, value=names[0])
    pattern = "|".join(_SPECIAL.sub(r"\\\1", name) for name in names)
    return Matcher(label="alertname", op=MatchOp.REGEX, value=pattern)


def _flat(entries: Iterable[tuple[Matcher, ...]]) -> tuple[Matcher, ...]:
    return tuple(matcher for entry in entries for matcher in entry)


def _listed_values(matchers: tuple[Matcher, ...], label: str) -> frozenset[str] | None:
    """Return the only values of a label that the matchers accept together, or None where they do not list them."""
    found: frozenset[str] | None = None
    for matcher in matchers:
        values = wanted_values(matcher) if matcher.label == label else None
        if values is not None:
            found = values if found is None else found & values
    return found


def _namespace_label(target: TargetShape) -> str:
    if target.workload and target.workload.startswith("{"):
        return target.workload[1 : target.workload.index("}")]
    return target.namespace_label or DEFAULT_NAMESPACE_LABEL


def _fixed_namespace(target: TargetShape) -> str | None:
    if target.workload and not target.workload.startswith("{"):
        return target.workload.partition("/")[0]
    return None


def _fixed_name(target: TargetShape) -> str:
    name = (target.workload or "").partition("/")[2]
    return "" if name.startswith("{") else name


def _stated_namespaces(target: TargetShape) -> tuple[str, ...] | None:
    fixed = _fixed_namespace(target)
    if fixed is not None:
        return (fixed,)
    return None if target.namespaces is None else tuple(target.namespaces)


def _words(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))
