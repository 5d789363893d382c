"""All controllers of a sandbox cluster around one store: the moving half, without the HTTP half."""

from __future__ import annotations

from collections.abc import Callable

from remediator.sandbox.controllers.agenda import Agenda
from remediator.sandbox.controllers.ailments import Ailments
from remediator.sandbox.controllers.applications import ApplicationController
from remediator.sandbox.controllers.autoscalers import HorizontalController
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.budgets import DisruptionController
from remediator.sandbox.controllers.daemon_sets import DaemonSetController
from remediator.sandbox.controllers.deployments import DeploymentController
from remediator.sandbox.controllers.endpoints import EndpointsController
from remediator.sandbox.controllers.garbage import GarbageCollector
from remediator.sandbox.controllers.indexes import PodIndex
from remediator.sandbox.controllers.kubelet import Kubelet
from remediator.sandbox.controllers.namespaces import NamespaceController
from remediator.sandbox.controllers.nodes import NodeController
from remediator.sandbox.controllers.quotas import QuotaController
from remediator.sandbox.controllers.recorder import Recorder
from remediator.sandbox.controllers.replica_sets import ReplicaSetController
from remediator.sandbox.controllers.scaled_objects import ScaledObjectController
from remediator.sandbox.controllers.scheduler import Scheduler
from remediator.sandbox.controllers.stateful_sets import StatefulSetController
from remediator.sandbox.controllers.world import Controller, Dispatcher, World
from remediator.sandbox.logbook import LogBook
from remediator.sandbox.store import Store


class Simulation:
    """Makes the objects of a store move.

    With a VirtualClock, and no task, drive it by `advance`; with any clock, `run` it in a task.
    """

    def __init__(self, store: Store, *, logs: LogBook | None = None, pace: Pace | None = None) -> None:
        """Begin to follow `store`; nothing moves before `advance` or `run`."""
        pace = pace or Pace()
        self.store = store
        self.logs = logs or LogBook()
        self.agenda = Agenda(store.clock, pace.speed)
        self.world = World(
            store=store,
            agenda=self.agenda,
            pods=PodIndex(store),
            events=Recorder(store),
            logs=self.logs,
            pace=pace,
        )
        self._dispatcher = Dispatcher(self.world, _controllers(self.world))

    def advance(self, seconds: float, *, until: Callable[[], bool] | None = None) -> bool:
        """Let that much time of a VirtualClock pass; True when `until` came to hold (or there was none)."""
        return self.agenda.advance(seconds, until=until)

    async def run(self) -> None:
        """Follow the clock for ever."""
        await self.agenda.run()

    def close(self) -> None:
        """Stop following the store."""
        self._dispatcher.close()


def _controllers(world: World) -> list[Controller]:
    ailments = Ailments(world)
    return [
        NodeController(world),
        QuotaController(world),
        Scheduler(world, ailments),
        Kubelet(world, ailments),
        ReplicaSetController(world),
        DeploymentController(world),
        StatefulSetController(world),
        DaemonSetController(world),
        EndpointsController(world),
        DisruptionController(world),
        HorizontalController(world),
        ScaledObjectController(world),
        ApplicationController(world),
        GarbageCollector(world),
        NamespaceController(world),
    ]
