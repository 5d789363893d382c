"""The clusters that the contract is held against."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.controllers.behaviour import Pace
from tests.contract.cluster_kit import Kit, open_kit

KUBECONFIG = "REMEDIATOR_TEST_KUBECONFIG"


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.cluster)])
async def kit(request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    """A cluster with a namespace of the test's own; the real one only where REMEDIATOR_TEST_KUBECONFIG names it."""
    namespace = f"contract-{UUID(bytes=os.urandom(16)).hex[:10]}"
    if request.param == "sandbox":
        seed = [*scenario.nodes(2), scenario.namespace("default")]
        async with (
            SandboxCluster.running(seed=seed, pace=Pace(speed=5)) as cluster,
            open_kit(ClusterAccess(kubeconfig=str(cluster.kubeconfig_path)), namespace) as opened,
        ):
            yield opened
        return
    kubeconfig = os.environ.get(KUBECONFIG, "")
    if not kubeconfig:
        pytest.skip(f"{KUBECONFIG} names no cluster")
    async with open_kit(ClusterAccess(kubeconfig=kubeconfig), namespace) as opened:
        yield opened
