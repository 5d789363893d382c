"""The bodies are what Alertmanager sends, as our own intake reads it, and no alert is like another."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.bodies import ALERT, Series, body, fingerprint, workload
from bench.rulefiles import A_FILE, write_idle_rules, write_restart_rule
from remediator.core.match import RuleIndex
from remediator.intake import quick
from remediator.intake.alertmanager import parse
from remediator.model.rule import Mode
from remediator.rulebook.load import load

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("per_body", [1, 100])
def test_a_body_is_taken_whole_on_the_quick_path(per_body: int) -> None:
    """Nothing is quarantined, and what is measured is what a real Alertmanager would cause."""
    raw = body(Series(run="r", starts_at=NOW, per_body=per_body), 3)
    assert quick.read(raw) is not None
    delivery = parse(raw, source="s", received_at=NOW)
    assert (len(delivery.signals), delivery.quarantined, delivery.truncated) == (per_body, (), 0)
    first = delivery.signals[0]
    assert (first.fingerprint, first.starts_at) == (fingerprint("r", 3 * per_body), NOW)
    assert (first.labels["namespace"], first.labels["deployment"]) == workload(3 * per_body)


def test_identities_never_meet() -> None:
    """Neither within a run nor between runs; targets are distinct within a run."""
    assert len({fingerprint(run, number) for run in ("a", "b") for number in range(2000)}) == 4000
    assert len({workload(number) for number in range(2000)}) == 2000


def test_the_restart_rule_matches_and_acts(tmp_path: Path) -> None:
    """The rule of the benchmark has no fault, enforces, and meets every alert of it."""
    rules = load([write_restart_rule(tmp_path / "rules")]).rules
    labels = parse(body(Series(run="r", starts_at=NOW), 0), source="s", received_at=NOW).signals[0].labels
    assert labels["alertname"] == ALERT
    (found,) = RuleIndex.build(rules.rules).matching(labels)
    assert (found.mode, found.evidence, [rung.action for rung in found.ladder]) == (Mode.ENFORCE, False, ["restart"])


def test_idle_rules_match_nothing(tmp_path: Path) -> None:
    """As many as asked for, over files of bounded size, and no alert of the benchmark is compared with any."""
    folder = write_idle_rules(tmp_path / "rules", A_FILE + 5)
    rules = load([folder]).rules.rules
    labels = parse(body(Series(run="r", starts_at=NOW), 0), source="s", received_at=NOW).signals[0].labels
    assert (len(rules), len(list(folder.iterdir()))) == (A_FILE + 5, 2)
    assert RuleIndex.build(rules).compared(labels) == 0
