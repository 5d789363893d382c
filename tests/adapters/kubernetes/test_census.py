"""The census: how many workloads there are where rules may act, and what is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.census import OLDEST_S, Census
from remediator.adapters.kubernetes.client import KubeClient
from remediator.model.facts import Population
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import DEPLOYMENTS
from remediator.sandbox.server import SandboxServer
from tests.fakes.clock import StillClock
from tests.flow.rig import deployment


class Told(list[str]):
    """Keeps what was told."""

    def tell(self, outcome: str, detail: str) -> None:
        """Keep it."""
        self.append(f"{outcome}: {detail}")


@asynccontextmanager
async def census(folder: Path, namespaces: set[str]) -> AsyncIterator[tuple[Census, SandboxServer, StillClock, Told]]:
    """Count in a sandbox cluster that has two namespaces of five and one Deployments."""
    sandbox, clock, told = SandboxServer(), StillClock(), Told()
    url = await sandbox.start()
    token = folder / "token"
    token.write_text(sandbox.admin_token)
    token.chmod(0o600)
    client = await KubeClient.connect(ClusterAccess(url=url, token_file=token))
    try:
        for namespace, count in (("backstage", 5), ("dev-portal", 1)):
            sandbox.add_namespace(namespace)
            for number in range(count):
                one = deployment(f"app-{number}")
                one.pop("status")
                one["metadata"]["namespace"] = namespace
                sandbox.store.create(DEPLOYMENTS, one)
        yield Census(client, clock, lambda: namespaces, told.tell), sandbox, clock, told
    finally:
        await client.close()
        await sandbox.stop()


async def test_workloads_are_counted_where_rules_may_act(tmp_path: Path) -> None:
    """All kinds, by one small request each; the cluster is the sum of the namespaces that rules name."""
    async with census(tmp_path, {"backstage", "dev-portal"}) as (count, sandbox, _, told):
        assert count.population("backstage") == Population()
        await count.count()
        assert count.population("backstage") == Population(namespace=5, cluster=6)
        assert count.population("elsewhere") == Population(namespace=None, cluster=6)
        assert told == []
        asked = [one for one in sandbox.requests if one.query.get("limit") == "1"]
        assert len(asked) == 6


async def test_half_a_count_is_no_count(tmp_path: Path) -> None:
    """While the last namespace is still being counted, a sum without it would make three alerts look like a storm."""
    async with census(tmp_path, {"backstage", "dev-portal"}) as (count, sandbox, _, _):
        meanwhile = []

        async def look(call: Call, proceed: Proceed) -> web.StreamResponse:
            if "/dev-portal/" in call.path:
                meanwhile.append(count.population("backstage"))
            return await proceed()

        sandbox.middlewares.append(look)
        await count.count()
        assert meanwhile == [Population()] * 3
        assert count.population("backstage") == Population(namespace=5, cluster=6)


async def test_what_cannot_be_counted_is_unknown_and_told_once(tmp_path: Path) -> None:
    """A namespace without rights adds nothing; the old number is believed for a quarter of an hour."""
    namespaces = {"backstage"}
    async with census(tmp_path, namespaces) as (count, sandbox, clock, told):
        await count.count()
        await sandbox.stop()
        await count.count()
        await count.count()
        assert count.population("backstage") == Population(namespace=5, cluster=5)
        assert [line.split(":")[0] for line in told] == ["uncounted"]
        clock.ahead += OLDEST_S + 1
        assert count.population("backstage") == Population()


async def test_a_namespace_that_no_rule_names_any_more_is_forgotten(tmp_path: Path) -> None:
    """Shares are of what rules may act on now."""
    namespaces = {"backstage", "dev-portal"}
    async with census(tmp_path, namespaces) as (count, _, _, _):
        await count.count()
        namespaces.discard("backstage")
        await count.count()
        assert count.population("dev-portal") == Population(namespace=1, cluster=1)


async def test_an_empty_namespace_has_none(tmp_path: Path) -> None:
    """Zero is known, and is not the same as unknown."""
    async with census(tmp_path, {"absent"}) as (count, _, _, _):
        await count.count()
        assert count.population("absent") == Population(namespace=0, cluster=0)
