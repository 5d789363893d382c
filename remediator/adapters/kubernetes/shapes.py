"""The parts of API objects that remediator looks at; everything else in an answer is skipped while it is decoded.

What Kubernetes leaves out or sends as null (counts of zero, empty lists) has a default here, so absence is never an
error; a value of the wrong type is one.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw, Struct, field


class _Shape(Struct, frozen=True, kw_only=True, rename="camel"):
    """Camel-case names on the wire, frozen here."""


class Owner(_Shape, frozen=True, kw_only=True):
    """One entry of ownerReferences."""

    kind: str
    name: str
    uid: str
    api_version: str = ""
    controller: bool | None = None


class Meta(_Shape, frozen=True, kw_only=True):
    """metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[Owner, ...] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None

    @property
    def controller(self) -> Owner | None:
        """Return the owner that controls this object, if any."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class Requirement(_Shape, frozen=True, kw_only=True):
    """One of matchExpressions."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class Selector(_Shape, frozen=True, kw_only=True):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Requirement, ...] | None = None


class Variable(_Shape, frozen=True, kw_only=True):
    """An environment variable; without a value where it comes from somewhere else."""

    name: str = ""
    value: str = ""


class Resources(_Shape, frozen=True, kw_only=True):
    """resources of a container."""

    limits: dict[str, str | int | float] | None = None


class Container(_Shape, frozen=True, kw_only=True):
    """A container of a pod template."""

    name: str = ""
    image: str = ""
    env: tuple[Variable, ...] | None = None
    resources: Resources = Resources()


class TemplateSpec(_Shape, frozen=True, kw_only=True):
    """The spec in a pod template."""

    containers: tuple[Container, ...] | None = None


class Template(_Shape, frozen=True, kw_only=True):
    """A pod template."""

    metadata: Meta = Meta()
    spec: TemplateSpec = TemplateSpec()


class RollingUpdate(_Shape, frozen=True, kw_only=True):
    """How a StatefulSet rolls; percentages of other kinds are not looked at."""

    partition: int | None = None


class Strategy(_Shape, frozen=True, kw_only=True):
    """strategy of a Deployment, updateStrategy of the others."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(_Shape, frozen=True, kw_only=True):
    """spec of the three kinds of workload."""

    replicas: int | None = None
    paused: bool = False
    selector: Selector | None = None
    strategy: Strategy | None = None
    update_strategy: Strategy | None = None
    template: Template = Template()


class Condition(_Shape, frozen=True, kw_only=True):
    """A condition of a workload or a pod."""

    type: str
    status: str
    reason: str = ""
    last_update_time: datetime | None = None


class WorkloadStatus(_Shape, frozen=True, kw_only=True):
    """status of the three kinds of workload; a count that is left out is zero."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    update_revision: str = ""
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0
    conditions: tuple[Condition, ...] | None = None


class Workload(_Shape, frozen=True, kw_only=True):
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet."""

    metadata: Meta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class Waiting(_Shape, frozen=True, kw_only=True):
    """state.waiting."""

    reason: str = ""


class Terminated(_Shape, frozen=True, kw_only=True):
    """state.terminated."""

    reason: str = ""
    exit_code: int = 0


class ContainerState(_Shape, frozen=True, kw_only=True):
    """state or lastState."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Shape, frozen=True, kw_only=True):
    """One of containerStatuses."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodSpec(_Shape, frozen=True, kw_only=True):
    """spec of a pod."""

    node_name: str = ""


class PodStatus(_Shape, frozen=True, kw_only=True):
    """status of a pod."""

    phase: str = ""
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(_Shape, frozen=True, kw_only=True):
    """A pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Revision(_Shape, frozen=True, kw_only=True):
    """A ControllerRevision: what a StatefulSet or DaemonSet once was. ``data`` holds ``spec.template``."""

    metadata: Meta
    revision: int = 0
    data: RevisionData | None = None


class RevisionSpec(_Shape, frozen=True, kw_only=True):
    """spec in the data of a ControllerRevision."""

    template: Template = Template()


class RevisionData(_Shape, frozen=True, kw_only=True):
    """The data of a ControllerRevision."""

    spec: RevisionSpec = RevisionSpec()


class ServiceSpec(_Shape, frozen=True, kw_only=True):
    """spec of a Service."""

    selector: dict[str, str] | None = None


class Service(_Shape, frozen=True, kw_only=True):
    """A Service."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class ListMeta(_Shape, frozen=True, kw_only=True):
    """metadata of a list; ``continue_`` is set where more is to be had."""

    continue_: str = field(default="", name="continue")


class CountedMeta(_Shape, frozen=True, kw_only=True):
    """metadata of a list that was asked for with a limit; how many more there are is left out where there are none."""

    remaining_item_count: int = 0


class Counted(_Shape, frozen=True, kw_only=True):
    """A list of which only the number matters."""

    metadata: CountedMeta = CountedMeta()
    items: tuple[Raw, ...] | None = None


class PodList(_Shape, frozen=True, kw_only=True):
    """A list of pods."""

    metadata: ListMeta = ListMeta()
    items: tuple[Pod, ...] | None = None


class WorkloadList(_Shape, frozen=True, kw_only=True):
    """A list of ReplicaSets."""

    metadata: ListMeta = ListMeta()
    items: tuple[Workload, ...] | None = None


class RevisionList(_Shape, frozen=True, kw_only=True):
    """A list of ControllerRevisions."""

    metadata: ListMeta = ListMeta()
    items: tuple[Revision, ...] | None = None
