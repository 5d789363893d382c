"""A sandbox server on loopback, furnished with a namespace, an account and two Deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import client

from remediator.sandbox.clock import RandomIds
from remediator.sandbox.resources import DEPLOYMENTS, PODS
from remediator.sandbox.server import SandboxServer
from tests.sandbox import replay


@pytest.fixture
async def cluster() -> AsyncIterator[SandboxServer]:
    """A running server with two Deployments and one pod; no controllers."""
    server = SandboxServer(ids=RandomIds(7))
    replay.furnish(server)
    server.store.seed(DEPLOYMENTS, replay.load("18-delete.json")[0]["response"]["body"]["items"])
    server.store.seed(PODS, [replay.pod("web-1", "web")])
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def api(cluster: SandboxServer) -> AsyncIterator[client.ApiClient]:
    """A kubernetes-asyncio client of that server, as admin."""
    configuration = client.Configuration(host=cluster.url)
    configuration.api_key = {"BearerToken": f"Bearer {cluster.admin_token}"}
    async with client.ApiClient(configuration) as opened:
        yield opened
