"""How many workloads there are where rules may act: what a share of a namespace, or of the cluster, is a share of.

Counted beside everything else and remembered, so that no decision waits for it. A namespace that could not be counted
is unknown; it adds nothing to the cluster's number, which makes shares smaller, never larger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.names import PLURALS, apps_path
from remediator.adapters.kubernetes.shapes import Counted
from remediator.model.errors import ClusterError
from remediator.model.facts import Population
from remediator.ports.clock import Clock

EVERY_S = 60.0
OLDEST_S = 900.0
"""A count that could not be repeated for so long is not believed any more, in seconds."""
_ONE = {"limit": "1"}


@dataclass(slots=True)
class Census:
    """Counts the Deployments, StatefulSets and DaemonSets of ``namespaces()``, one small request for each kind."""

    client: KubeClient
    clock: Clock
    namespaces: Callable[[], Iterable[str]]
    tell: Callable[[str, str], None]
    _counts: dict[str, tuple[float, int]] = field(default_factory=dict)
    _refused: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Count again and again, for ever."""
        while True:
            await self.count()
            await self.clock.sleep(EVERY_S)

    async def count(self) -> None:
        """Count once; a namespace that cannot be counted keeps its last number for a while, and is told once.

        Nothing of it is known before all of it is: a part of the cluster would be taken for a small one.
        """
        wanted = frozenset(self.namespaces())
        refused = set()
        counts: dict[str, tuple[float, int]] = {}
        for namespace in sorted(wanted):
            try:
                counts[namespace] = (self.clock.monotonic(), await self._count(namespace))
            except ClusterError as error:
                refused.add(namespace)
                if namespace not in self._refused:
                    self.tell("uncounted", f"the workloads of namespace {namespace} cannot be counted: {error}")
        self._refused = frozenset(refused)
        kept = {namespace: known for namespace, known in self._counts.items() if namespace in wanted}
        self._counts = kept | counts

    def population(self, namespace: str) -> Population:
        """Return what is known now about a namespace, and about all of them together."""
        oldest = self.clock.monotonic() - OLDEST_S
        known = {name: number for name, (at, number) in self._counts.items() if at >= oldest}
        return Population(namespace=known.get(namespace), cluster=sum(known.values()) if known else None)

    async def _count(self, namespace: str) -> int:
        async with asyncio.TaskGroup() as group:
            paths = [apps_path(namespace, plural) for plural in PLURALS.values()]
            tasks = [group.create_task(_attempt(self.client, path)) for path in paths]
        numbers = [task.result() for task in tasks]
        for number in numbers:
            if isinstance(number, ClusterError):
                raise number
        return sum(number for number in numbers if isinstance(number, int))


async def _attempt(client: KubeClient, path: str) -> int | ClusterError:
    """Return how many objects a collection has, or why nobody knows: an error must not end the other requests."""
    try:
        found = await client.read(path, Counted, _ONE)
    except ClusterError as error:
        return error
    return len(found.items or ()) + found.metadata.remaining_item_count
