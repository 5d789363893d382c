"""A portal that reacts: what kube-prometheus, Istio and postgres_exporter show of workloads that carry a load.

The load is spread over the pods that run in the sandbox, so that a pod more lowers it; connections are counted in a
real PostgreSQL. The names of series and labels are those that the shipped expressions ask for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import PODS

CORES = 1
BYTES = 1000
"""The limits of each pod: memory in a unit of our own, for only the share counts."""
REQUESTS_PER_S = 100.0
BUCKETS_MS = (250, 500, 1000, 2000)
CADVISOR = 'job="kubelet",metrics_path="/metrics/cadvisor",image="i"'
PG = 'job="postgres",instance="db",namespace="backstage",server="db:5432"'
SESSIONS = """
SELECT coalesce(datname, '') AS datname, coalesce(usename, '') AS usename, coalesce(state, '') AS state,
       backend_type, count(*) AS count
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4
"""
SETTINGS = ("max_connections", "superuser_reserved_connections", "reserved_connections")


@dataclass(slots=True, kw_only=True)
class Load:
    """What one workload carries: cores and memory of all its pods together, and how its requests go.

    ``failing``: the share that fails. ``beyond``: the shares that take longer than half a second, and than a second.
    """

    namespace: str
    name: str
    cores: float = 0.0
    memory: float = 0.0
    failing: float = 0.0
    beyond: tuple[float, float] = (0.0, 0.0)

    def within(self, milliseconds: int) -> float:
        """Return the share of requests that take no longer."""
        half, whole = self.beyond
        return {250: 0.9 * (1 - half), 500: 1 - half, 1000: 1 - whole}.get(milliseconds, 1.0)


@dataclass(slots=True, kw_only=True)
class Portal:
    """The exporter. ``loads`` may be changed at any time; counters go on from where they are."""

    cluster: SandboxCluster
    sql: asyncpg.Connection[asyncpg.Record]
    loads: dict[str, Load]
    _counters: dict[str, float] = field(default_factory=dict)
    _last: float | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Let it be scraped; yields host and port."""
        runner = web.ServerRunner(web.Server(self._metrics), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield "{}:{}".format(*runner.addresses[0][:2])
        finally:
            await runner.cleanup()

    async def _metrics(self, _: web.BaseRequest) -> web.Response:
        async with self._one:
            now = SystemClock().monotonic()
            seconds = now - (self._last or now)
            self._last = now
            lines = [line for load in self.loads.values() for line in self._workload(load, seconds)]
            lines += [line async for line in self._database()]
        return web.Response(text="".join(lines), headers={"Content-Type": "text/plain; version=0.0.4"})

    def _workload(self, load: Load, seconds: float) -> Iterator[str]:
        pods = [
            pod["metadata"]["name"]
            for pod in self.cluster.store.list(PODS, load.namespace)
            if pod["metadata"]["labels"].get("app") == load.name and pod["status"].get("phase") == "Running"
        ]
        for pod in pods:
            where = f'namespace="{load.namespace}",pod="{pod}"'
            owner = f'{where},workload="{load.name}",workload_type="deployment"'
            yield f"namespace_workload_pod:kube_pod_owner:relabel{{{owner}}} 1\n"
            used = f'{{{CADVISOR},container="{load.name}",{where}}}'
            cpu = f"container_cpu_usage_seconds_total{used}"
            yield self._counted(cpu, load.cores / len(pods) * seconds)
            yield f"container_memory_working_set_bytes{used} {load.memory / len(pods)}\n"
            own = f'job="kube-state-metrics",container="{load.name}",uid="u-{pod}",{where}'
            for resource, limit in (("cpu", CORES), ("memory", BYTES)):
                yield f'kube_pod_container_resource_limits{{resource="{resource}",{own}}} {limit}\n'
        yield from self._requests(load, REQUESTS_PER_S * seconds)

    def _requests(self, load: Load, count: float) -> Iterator[str]:
        mesh = f'destination_workload_namespace="{load.namespace}",destination_workload="{load.name}"'
        mesh = f'reporter="destination",{mesh}'
        for code, share in (("200", 1 - load.failing), ("503", load.failing)):
            yield self._counted(f'istio_requests_total{{{mesh},response_code="{code}"}}', share * count)
        for bucket in (*BUCKETS_MS, "+Inf"):
            share = load.within(bucket) if isinstance(bucket, int) else 1.0
            name = f'istio_request_duration_milliseconds_bucket{{{mesh},le="{bucket}"}}'
            yield self._counted(name, share * count)

    def _counted(self, series: str, more: float) -> str:
        self._counters[series] = self._counters.get(series, 0.0) + more
        return f"{series} {self._counters[series]}\n"

    async def _database(self) -> AsyncIterator[str]:
        for row in await self.sql.fetch(SESSIONS):
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in row.items() if key != "count")
            yield f"pg_stat_activity_count{{{PG},{labels}}} {row['count']}\n"
        for name, value in await self.sql.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", SETTINGS):
            yield f"pg_settings_{name}{{{PG}}} {value}\n"
        for name, limit in await self.sql.fetch("SELECT rolname, rolconnlimit FROM pg_roles"):
            yield f'pg_roles_connection_limit{{{PG},rolname="{_escaped(name)}"}} {limit}\n'
        for name, limit in await self.sql.fetch("SELECT datname, datconnlimit FROM pg_database"):
            yield f'pg_database_connection_limit{{{PG},datname="{_escaped(name)}"}} {limit}\n'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
