"""Every expression of the threshold table, run by Prometheus' own tool on made-up series.

Each gives the number that a person would compute, with the labels that lead to the target.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from math import inf, isnan, nan
from pathlib import Path
from shutil import which

import pytest

from remediator.rulebook.load import load

PROMTOOL = which("promtool")
MISSING = "the promtool program is missing: apt-get install prometheus (Debian)"

Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """Series in, samples out: each by its labels, as PromQL writes them."""

    row: str
    source: str
    what: str
    series: Series
    gives: dict[str, float]


# ------------------------------------------------------------------------------------------------------ CPU and memory

WEB = '{namespace="backstage", workload="web", workload_type="deployment"}'


def pod(name: str, use: str, limit: str, *, metric: str = "cpu", container: str = "c") -> Series:
    """A pod of the workload web; without a limit where that is empty."""
    cadvisor = 'job="kubelet",metrics_path="/metrics/cadvisor",image="i"'
    labels = f'namespace="backstage",pod="{name}"'
    used = "container_cpu_usage_seconds_total" if metric == "cpu" else "container_memory_working_set_bytes"
    found = {
        f'namespace_workload_pod:kube_pod_owner:relabel{{{labels},workload="web",workload_type="deployment"}}': "1x20",
        f'kube_pod_owner{{{labels},owner_kind="ReplicaSet",owner_name="web-66c6"}}': "1x20",
        f'{used}{{{cadvisor},container="{container}",{labels}}}': use,
    }
    if limit:
        own = f'{labels},container="{container}",uid="u-{name}"'
        found[f'kube_pod_container_resource_limits{{job="kube-state-metrics",resource="{metric}",{own}}}'] = limit
    return {name: values for name, values in found.items() if values}


POSTGRES: Series = {
    series.replace('workload="web"', 'workload="postgres"').replace("web-66c6", "postgres-66c6"): values
    for series, values in pod("db", "0+60x20", "1x20").items()
}


def resources() -> list[Trial]:
    """What both sources of both rows must say."""
    cases: list[tuple[str, str, Series, dict[str, float]]] = [
        ("cpu", "one pod", pod("p", "0+42x20", "1x20"), {WEB: 70}),
        ("cpu", "two pods", pod("p", "0+42x20", "1x20") | pod("q", "0+6x20", "1x20"), {WEB: 40}),
        ("cpu", "no limit", pod("p", "0+42x20", ""), {}),
        (
            "cpu",
            "a sidecar without a limit does not count",
            pod("p", "0+42x20", "1x20") | pod("p", "0+60x20", "", container="proxy"),
            {WEB: 70},
        ),
        (
            "cpu",
            "a pod that was evicted and lies around does not count",
            pod("p", "0+42x20", "1x20") | pod("q", "", "1x20"),
            {WEB: 70},
        ),
        ("cpu", "no usage is known", pod("p", "", "1x20"), {}),
        ("cpu", "not the database", POSTGRES, {}),
        ("cpu", "80 % stays 80 %", pod("p", "0+48x20", "1x20"), {WEB: 80}),
        ("memory", "one pod", pod("p", "900x20", "1000x20", metric="memory"), {WEB: 90}),
        ("memory", "no limit", pod("p", "900x20", "", metric="memory"), {}),
        ("memory", "stale", pod("p", "900x8 stale", "1000x20", metric="memory"), {}),
    ]
    rows = {"cpu": "cpu-usage", "memory": "memory-usage"}
    sources = ("kube-prometheus", "kube-state-metrics")
    return [Trial(rows[which_], one, what, series, gives) for which_, what, series, gives in cases for one in sources]


# ----------------------------------------------------------------------------------------------- error rate and latency

# source: counter, bucket, label of the code, labels of one service, what the row calls it, what a second is
HTTP = {
    "opentelemetry": (
        *("http_server_request_duration_seconds_count", "http_server_request_duration_seconds_bucket"),
        *("http_response_status_code", 'namespace="backstage",service="web",pod="p"'),
        *('{namespace="backstage", service="web"}', 1),
    ),
    "opentelemetry-otlp": (
        *("http_server_request_duration_seconds_count", "http_server_request_duration_seconds_bucket"),
        *("http_response_status_code", 'k8s_namespace_name="backstage",k8s_deployment_name="web"'),
        *('{namespace="backstage", deployment="web"}', 1),
    ),
    "istio": (
        *("istio_requests_total", "istio_request_duration_milliseconds_bucket", "response_code"),
        'reporter="destination",destination_workload_namespace="backstage",destination_workload="web"',
        *('{namespace="backstage", workload="web"}', 1000),
    ),
    "traefik": (
        *("traefik_service_requests_total", "traefik_service_request_duration_seconds_bucket", "code"),
        *('service="backstage-web-7007@kubernetes"', '{namespace="backstage", service="web"}', 1),
    ),
    "ingress-nginx": (
        *("nginx_ingress_controller_requests", "nginx_ingress_controller_request_duration_seconds_bucket", "status"),
        *('exported_namespace="backstage",exported_service="web"', '{namespace="backstage", service="web"}', 1),
    ),
    "ingress-nginx-honor-labels": (
        *("nginx_ingress_controller_requests", "nginx_ingress_controller_request_duration_seconds_bucket", "status"),
        *('namespace="backstage",service="web"', '{namespace="backstage", service="web"}', 1),
    ),
}


def requests() -> list[Trial]:
    """What every source of the error rate must say. 60 a minute are one in a second."""
    found = []
    for source, (counter, _, code, labels, called, _) in HTTP.items():

        def of(status: str, values: str, name: str = counter, key: str = code, own: str = labels) -> Series:
            return {f'{name}{{{own},{key}="{status}"}}': values}

        cases: list[tuple[str, Series, dict[str, float]]] = [
            ("one in ten", of("200", "0+540x20") | of("503", "0+60x20"), {called: 10}),
            ("no error was ever counted", of("200", "0+600x20"), {called: 0}),
            ("no traffic", of("200", "7x20") | of("503", "3x20"), {called: 0}),
            (
                "one error in five minutes of quiet is none",
                of("200", "7x20") | of("500", "0x10 1x10"),
                {called: 1 / 1.5},
            ),
            ("everything fails, and there is little", of("500", "0+15x20"), {called: 50}),
            ("refused is no error", of("200", "0+60x20") | of("404", "0+60x20"), {called: 0}),
            ("another namespace", {k.replace("backstage", "billing"): v for k, v in of("500", "0+60x20").items()}, {}),
            ("a series that has ended", of("200", "0+60x5 stale") | of("500", "0+60x5 stale"), {}),
        ]
        found += [Trial("error-rate", source, what, series, gives) for what, series, gives in cases]
    return found


def durations() -> list[Trial]:
    """What every source of the response time must say."""
    found = []
    for source, (_, bucket, _, labels, called, second) in HTTP.items():

        def of(values: dict[float, str], name: str = bucket, own: str = labels, unit: int = second) -> Series:
            bounds = {str(le * unit) if le < inf else "+Inf": counts for le, counts in values.items()}
            return {f'{name}{{{own},le="{le}"}}': counts for le, counts in bounds.items()}

        cases: list[tuple[str, Series, dict[str, float]]] = [
            ("between two buckets", of({0.5: "0+90x20", 1: "0+100x20", inf: "0+100x20"}), {called: 0.75}),
            ("above the last finite bucket", of({0.5: "0x20", 1: "0+10x20", inf: "0+100x20"}), {called: 1}),
            ("no traffic", of({0.5: "9x20", 1: "9x20", inf: "9x20"}), {called: 0}),
            (
                "one slow request in a quiet hour",
                of({0.5: "0x20", 1: "0x20", 10: "0x10 1x10", inf: "0x10 1x10"}),
                {called: 0},
            ),
            ("only the last bucket", of({inf: "0+60x20"}), {called: nan}),
        ]
        found += [Trial("response-time", source, what, series, gives) for what, series, gives in cases]
    return found


# --------------------------------------------------------------------------------------------------------- connections

PG = 'job="pg",instance="i",server="s"'
PG_NAMED = f'{{namespace="backstage", {PG}}}'


def database(used: Series, reserved: str = "") -> Series:
    """A database that allows 103 connections, three of them for superusers."""
    settings = {"max_connections": "103x20", "superuser_reserved_connections": "3x20", "reserved_connections": reserved}
    named = f'namespace="backstage",{PG}'
    return {
        f"{metric.replace('{', '{' + named + ',') if '{' in metric else metric + '{' + named + '}'}": values
        for metric, values in {**used, **{f"pg_settings_{name}": one for name, one in settings.items()}}.items()
        if values
    }


def connections() -> list[Trial]:
    """What both sources of the connections must say."""
    clients = 'pg_stat_activity_count{datname="%s",state="%s",backend_type="client backend"}'
    old = 'pg_stat_activity_count{datname="%s",state="%s"}'
    worker = 'pg_stat_activity_count{datname="portal",state="active",backend_type="parallel worker"}'
    backends = 'pg_stat_database_numbackends{datname="%s"}'
    first, second = "postgres-exporter", "postgres-exporter-stat-database"
    cases: list[tuple[str, str, Series, dict[str, float]]] = [
        (
            first,
            "two states",
            database({clients % ("p", "idle"): "50x20", clients % ("q", "active"): "25x20"}),
            {PG_NAMED: 75},
        ),
        (
            first,
            "an exporter that does not tell backends apart",
            database({old % ("p", "idle"): "80x20"}),
            {PG_NAMED: 80},
        ),
        (first, "workers are no clients", database({clients % ("p", "idle"): "50x20", worker: "8x20"}), {PG_NAMED: 50}),
        (first, "PostgreSQL 16 reserves more", database({clients % ("p", "idle"): "45x20"}, "10x20"), {PG_NAMED: 50}),
        (
            first,
            "a database that has used up its own limit",
            database(
                {
                    clients % ("p", "idle"): "27x20",
                    clients % ("q", "active"): "2x20",
                    'pg_database_connection_limit{datname="p"}': "30x20",
                    'pg_database_connection_limit{datname="q"}': "-1x20",
                }
            ),
            {PG_NAMED: 90},
        ),
        (
            first,
            "a role that has used up its own limit, over two databases",
            database(
                {
                    'pg_stat_activity_count{datname="p",usename="app",backend_type="client backend"}': "18x20",
                    'pg_stat_activity_count{datname="q",usename="app",backend_type="client backend"}': "1x20",
                    'pg_stat_activity_count{datname="q",usename="ops",backend_type="client backend"}': "1x20",
                    'pg_roles_connection_limit{rolname="app"}': "20x20",
                    'pg_roles_connection_limit{rolname="ops"}': "-1x20",
                }
            ),
            {PG_NAMED: 95},
        ),
        (first, "no settings", {f"{clients % ('p', 'idle')}": "50x20"}, {}),
        (second, "two databases", database({backends % "p": "50x20", backends % "q": "25x20"}), {PG_NAMED: 75}),
        (second, "PostgreSQL 16 reserves more", database({backends % "p": "45x20"}, "10x20"), {PG_NAMED: 50}),
        (
            second,
            "a database that has used up its own limit",
            database({backends % "p": "27x20", 'pg_database_connection_limit{datname="p"}': "30x20"}),
            {PG_NAMED: 90},
        ),
        (second, "gone", database({backends % "p": "45x5 stale"}), {}),
    ]
    return [Trial("database-connections", *case) for case in cases]


TRIALS = [*resources(), *requests(), *durations(), *connections()]


def document(trials: list[Trial]) -> str:
    """The trials as a file of tests for promtool."""
    rows = {rule.name: rule.threshold for rule in load([Path("rules")]).rules.rules if rule.threshold}
    tests = []
    for trial in trials:
        [expr] = [one.expr for one in rows[trial.row].sources if one.name == trial.source]
        # NaN equals nothing, so it is asked for as what is neither; then there is a sample, and its value is one.
        no_number = f"1 + 0 * count by (namespace, service, deployment, workload) (({expr}) != ({expr}))"
        asked = no_number if any(map(isnan, trial.gives.values())) else f"round(({expr}), 0.000001)"
        samples = [
            {"labels": labels, "value": 1 if isnan(value) else round(value, 6)} for labels, value in trial.gives.items()
        ]
        tests.append(
            {
                "name": f"{trial.row}, {trial.source}: {trial.what}",
                "interval": "1m",
                "input_series": [{"series": key, "values": values} for key, values in trial.series.items()],
                "promql_expr_test": [{"expr": asked, "eval_time": "15m", "exp_samples": samples}],
            }
        )
    return json.dumps({"evaluation_interval": "1m", "tests": tests})


def judged(path: Path, trials: list[Trial]) -> str:
    """What promtool has against the trials; empty if nothing."""
    assert PROMTOOL is not None
    path.write_text(document(trials), "utf-8")
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.skipif(PROMTOOL is None, reason=MISSING)
@pytest.mark.parametrize("row", sorted({trial.row for trial in TRIALS}))
def test_prometheus_computes_what_the_row_says(row: str, tmp_path: Path) -> None:
    """For every source, with absent numerators, without traffic, above the last bucket, without limits."""
    assert judged(tmp_path / "test.yaml", [trial for trial in TRIALS if trial.row == row]) == ""


@pytest.mark.prometheus
@pytest.mark.skipif(PROMTOOL is None, reason=MISSING)
def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    """The trials can fail: one that expects 71 where there are 70 is told with both."""
    wrong = Trial("cpu-usage", "kube-prometheus", "wrong", pod("p", "0+42x20", "1x20"), {WEB: 71})
    complaint = judged(tmp_path / "test.yaml", [wrong])
    assert "7.1E+01" in complaint
    assert "7E+01" in complaint


def test_every_source_is_tried() -> None:
    """No expression is shipped that nobody has run."""
    shipped = {
        (rule.name, source.name)
        for rule in load([Path("rules")]).rules.rules
        if rule.threshold
        for source in rule.threshold.sources
    }
    assert shipped == {(trial.row, trial.source) for trial in TRIALS}
