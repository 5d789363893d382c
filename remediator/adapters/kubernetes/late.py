"""The cluster, connected beside the start: importing the client costs 0.4 s, and the first alert must not wait for it.

Who asks while the first attempt to connect is under way waits for its end, so an alert that comes right after the start
is not held for what is about to be there. From then on, as long as no connection stands, every read fails with a
retryable ClusterError and every write is refused as unreachable, so candidates wait and nothing is guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from remediator.adapters.kubernetes.census import Census
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.evidence import KubernetesEvidence
from remediator.adapters.kubernetes.fence_probe import FenceProbe
from remediator.adapters.kubernetes.looking import KubernetesLooker
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.secrets import secret_value
from remediator.adapters.kubernetes.writer import KubernetesWriter
from remediator.model.errors import ClusterError, ConfigError
from remediator.model.look import Unseen
from remediator.ports.cluster import WriteRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.adapters.kubernetes.access import ClusterAccess
    from remediator.adapters.kubernetes.client import ClientLimits
    from remediator.model.facts import Facts
    from remediator.model.look import Objects, PodLog, Seen
    from remediator.model.owners import Lever
    from remediator.model.plan import CaptureEvidence, PatchObject
    from remediator.model.rule import TargetSpec
    from remediator.model.target import Target
    from remediator.ports.clock import Clock
    from remediator.ports.cluster import EvidenceBundle, LiveObject, Resolution, WriteMark, WriteResult
    from remediator.ports.fences import FenceReport

RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
FIRST_S = 10.0


@dataclass(frozen=True, slots=True)
class Connected:
    """The three ports over one client, and what counts the workloads."""

    client: KubeClient
    census: Census
    reader: KubernetesReader
    evidence: KubernetesEvidence
    writer: KubernetesWriter


@dataclass(slots=True, kw_only=True)
class LateCluster:
    """Implements ClusterReader, EvidenceReader, ClusterWriter and FenceCheck. ``access`` None: no cluster is there."""

    access: ClusterAccess | None
    limits: ClientLimits | None
    clock: Clock
    tell: Callable[[str, str], None]
    namespaces: Callable[[], Iterable[str]] = frozenset
    why_not: str = "the connection to the cluster is being made"
    _connected: Connected | None = field(default=None)
    _tried: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Tell whether the connection stands."""
        return self._connected is not None

    async def run(self) -> None:
        """Connect, try again where that fails, and hold the connection until cancelled."""
        if self.access is None:
            self.why_not = "no cluster is configured: set KUBECONFIG or --kubeconfig"
            self.tell("failed", self.why_not)
            self._tried.set()
            await asyncio.Event().wait()
            return
        wait = RETRY_S
        while self._connected is None:
            try:
                self._connected = await self._connect(self.access)
            except (ClusterError, ConfigError, OSError) as error:
                self.why_not = f"the cluster cannot be used: {error}"
                self.tell("failed", self.why_not)
                self._tried.set()
                await self.clock.sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY_S)
        self._tried.set()
        self.tell("connected", "")
        try:
            await self._connected.census.run()
        finally:
            await self._connected.client.close()

    async def _connect(self, access: ClusterAccess) -> Connected:
        # The import executes over a thousand modules: in a thread, so that alerts are taken meanwhile.
        await asyncio.to_thread(_import)
        client = await KubeClient.connect(access, self.limits)
        census = Census(client, self.clock, self.namespaces, self.tell)
        return Connected(
            client=client,
            census=census,
            reader=KubernetesReader(client, self.clock, census.population),
            evidence=KubernetesEvidence(client),
            writer=KubernetesWriter(client),
        )

    async def _ports(self) -> Connected:
        """Return the ports; at first, wait for the connection that is being made, ``FIRST_S`` seconds at most."""
        try:
            async with asyncio.timeout(FIRST_S):
                await self._tried.wait()
        except TimeoutError as error:
            raise ClusterError("unreachable", self.why_not, retryable=True) from error
        if self._connected is None:
            raise ClusterError("unreachable", self.why_not, retryable=True)
        return self._connected

    async def resolve(self, labels: dict[str, str], spec: TargetSpec) -> Resolution:
        """See ClusterReader."""
        return await (await self._ports()).reader.resolve(labels, spec)

    async def resolve_and_read(
        self, labels: dict[str, str], spec: TargetSpec, *, around: bool = False
    ) -> tuple[Resolution, Facts]:
        """See ClusterReader."""
        return await (await self._ports()).reader.resolve_and_read(labels, spec, around=around)

    async def facts(self, target: Target) -> Facts:
        """See ClusterReader."""
        return await (await self._ports()).reader.facts(target)

    async def live(self, target: Target, *, within_s: float = 0.0, through: Lever | None = None) -> LiveObject:
        """See ClusterReader."""
        return await (await self._ports()).reader.live(target, within_s=within_s, through=through)

    async def proof(self, target: Target, action_id: str, *, through: Lever | None = None) -> bool | None:
        """See ClusterReader."""
        if self._connected is None:
            return None
        return await self._connected.reader.proof(target, action_id, through=through)

    async def probe_fences(self, specs: Sequence[TargetSpec], allowed: Callable[[Target], bool]) -> FenceReport:
        """See ports.fences.FenceCheck."""
        ports = await self._ports()
        return await FenceProbe(ports.client, ports.reader, ports.writer).run(specs, allowed)

    async def secret(self, namespace: str, name: str, key: str) -> str:
        """Read one value of a Secret: the password of a database, where its entry names it so."""
        return await secret_value((await self._ports()).client, namespace, name, key)

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """See EvidenceReader."""
        return await (await self._ports()).evidence.capture(step)

    async def look(self, look: Objects | PodLog) -> Seen | Unseen:
        """See ports.looking.Looker, as far as it is about the cluster."""
        try:
            client = (await self._ports()).client
        except ClusterError as error:
            return Unseen(reason=error.reason, message=error.message)
        return await KubernetesLooker(client).look(look)

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """See ClusterWriter."""
        if self._connected is None:
            return WriteRefused(reason="unreachable", message=self.why_not)
        return await self._connected.writer.patch(step, mark, dry_run=dry_run)


def _import() -> None:
    import kubernetes_asyncio.client
    import kubernetes_asyncio.config  # noqa: F401 - only so that it has been imported
