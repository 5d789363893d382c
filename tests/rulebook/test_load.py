"""Files to one rule set: all or nothing, in order, with a digest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remediator.model.rule import (
    Limits,
    Matcher,
    MatchOp,
    Mode,
    RateLimit,
    Recovery,
    Rule,
    Rung,
    Severity,
    Source,
    TargetSpec,
    Threshold,
)
from remediator.model.target import Kind
from remediator.rulebook.faults import RulebookRejected
from remediator.rulebook.load import MOST_RULES, load
from remediator.rulebook.parse import MOST_ENTRIES
from remediator.rulebook.sources import MOST_FILES
from tests.rulebook.writing import RULE, faults, loaded, only_rule, rule_text, write_rules


def problems(*paths: Path) -> list[str]:
    """Return what is wrong with files."""
    with pytest.raises(RulebookRejected) as rejected:
        load(paths)
    return list(rejected.value.problems)


def test_every_field() -> None:
    """What is written is what the core gets, in its units."""
    rule = only_rule("""
        rules:
          - name: service-unavailable
            description: It is down.
            runbook: Common Incidents
            match: ['alertname=~"BackstageDown|HighErrorRate503"', 'namespace=~"backstage|dev-portal"']
            severity: P1
            mode: enforce
            target: {kinds: [Deployment, StatefulSet], name: backstage}
            ladder: [investigate, {scale: {to: 3}}, {notify: {urgent: true}}]
            limits: {cooldown: 5m, per_target: 2/1h, per_rule: 4/1h, per_namespace: 6/2h, per_cluster: 8/1d}
            recover: {for: 30s, within: 3m}
            priority: 7
            min_healthy_percent: 60
            shelf_life: 1m30s
            evidence: false
        """)
    assert rule == Rule(
        name="service-unavailable",
        description="It is down.",
        runbook="Common Incidents",
        match=(
            Matcher(label="alertname", op=MatchOp.REGEX, value="BackstageDown|HighErrorRate503"),
            Matcher(label="namespace", op=MatchOp.REGEX, value="backstage|dev-portal"),
        ),
        severity=Severity.P1,
        mode=Mode.ENFORCE,
        target=TargetSpec(
            namespaces=("backstage", "dev-portal"), kinds=(Kind.DEPLOYMENT, Kind.STATEFULSET), name="backstage"
        ),
        ladder=(
            Rung(action="investigate", parameters={"log_lines": 200}),
            Rung(
                action="scale",
                parameters={"to": 3, "step": None, "max": None, "return_after": None, "allow_gitops": False},
            ),
            Rung(action="notify", parameters={"message": "", "urgent": True}),
        ),
        limits=Limits(
            cooldown_s=300,
            per_target=RateLimit(count=2, window_s=3600),
            per_rule=RateLimit(count=4, window_s=3600),
            per_namespace=RateLimit(count=6, window_s=7200),
            per_cluster=RateLimit(count=8, window_s=86_400),
        ),
        recover=Recovery(for_s=30, within_s=180),
        priority=7,
        min_healthy_percent=60,
        shelf_life_s=90,
        evidence=False,
        place="r.yaml:3",
    )


def test_defaults_are_the_models() -> None:
    """A rule that says the least has the core's defaults, and only observes."""
    rule = only_rule(RULE)
    assert (rule.limits, rule.recover, rule.mode) == (Limits(), Recovery(), Mode.OBSERVE)
    assert (rule.priority, rule.min_healthy_percent, rule.shelf_life_s, rule.evidence) == (0, None, 120, True)
    assert rule.target == TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,))


def test_threshold_rows() -> None:
    """A row becomes a rule that alerts of its name, and of those that mean the same, set off."""
    rule = only_rule("""
        thresholds:
          - name: cpu-usage
            expr: sum by (namespace, workload) (cpu)
            unit: percent
            warning: 70
            critical: 85.5
            for: 2m
            severity: P3
            alerts: ["CPU (high)", cpu-usage, HighCPU]
            match: ['team="portal"']
            target: {workload: "{exported_namespace}/{workload}", namespaces: [backstage]}
            ladder: [{scale: {step: 1, max: 10}}]
            recover: {below: 65, for: 5m, within: 10m}
        """)
    assert rule.threshold == Threshold(
        expr="sum by (namespace, workload) (cpu)",
        unit="percent",
        warning=70,
        critical=85.5,
        for_s=120,
        recover_below=65,
        sources=(Source(name="", expr="sum by (namespace, workload) (cpu)", needs=(("cpu",),)),),
    )
    assert rule.target.namespace_label == "exported_namespace"
    assert [str(matcher) for matcher in rule.match] == [
        'alertname=~"cpu-usage|CPU \\\\(high\\\\)|HighCPU"',
        'team="portal"',
    ]
    assert rule.recover == Recovery(for_s=300, within_s=600)


def test_threshold_row_without_alerts() -> None:
    """Its own name is the only alert, and an equality."""
    rule = only_rule("""
        thresholds:
          - {name: lag, expr: lag, unit: seconds, warning: 1, critical: 2, for: 1m, severity: P3,
             target: {workload: backstage/postgres}, ladder: [notify]}
        """)
    assert rule.match == (Matcher(label="alertname", op=MatchOp.EQUAL, value="lag"),)
    assert rule.target == TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,), name="postgres")


@pytest.mark.parametrize(
    ("match", "namespaces"),
    [
        ("['alertname=\"A\"', 'namespace=\"b\"']", ("b",)),
        ("['alertname=\"A\"', 'namespace=~\"c|b\"']", ("b", "c")),
        ("['alertname=\"A\"', 'namespace=~\"c|b\"', 'namespace=~\"b|d\"']", ("b",)),
        ('[\'{alertname="A", namespace="b"}\']', ("b",)),
    ],
)
def test_derived_namespaces(match: str, namespaces: tuple[str, ...]) -> None:
    """Where the matchers list the namespaces, the target need not repeat them."""
    text = f"rules:\n  - {{name: one, match: {match}, severity: P3, ladder: [notify]}}"
    assert only_rule(text).target.namespaces == namespaces


def test_cross_checks_run_beside_other_faults() -> None:
    """A fault in one field does not hide what is wrong between the others."""
    found = faults("""
        rules:
          - name: one
            match: ['severity!="x"']
            severity: P9
            target: {kinds: [DaemonSet]}
            ladder: [{scale: {to: 3}}]
            recover: {for: 10m, within: 1m}
            shelf_life: soon
        """)
    assert [fault.split(" ")[0] for fault in found] == ["4:12", "5:15", "6:13", "7:14", "8:14", "9:17"]


def test_file_order(tmp_path: Path) -> None:
    """Rules come by file name, and within a file from top to bottom, whatever list they stand in."""
    row = "{expr: x, unit: u, warning: 1, critical: 2, for: 1m, severity: P3, target: {workload: b/p}, ladder: [notify]"
    (tmp_path / "a.yaml").write_text(f"thresholds:\n  - {row}, name: row}}\nrules:\n{rule_text('after')}", "utf-8")
    write_rules(tmp_path / "b.yml", "last", "very-last")
    assert [rule.name for rule in load([tmp_path]).rules.rules] == ["row", "after", "last", "very-last"]


def test_what_is_not_a_rule_file_is_left_alone(tmp_path: Path) -> None:
    """Hidden files, subfolders and other files are not read: a mounted ConfigMap is full of them."""
    write_rules(tmp_path / "a.yaml", "one")
    (tmp_path / "..data").mkdir()
    write_rules(tmp_path / "..data" / "a.yaml", "one")
    write_rules(tmp_path / ".hidden.yaml", "one")
    (tmp_path / "README.md").write_text("not yaml: [", "utf-8")
    assert [rule.name for rule in load([tmp_path]).rules.rules] == ["one"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    """The same path twice is not two rules of one name."""
    write_rules(tmp_path / "a.yaml", "one")
    assert len(load([tmp_path / "a.yaml", tmp_path]).rules.rules) == 1


def test_digest(tmp_path: Path) -> None:
    """The digest depends on names and bytes of the rule files, not on where they are, nor on their cases."""
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_rules(tmp_path / folder / "a.yaml", "one")
        write_rules(tmp_path / folder / "b.yaml", "two")
    digest = load([tmp_path / "x"]).rules.digest
    assert load([tmp_path / "y"]).rules.digest == digest
    assert load([tmp_path / "x" / "b.yaml", tmp_path / "x" / "a.yaml"]).rules.digest == digest
    case = "cases:\n  - {name: c, labels: {alertname: B}, expect: {rules: []}}\n"
    (tmp_path / "x" / "a.cases.yaml").write_text(case, "utf-8")
    assert load([tmp_path / "x"]).rules.digest == digest
    (tmp_path / "y" / "a.yaml").write_text((tmp_path / "y" / "a.yaml").read_text("utf-8") + "# c\n", "utf-8")
    assert load([tmp_path / "y"]).rules.digest != digest
    assert len(digest) == 64


def test_names_are_unique_over_files(tmp_path: Path) -> None:
    """Both places are named, even where the second rule has other faults."""
    write_rules(tmp_path / "a.yaml", "one")
    (tmp_path / "b.yaml").write_text("rules:\n  - name: one\n    severity: P7\n", "utf-8")
    expected = (
        f"{tmp_path}/b.yaml:2:11: the name 'one' is taken by the rule at {tmp_path}/a.yaml:2:11; rename one of them"
    )
    assert expected in problems(tmp_path)


def test_empty_directory(tmp_path: Path) -> None:
    """No rules at all is a mistake, also where only cases are left."""
    assert problems(tmp_path) == [f"{tmp_path}: there is no rule file in this directory; put at least one *.yaml there"]
    (tmp_path / "a.cases.yaml").write_text("cases: []", "utf-8")
    assert problems(tmp_path) == [f"{tmp_path}: there is no rule file in this directory; put at least one *.yaml there"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a pipe and a file of 2 MiB: each is named, and nobody waits for the pipe."""
    pipe, large = tmp_path / "pipe.yaml", tmp_path / "large.yaml"
    os.mkfifo(pipe)
    large.write_bytes(b"# a comment\n" * (2 * 1024 * 1024 // 12))
    missing = tmp_path / "missing.yaml"
    assert problems(missing, pipe, large) == [
        f"{large}: the file is larger than 1 MiB, and no more is read; split it by family",
        f"{missing}: this cannot be read (No such file or directory); correct the path or its permissions",
        f"{pipe}: this is not a regular file; name a rule file or a directory of them",
    ]


def test_a_path_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """An error of the file system is a fault with its path, not an exception."""
    too_long = tmp_path / ("x" * 300)
    [problem] = problems(too_long)
    assert "this cannot be read (File name too long)" in problem


def test_too_many_files(tmp_path: Path) -> None:
    """A directory of thousands of files was not meant."""
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.yaml").touch()
    assert f"there are {MOST_FILES + 1} files" in problems(tmp_path)[0]


def test_too_many_rules_in_a_file() -> None:
    """One list has a bound."""
    [fault] = faults("rules: [" + "a, " * (MOST_ENTRIES + 1) + "]")
    assert fault.startswith(f"1:8 'rules' has {MOST_ENTRIES + 1} entries; at most {MOST_ENTRIES}")


def test_too_many_rules_in_all(tmp_path: Path) -> None:
    """All files together have one too."""
    for number in range(MOST_RULES // MOST_ENTRIES + 1):
        (tmp_path / f"{number}.yaml").write_text("rules: [" + "1, " * MOST_ENTRIES + "]", "utf-8")
    assert any(f"at most {MOST_RULES} are loaded" in problem for problem in problems(tmp_path))


def test_a_failing_case_rejects_all() -> None:
    """Cases are part of the rules: one that fails names what was expected and what came."""
    case = "cases:\n  - {name: other, labels: {alertname: B}, expect: {rules: [one]}}\n"
    assert faults(RULE, case) == ["2:5 case 'other': expected one to match, and no rule did"]


def test_five_hundred_rules_load_quickly() -> None:
    """A large rule book is loaded completely, with every rule's place."""
    text = "rules:\n" + "".join(rule_text(f"rule-{number}", alert=f"A{number}") for number in range(500))
    rules = loaded(text).rules
    assert len(rules.rules) == 500
    assert rules.rules[-1].place == f"r.yaml:{2 + 499 * 4}"
    assert rules.named("rule-7") is rules.rules[7]
