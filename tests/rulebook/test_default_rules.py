"""The rules that come with the project are the runbook's."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.core.match import RuleIndex
from remediator.model.rule import Mode, Rule, Severity
from remediator.rulebook.load import load

RULES = Path("rules")


@pytest.fixture(scope="module")
def rules() -> dict[str, Rule]:
    """The default rules by name."""
    return {rule.name: rule for rule in load([RULES]).rules.rules}


def test_they_load_without_a_warning() -> None:
    """And with a case at least for each rule."""
    loaded = load([RULES])
    assert loaded.warnings == ()
    text = "".join(path.read_text("utf-8") for path in RULES.glob("*.cases.yaml"))
    assert [rule.name for rule in loaded.rules.rules if f"rules: [{rule.name}]" not in text] == []


@pytest.mark.parametrize(
    ("name", "unit", "warning", "critical", "first"),
    [
        ("cpu-usage", "percent", 70, 85, "scale"),
        ("memory-usage", "percent", 80, 90, "scale"),
        ("error-rate", "percent", 5, 10, "investigate"),
        ("response-time", "seconds", 0.5, 1, "investigate"),
        ("database-connections", "percent", 80, 95, "investigate"),
    ],
)
def test_the_threshold_table(
    rules: dict[str, Rule], name: str, unit: str, warning: float, critical: float, first: str
) -> None:
    """The runbook's numbers and first actions. Scaling up the database is not adding pods."""
    rule = rules[name]
    assert rule.threshold is not None
    assert (rule.threshold.unit, rule.threshold.warning, rule.threshold.critical) == (unit, warning, critical)
    assert rule.threshold.recover_below == warning
    assert rule.ladder[0].action == first
    assert rule.mode is (Mode.ASK if name == "database-connections" else Mode.OBSERVE)


def test_connection_limits_are_raised_when_a_person_agrees(rules: dict[str, Rule]) -> None:
    """The runbook's words: who holds them first, then "Increase connection limits" to 200, then people."""
    raised = ["raise_connections", "raise_max_connections"]
    for name, last in (("database-connections", ["notify"]), ("database-connection-issues", ["restart", "notify"])):
        rule = rules[name]
        assert [rung.action for rung in rule.ladder] == ["investigate", *raised, *last]
        assert [rule.ladder[number].parameters["to"] for number in (1, 2)] == [200, 200]
        assert rule.mode is Mode.ASK


def test_service_unavailable(rules: dict[str, Rule]) -> None:
    """Restart, then three replicas, then people: as the runbook's Resolution says, at once, for it is a P1."""
    rule = rules["service-unavailable"]
    assert (rule.severity, rule.mode) == (Severity.P1, Mode.ENFORCE)
    assert [rung.action for rung in rule.ladder] == ["investigate", "restart", "scale", "notify"]
    assert rule.ladder[2].parameters["to"] == 3
    assert (rule.target.namespaces, rule.target.name) == (("backstage", "dev-portal"), "backstage")


def test_only_the_portal_is_changed_without_a_person(rules: dict[str, Rule]) -> None:
    """Enforced is what the runbook tells its reader to do at once, and nothing else."""
    assert [name for name, rule in rules.items() if rule.mode is Mode.ENFORCE] == ["service-unavailable"]
    assert rules["database-connection-issues"].mode is Mode.ASK


def test_crash_loops_are_not_restarted(rules: dict[str, Rule]) -> None:
    """The kubelet restarts already."""
    assert [rung.action for rung in rules["pod-crash-looping"].ladder] == ["investigate", "notify"]


def test_nothing_adds_pods_to_a_database(rules: dict[str, Rule]) -> None:
    """Whatever an alert says about postgres, no rule that scales matches it."""
    index = RuleIndex.build(tuple(rules.values()))
    names = {value for rule in rules.values() if rule.threshold for value in rule.match[0].value.split("|")}
    for alert in names:
        for label in ("deployment", "workload", "pod", "service"):
            matched = index.matching({"alertname": alert, "namespace": "backstage", label: "postgres-primary"})
            assert not [rule.name for rule in matched if any(rung.action == "scale" for rung in rule.ladder)]


def test_they_act_in_the_runbooks_namespaces_only(rules: dict[str, Rule]) -> None:
    """Backstage and dev-portal."""
    assert {space for rule in rules.values() for space in rule.target.namespaces} == {"backstage", "dev-portal"}


def test_alerts_that_prove_alerting_match_nothing(rules: dict[str, Rule]) -> None:
    """Severity none is not acted on, whatever the alert is called."""
    index = RuleIndex.build(tuple(rules.values()))
    for name in ("Watchdog", "InfoInhibitor", "BackstageDown", "KubePodCrashLooping"):
        assert index.matching({"alertname": name, "namespace": "backstage", "severity": "none"}) == ()
