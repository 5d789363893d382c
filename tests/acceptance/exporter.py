"""A small exporter: what kube-prometheus, Istio and postgres_exporter would show of one portal, with their labels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

PORTAL = 'namespace="backstage",pod="backstage-1"'
MESH = 'reporter="destination",destination_workload_namespace="backstage",destination_workload="backstage"'
PG = 'job="postgres",instance="db",namespace="backstage",server="db:5432"'
CADVISOR = f'job="kubelet",metrics_path="/metrics/cadvisor",image="i",container="backstage",{PORTAL}'
A_SCRAPE = 100_000
"""Requests from one scrape to the next: far above the traffic floor."""


def exposition(scrape: int) -> str:
    """What stands there at the so manieth scrape: 10 % of the requests fail, and 95 % take 0.75 s at most."""
    limit = f'job="kube-state-metrics",container="backstage",uid="u",{PORTAL}'
    every = scrape * A_SCRAPE
    lines = {
        f'namespace_workload_pod:kube_pod_owner:relabel{{{PORTAL},workload="backstage",workload_type="deployment"}}': 1,
        f"container_cpu_usage_seconds_total{{{CADVISOR}}}": scrape,
        f"container_memory_working_set_bytes{{{CADVISOR}}}": 900,
        f'kube_pod_container_resource_limits{{resource="cpu",{limit}}}': 2,
        f'kube_pod_container_resource_limits{{resource="memory",{limit}}}': 1000,
        f'istio_requests_total{{{MESH},response_code="200"}}': 0.9 * every,
        f'istio_requests_total{{{MESH},response_code="503"}}': 0.1 * every,
        f'istio_request_duration_milliseconds_bucket{{{MESH},le="500"}}': 0.9 * every,
        f'istio_request_duration_milliseconds_bucket{{{MESH},le="1000"}}': every,
        f'istio_request_duration_milliseconds_bucket{{{MESH},le="+Inf"}}': every,
        f'pg_stat_activity_count{{{PG},datname="portal",state="idle",backend_type="client backend"}}': 72,
        f"pg_settings_max_connections{{{PG}}}": 103,
        f"pg_settings_superuser_reserved_connections{{{PG}}}": 3,
        f"pg_settings_reserved_connections{{{PG}}}": 10,
    }
    return "".join(f"{series} {value}\n" for series, value in lines.items())


@asynccontextmanager
async def exporter() -> AsyncIterator[str]:
    """Run one on loopback; yields its host and port."""
    scrapes = 0

    async def metrics(_: web.Request) -> web.Response:
        nonlocal scrapes
        scrapes += 1
        return web.Response(text=exposition(scrapes))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
