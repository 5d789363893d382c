"""``match``: what it costs to find the rules for an alert must not grow with the rules that cannot match it."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Report, alternate
from bench.statistics import median, median_ratio
from bench.table import Goal
from remediator.core.match import RuleIndex
from remediator.model.rule import Matcher, MatchOp, Rule, Rung, Severity, TargetSpec
from remediator.model.target import Kind

COUNTS = (10, 100, 1000, 10_000)
MOST = 1.2
ALERTS = 500
HEAD = ("rules", "us/alert, one matches", "ratio to 10", "us/alert, none matches", "ratio to 10")
TARGET = TargetSpec(namespaces=("backstage", "dev-portal"), kinds=(Kind.DEPLOYMENT,))

Labels = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``passes`` over all alerts a round."""

    rounds: int
    passes: int


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: some seconds, or one."""
    return Size(rounds=3, passes=4) if quick else Size(rounds=rounds * 4, passes=20)


def rules(count: int) -> tuple[Rule, ...]:
    """Return rules such as operators write, for as many alert names; every fourth lists several names."""
    return tuple(_rule(number) for number in range(count))


def _rule(number: int) -> Rule:
    names = "|".join(f"Alert{number:05d}{letter}" for letter in "ABC")
    name = (
        Matcher(label="alertname", op=MatchOp.REGEX, value=names)
        if number % 4 == 0
        else Matcher(label="alertname", op=MatchOp.EQUAL, value=f"Alert{number:05d}A")
    )
    others = (
        Matcher(label="namespace", op=MatchOp.REGEX, value="backstage|dev-portal"),
        Matcher(label="pod", op=MatchOp.NOT_REGEX, value="debug-.*"),
    )
    return Rule(
        name=f"rule-{number}",
        match=(name, *others),
        severity=Severity.P3,
        target=TARGET,
        ladder=(Rung(action="investigate", parameters={}),),
    )


def alerts(known: int) -> list[Labels]:
    """Return label sets; the first ``known`` rules know their names, with 0 nobody does."""
    return [
        {
            "alertname": f"Alert{number % known:05d}A" if known else f"Unknown{number}",
            "namespace": "backstage",
            "pod": f"backstage-{number}-x2x9z",
            "container": "backstage",
            "instance": f"10.42.0.{number % 250}:8080",
            "job": "kube-state-metrics",
            "prometheus": "monitoring/k8s",
            "severity": "warning",
        }
        for number in range(ALERTS)
    ]


def microseconds(index: RuleIndex, labels: Sequence[Labels], passes: int) -> float:
    """Return the cost of one alert."""
    began = time.perf_counter_ns()
    for _ in range(passes):
        for one in labels:
            index.matching(one)
    return (time.perf_counter_ns() - began) / 1000 / passes / len(labels)


def measure(wanted: Size, report: Report) -> None:
    """Measure and print. All sets know the same ten names that the alerts carry."""
    indexes = {count: RuleIndex.build(rules(count)) for count in COUNTS}
    known, unknown = alerts(COUNTS[0]), alerts(0)
    hit: dict[int, list[float]] = {count: [] for count in COUNTS}
    miss: dict[int, list[float]] = {count: [] for count in COUNTS}
    gc.collect()
    gc.disable()
    try:
        for number in range(wanted.rounds):
            for count in alternate(COUNTS, number):
                hit[count].append(microseconds(indexes[count], known, wanted.passes))
                miss[count].append(microseconds(indexes[count], unknown, wanted.passes))
    finally:
        gc.enable()
    least = COUNTS[0]
    rows = [
        (
            f"{count:,}",
            median(hit[count]),
            median_ratio(hit[count], hit[least]),
            median(miss[count]),
            median_ratio(miss[count], miss[least]),
        )
        for count in COUNTS
    ]
    report.table("Matching one alert", HEAD, rows)
    most = COUNTS[-1]
    report.goal(Goal(f"matching, {most:,} rules to {least}, one matches", rows[-1][2], MOST, most=True))
    report.goal(Goal(f"matching, {most:,} rules to {least}, none matches", rows[-1][4], MOST, most=True))
    for count, index in indexes.items():
        found = sum(len(index.matching(one)) for one in known)
        report.must(f"rules found for {ALERTS} alerts among {count:,}", found, ALERTS)
