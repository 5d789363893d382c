"""What every rulebook promises: the one that reads files, and the one that the stages are tested with."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.ports.rules import Rulebook
from remediator.rulebook.watch import LiveRulebook
from tests.fakes.observer import Notebook
from tests.flow.rig import Rules

FILE = """
rules:
  - name: first
    match: ['alertname="A"', 'namespace=~"backstage|dev-.*"']
    severity: P1
    target: {namespaces: [backstage], kinds: [Deployment]}
    ladder: [restart]
  - name: second
    match: ['alertname="A"']
    severity: P2
    target: {namespaces: [backstage], kinds: [Deployment]}
    ladder: [investigate]
"""


@pytest.fixture(params=["files", "fake"])
def rulebook(request: pytest.FixtureRequest, tmp_path: Path) -> Rulebook:
    """Each rulebook in turn, with the same rules."""
    (tmp_path / "a.yaml").write_text(FILE)
    live = LiveRulebook((tmp_path,), Notebook())
    return live if request.param == "files" else Rules(rules=live.current().rules)


def test_rules_are_found_by_name(rulebook: Rulebook) -> None:
    """The set holds them in the order of the file; what is not there is None."""
    assert [rule.name for rule in rulebook.current().rules] == ["first", "second"]
    found = rulebook.named("second")
    assert found is not None
    assert found is rulebook.current().named("second")
    assert rulebook.named("third") is None
    assert rulebook.current().digest


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"alertname": "A", "namespace": "backstage"}, ["first", "second"]),
        ({"alertname": "A", "namespace": "dev-portal", "x": "y"}, ["first", "second"]),
        ({"alertname": "A", "namespace": "backstage-2"}, ["second"]),
        ({"alertname": "A"}, ["second"]),
        ({"alertname": "a", "namespace": "backstage"}, []),
        ({}, []),
    ],
)
def test_all_rules_that_match_are_told_in_order(rulebook: Rulebook, labels: dict[str, str], names: list[str]) -> None:
    """Every matcher holds, at both ends of its text; a missing label is the empty one."""
    assert [rule.name for rule in rulebook.matching(labels)] == names
