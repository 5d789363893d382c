"""The sandbox cluster with a Deployment for each alert, which truly rolls over; what it stores is stamped as it comes.

``dump`` answers as the stub does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.bodies import NAMESPACES, workload
from bench.lines import answer_lines
from remediator.sandbox import scenario
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import Json

SETTLE_S = 55.0
NODES = 10


class Stamps:
    """Stands before the API and notes when a write came that was stored: no dry run, and none that was refused."""

    def __init__(self) -> None:
        """Begin with none."""
        self.writes: list[tuple[str, int]] = []

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Note and go on."""
        came = time.monotonic_ns()
        answer = await proceed()
        if call.method == "PATCH" and answer.status == web.HTTPOk.status_code and "dryRun" not in call.query:
            self.writes.append((call.path, came))
        return answer

    async def dump(self) -> Any:
        """Return the writes."""
        return self.writes


def seed(count: int, replicas: int = 1) -> list[Json]:
    """Return nodes, namespaces and the Deployments of the first ``count`` alerts, each of ``replicas`` pods."""
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]
    return [
        *scenario.nodes(NODES),
        *spaces,
        *(scenario.deployment(*workload(number), replicas=replicas) for number in range(count)),
    ]


async def main(kubeconfig: Path, count: int, replicas: int = 1) -> None:
    """Be the program: ready when all pods run."""
    stamps = Stamps()
    async with SandboxCluster.running(seed=seed(count, replicas)) as cluster:
        await cluster.settle(deadline=SETTLE_S)
        cluster.server.middlewares.append(stamps)
        cluster.server.write_kubeconfig(kubeconfig)
        url = cluster.kubeconfig()["clusters"][0]["cluster"]["server"]
        await answer_lines({"url": url}, {"dump": stamps.dump})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:])))
