"""Cases beside the rules."""

from __future__ import annotations

import pytest

from tests.rulebook.writing import faults, loaded

RULES = """
rules:
  - name: restart-it
    match: ['alertname="Down"', 'namespace=~"backstage|dev-portal"']
    severity: P2
    ladder: [restart, notify]
  - name: look-at-it
    match: ['alertname="Down"', 'namespace="backstage"']
    severity: P3
    ladder: [investigate]
"""


def case(expect: str, labels: str = "alertname: Down, namespace: backstage, deployment: web") -> str:
    """Return the text of a file with one case."""
    return f"cases:\n  - {{name: it, labels: {{{labels}}}, expect: {{{expect}}}}}\n"


@pytest.mark.parametrize(
    ("expect", "labels"),
    [
        ("rules: [restart-it, look-at-it]", "alertname: Down, namespace: backstage"),
        ("rules: [look-at-it, restart-it], first_rung: investigate", "alertname: Down, namespace: backstage"),
        (
            "rules: [restart-it], target: deployment/dev-portal/web, first_rung: restart",
            "alertname: Down, namespace: dev-portal, deployment: web",
        ),
        ("rules: [restart-it], target: target_missing", "alertname: Down, namespace: dev-portal"),
        ("rules: []", "alertname: Up"),
    ],
)
def test_cases_that_hold(expect: str, labels: str) -> None:
    """A case that holds is listed with its name and place."""
    [result] = loaded(RULES, case(expect, labels)).cases
    assert (result.name, result.problem, str(result.place)) == ("it", "", "r.cases.yaml:2:5")


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ("rules: [restart-it]", "expected restart-it to match, and look-at-it, restart-it did"),
        ("rules: []", "expected no rule to match, and look-at-it, restart-it did"),
        ("rules: [restartit]", "there is no rule 'restartit'; did you mean 'restart-it'?"),
        (
            "rules: [restart-it, look-at-it], target: deployment/backstage/api",
            "expected target deployment/backstage/api of rule restart-it, and it is deployment/backstage/web",
        ),
        (
            "rules: [restart-it, look-at-it], first_rung: scale",
            "expected first_rung scale of rule restart-it, and it is restart",
        ),
    ],
)
def test_cases_that_do_not_hold(expect: str, says: str) -> None:
    """What was expected, and what came."""
    assert faults(RULES, case(expect)) == [f"2:5 case 'it': {says}"]


def test_expectations_of_nothing() -> None:
    """A target where no rule is expected was not meant."""
    found = faults(RULES, case("rules: [], target: deployment/a/b", "alertname: Up"))
    assert found == ["2:5 case 'it': 'target' and 'first_rung' say nothing where no rule is expected; remove them"]


def test_cases_are_not_tried_on_broken_rules() -> None:
    """Only the faults of the rules are told: a case would fail for what is missing."""
    assert faults(RULES.replace("P2", "P5"), case("rules: [gone]")) == [
        "5:15 'P5' is not possible here; write 'P1', 'P2', 'P3' or 'P4'"
    ]
