"""The world, once: the frozen snapshot that one decision is made on."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from remediator.model.database import DatabaseView
from remediator.model.owners import Budget, Surroundings
from remediator.model.target import Target
from remediator.model.undo import Undoing


class PodFacts(Struct, frozen=True, kw_only=True):
    """One pod of the target. ``waiting`` is the reason of a waiting container (``CrashLoopBackOff``), if any."""

    name: str
    phase: str
    ready: bool
    restarts: int = 0
    waiting: str = ""
    last_exit: str = ""
    node: str = ""
    created_at: datetime | None = None


class ContainerFacts(Struct, frozen=True, kw_only=True):
    """A container of the pod template: its memory limit in bytes (None: it has none), and its MAX_CONNECTIONS.

    ``max_connections`` is "" where the variable is not set, or is set from somewhere else.
    """

    name: str
    memory: int | None = None
    max_connections: str = ""


class WorkloadFacts(Struct, frozen=True, kw_only=True):
    """A Deployment, StatefulSet or DaemonSet as the API server shows it; counts default to 0 where it leaves them out.

    ``annotations`` and ``template_annotations`` hold only those of ``remediator.io/`` and
    ``kubectl.kubernetes.io/restartedAt``. ``progress`` is the reason of the Progressing condition.
    ``rollout_started_at`` is when the newest ReplicaSet (or ControllerRevision) was made. ``operator``: what runs the
    database in it, and decides about its settings.
    """

    target: Target
    resource_version: str
    generation: int
    observed_generation: int
    replicas: int
    updated: int
    ready: int
    available: int
    current: int
    paused: bool = False
    strategy: str = "RollingUpdate"
    progress: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    template_annotations: dict[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    revision: str = ""
    rollout_started_at: datetime | None = None
    created_at: datetime | None = None
    deleting: bool = False
    containers: tuple[ContainerFacts, ...] = ()
    operator: str = ""

    @property
    def rolled_out(self) -> bool:
        """Tell whether the rollout is complete: seen, all pods updated and available, and no old ones left."""
        return (
            self.observed_generation >= self.generation
            and self.updated >= self.replicas
            and self.available >= self.replicas
            and self.current <= self.replicas
        )

    @property
    def rolling(self) -> bool:
        """Tell whether a change of the pod template is still being carried out; unavailable pods alone do not count."""
        if self.observed_generation < self.generation:
            return True
        return self.updated < self.replicas or self.current > self.replicas

    @property
    def stuck(self) -> bool:
        """Tell whether the controller has given up on the rollout."""
        return self.progress == "ProgressDeadlineExceeded"


class Population(Struct, frozen=True, kw_only=True):
    """How many workloads there are, in the target's namespace and in the cluster; None where it could not be read."""

    namespace: int | None = None
    cluster: int | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """One snapshot for one decision, read at ``read_at``.

    ``workload`` is None where the target could not be read; then ``problem`` is the closed reason (``target_missing``,
    ``target_ambiguous``, ``target_not_found``, ``target_not_allowed``, ``cluster_unreachable``) and ``detail`` says
    more. Unknown is never healthy: None must not be read as zero. ``undo`` is read where an action is to be undone,
    ``around`` where an action must know who else decides about the workload. ``budgets`` are read with the pods.
    ``database``: what a look at the database that runs in it found.
    """

    read_at: datetime
    workload: WorkloadFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    population: Population = Population()
    problem: str = ""
    detail: str = ""
    retryable: bool = False
    undo: Undoing | None = None
    around: Surroundings | None = None
    budgets: tuple[Budget, ...] = ()
    database: DatabaseView | None = None
