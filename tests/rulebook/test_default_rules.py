"""The rules that come with the project are the runbook's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest

from remediator.core.match import RuleIndex
from remediator.model.rule import Mode, Rule, Severity
from remediator.rulebook.load import load

RULES = Path("rules")
PROMTOOL = which("promtool")


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
    """The runbook's numbers and first actions. Scaling up the database is not adding pods: people do it."""
    rule = rules[name]
    assert rule.threshold is not None
    assert (rule.threshold.unit, rule.threshold.warning, rule.threshold.critical) == (unit, warning, critical)
    assert rule.threshold.recover_below == warning
    assert rule.ladder[0].action == first
    assert rule.mode is Mode.OBSERVE


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


_OWNER = (
    'namespace_workload_pod:kube_pod_owner:relabel{namespace="backstage",pod="web-1",workload="web",'
    'workload_type="deployment"}'
)
_CPU = (
    'container_cpu_usage_seconds_total{job="kubelet",metrics_path="/metrics/cadvisor",image="i",container="c",'
    'namespace="backstage",pod="web-1"}'
)
_MEMORY = _CPU.replace("container_cpu_usage_seconds_total", "container_memory_working_set_bytes")
_LIMIT = 'kube_pod_container_resource_limits{job="kube-state-metrics",resource="%s",namespace="backstage",pod="web-1"}'
_REQUESTS = (
    'http_server_request_duration_seconds_count{namespace="backstage",service="web",http_response_status_code="%s"}'
)
_BUCKET = 'http_server_request_duration_seconds_bucket{namespace="backstage",service="web",le="%s"}'
_DATABASE = '{job="pg",instance="i",server="s"}'


@pytest.mark.prometheus
@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    ("name", "series", "labels", "value"),
    [
        (
            "cpu-usage",
            {_OWNER: "1x20", _CPU: "0+42x20", _LIMIT % "cpu": "1x20"},
            '{namespace="backstage", workload="web", workload_type="deployment"}',
            70,
        ),
        (
            "memory-usage",
            {_OWNER: "1x20", _MEMORY: "900x20", _LIMIT % "memory": "1000x20"},
            '{namespace="backstage", workload="web", workload_type="deployment"}',
            90,
        ),
        (
            "error-rate",
            {_REQUESTS % "200": "0+540x20", _REQUESTS % "503": "0+60x20"},
            '{namespace="backstage", service="web"}',
            10,
        ),
        ("error-rate", {_REQUESTS % "200": "0+600x20"}, '{namespace="backstage", service="web"}', 0),
        (
            "response-time",
            {_BUCKET % "0.5": "0+90x20", _BUCKET % "1": "0+100x20", _BUCKET % "+Inf": "0+100x20"},
            '{namespace="backstage", service="web"}',
            0.75,
        ),
        (
            "database-connections",
            {
                f"pg_stat_activity_count{_DATABASE}": "75x20",
                f"pg_settings_max_connections{_DATABASE}": "103x20",
                f"pg_settings_superuser_reserved_connections{_DATABASE}": "3x20",
            },
            '{instance="i", job="pg", server="s"}',
            75,
        ),
    ],
    ids=["cpu", "memory", "errors", "no-errors", "latency", "connections"],
)
def test_prometheus_computes_what_the_row_says(
    rules: dict[str, Rule], tmp_path: Path, name: str, series: dict[str, str], labels: str, value: float
) -> None:
    """Each expression, run by Prometheus' own tool on made-up series, gives the number that a person would compute."""
    assert PROMTOOL is not None
    threshold = rules[name].threshold
    assert threshold is not None
    samples = [{"labels": labels, "value": value}]
    test = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": key, "values": values} for key, values in series.items()],
                "promql_expr_test": [
                    {"expr": f"round(({threshold.expr}), 0.000001)", "eval_time": "15m", "exp_samples": samples}
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(test), "utf-8")
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
