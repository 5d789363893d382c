"""A whole sandbox cluster in one: the API server, everything that moves, and the objects it begins with."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from remediator.sandbox import scenario
from remediator.sandbox.clock import Clock, Ids, VirtualClock
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.simulation import Simulation
from remediator.sandbox.logbook import LogBook
from remediator.sandbox.requestlog import RequestLog
from remediator.sandbox.resources import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, GroupResource, Json
from remediator.sandbox.server import SandboxServer
from remediator.sandbox.store import Store

DEFAULT_DEADLINE_SECONDS = 30.0
_VIRTUAL_STEP_SECONDS = 0.05
_KINDS: dict[str, GroupResource] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}


class UnsettledError(AssertionError):
    """The cluster did not come to what was waited for; the message says after how long."""


class SandboxCluster:
    """A Kubernetes API on loopback whose workloads move.

    `store` is its state, `requests` what was asked of its API, `server` has users, tokens and middlewares. Use it by
    `running`; `advance` and a hand-driven clock belong to a `Simulation` alone.
    """

    def __init__(
        self,
        *,
        seed: Iterable[Json] = (),
        pace: Pace | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        """Begin with the manifests of `seed` (see `remediator.sandbox.scenario`), at rest."""
        self.logs = LogBook()
        self.store = Store(clock=clock, ids=ids)
        self.server = SandboxServer(store=self.store, log_source=self.logs)
        self.simulation = Simulation(self.store, logs=self.logs, pace=pace)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.put(seed)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        seed: Iterable[Json] = (),
        pace: Pace | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        port: int = 0,
    ) -> AsyncIterator[SandboxCluster]:
        """Serve and move a cluster for the length of the context; OSError when the port is in use.

        What the body raises comes out as it is; a fault of the cluster itself comes out as an ExceptionGroup.
        """
        cluster = cls(seed=seed, pace=pace, clock=clock, ids=ids)
        failure: Exception | None = None
        await cluster.server.start(port=port)
        try:
            async with asyncio.TaskGroup() as group:
                mover = group.create_task(cluster.simulation.run(), name="sandbox simulation")
                try:
                    yield cluster
                except Exception as error:  # noqa: BLE001 - raised again below, outside of the group that would wrap it
                    failure = error
                finally:
                    mover.cancel()
        finally:
            cluster.simulation.close()
            await cluster.server.stop()
            cluster.clean_up()
        if failure is not None:
            raise failure

    @property
    def url(self) -> str:
        """Return where the API is served."""
        return self.server.url

    @property
    def requests(self) -> RequestLog:
        """Return the log of what was asked of the API."""
        return self.server.requests

    @property
    def clock(self) -> Clock:
        """Return the clock of the cluster."""
        return self.store.clock

    @property
    def token(self) -> str:
        """Return the bearer token of the administrator."""
        return self.server.admin_token

    @property
    def kubeconfig_path(self) -> Path:
        """Return a kubeconfig file of the administrator; it goes with the cluster."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sandbox-")
        path = Path(self._folder.name) / "kubeconfig"
        if not path.exists():
            self.server.write_kubeconfig(path)
        return path

    def kubeconfig(self) -> Json:
        """Return the kubeconfig of the administrator."""
        return self.server.kubeconfig()

    def put(self, manifests: Iterable[Json]) -> list[Json]:
        """Add objects as the API server would; a namespace that is there already stays as it is."""
        fresh = []
        for manifest in manifests:
            if manifest["kind"] == "Namespace":
                self.server.add_namespace(manifest["metadata"]["name"])
            else:
                fresh.append(manifest)
        return scenario.put(self.store, fresh)

    def workload(self, kind: str, namespace: str, name: str) -> Json:
        """Return a Deployment, StatefulSet or DaemonSet as it is; KeyError, NotFoundError."""
        return self.store.get(_KINDS[kind], namespace, name)

    def annotate(self, kind: str, namespace: str, name: str, annotations: dict[str, str | None]) -> Json:
        """Set annotations of a workload (None takes one away): how a test makes a running workload ill or well."""

        def change(obj: Json) -> Json:
            merged = {**(obj["metadata"].get("annotations") or {}), **annotations}
            kept = {key: value for key, value in merged.items() if value is not None}
            return {**obj, "metadata": {**obj["metadata"], "annotations": kept}}

        return self.store.mutate(_KINDS[kind], namespace, name, change)

    def is_rolled_out(self, kind: str, namespace: str, name: str) -> bool:
        """Tell whether a workload runs as its spec says: all pods updated and available, none too many."""
        return is_rolled_out(self.workload(kind, namespace, name))

    def all_rolled_out(self) -> bool:
        """Tell whether every workload runs as its spec says."""
        return all(is_rolled_out(item) for resource in _KINDS.values() for item in self.store.list(resource))

    async def settle(
        self, predicate: Callable[[], bool] | None = None, deadline: float = DEFAULT_DEADLINE_SECONDS
    ) -> None:
        """Wait until `predicate` holds (default: all workloads are rolled out); UnsettledError after `deadline` s.

        A VirtualClock is moved on meanwhile; with a real one the seconds are real.
        """
        wanted = predicate or self.all_rolled_out
        clock = self.clock
        if isinstance(clock, VirtualClock):
            end = clock.monotonic() + deadline
            await clock.settle()
            while not wanted() and clock.monotonic() < end:
                await clock.advance(_VIRTUAL_STEP_SECONDS)
        else:
            await self._follow(wanted, deadline)
        if not wanted():
            raise UnsettledError(f"not so after {deadline:g} s: {getattr(wanted, '__qualname__', wanted)}")

    def clean_up(self) -> None:
        """Take the kubeconfig file away."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    async def _follow(self, wanted: Callable[[], bool], deadline: float) -> None:
        changed = asyncio.Event()
        stop = self.store.listen(lambda _: changed.set())
        try:
            async with asyncio.timeout(deadline):
                while not wanted():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return
        finally:
            stop()


def is_rolled_out(workload: Json) -> bool:
    """Tell whether a Deployment, StatefulSet or DaemonSet runs as its spec says."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    if workload["kind"] == "DaemonSet":
        keys = ("updatedNumberScheduled", "numberAvailable", "currentNumberScheduled")
        return all(status.get(key, 0) == status.get("desiredNumberScheduled", 0) for key in keys)
    wanted = workload["spec"]["replicas"]
    return all(status.get(key, 0) == wanted for key in ("replicas", "updatedReplicas", "availableReplicas"))
