"""The parts of what owns workloads that remediator looks at: autoscalers, KEDA, Argo CD, quotas, limit ranges."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from remediator.adapters.kubernetes.shapes import Meta, Selector


class _Shape(Struct, frozen=True, kw_only=True, rename="camel"):
    """Camel-case names on the wire, frozen here."""


class Reference(_Shape, frozen=True, kw_only=True):
    """scaleTargetRef; KEDA leaves out kind and group of a Deployment."""

    name: str = ""
    kind: str = "Deployment"
    api_version: str = "apps/v1"


class AutoscalerSpec(_Shape, frozen=True, kw_only=True):
    """spec of a HorizontalPodAutoscaler."""

    scale_target_ref: Reference = Reference()
    min_replicas: int | None = None
    max_replicas: int


class Autoscaler(_Shape, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler."""

    metadata: Meta
    spec: AutoscalerSpec


class ScaledObjectSpec(_Shape, frozen=True, kw_only=True):
    """spec of KEDA's ScaledObject."""

    scale_target_ref: Reference = Reference()
    min_replica_count: int | None = None
    max_replica_count: int | None = None


class ScaledObject(_Shape, frozen=True, kw_only=True):
    """KEDA's ScaledObject."""

    metadata: Meta
    spec: ScaledObjectSpec = ScaledObjectSpec()


class Automated(_Shape, frozen=True, kw_only=True):
    """syncPolicy.automated of an Application."""

    enabled: bool | None = None
    self_heal: bool | None = None


class SyncPolicy(_Shape, frozen=True, kw_only=True):
    """syncPolicy of an Application."""

    automated: Automated | None = None


class IgnoreDifference(_Shape, frozen=True, kw_only=True):
    """One of ignoreDifferences of an Application."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    json_pointers: tuple[str, ...] | None = None
    jq_path_expressions: tuple[str, ...] | None = None


class Destination(_Shape, frozen=True, kw_only=True):
    """destination of an Application."""

    namespace: str = ""


class ApplicationSpec(_Shape, frozen=True, kw_only=True):
    """spec of an Application."""

    destination: Destination = Destination()
    sync_policy: SyncPolicy | None = None
    ignore_differences: tuple[IgnoreDifference, ...] | None = None


class Application(_Shape, frozen=True, kw_only=True):
    """An Application of Argo CD."""

    metadata: Meta
    spec: ApplicationSpec = ApplicationSpec()


class QuotaSpec(_Shape, frozen=True, kw_only=True):
    """spec of a ResourceQuota; one with scopes counts only some pods."""

    hard: dict[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] | None = None
    scope_selector: dict[str, Any] | None = None


class QuotaStatus(_Shape, frozen=True, kw_only=True):
    """status of a ResourceQuota."""

    used: dict[str, str] = field(default_factory=dict)


class Quota(_Shape, frozen=True, kw_only=True):
    """A ResourceQuota."""

    metadata: Meta
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class DisruptionSpec(_Shape, frozen=True, kw_only=True):
    """spec of a PodDisruptionBudget."""

    selector: Selector | None = None


class DisruptionStatus(_Shape, frozen=True, kw_only=True):
    """status of a PodDisruptionBudget; a count that is left out is zero."""

    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class DisruptionBudget(_Shape, frozen=True, kw_only=True):
    """A PodDisruptionBudget."""

    metadata: Meta
    spec: DisruptionSpec = DisruptionSpec()
    status: DisruptionStatus = DisruptionStatus()


class DisruptionBudgetList(_Shape, frozen=True, kw_only=True):
    """A list of PodDisruptionBudgets."""

    items: tuple[DisruptionBudget, ...] | None = None


class AutoscalerList(_Shape, frozen=True, kw_only=True):
    """A list of HorizontalPodAutoscalers."""

    items: tuple[Autoscaler, ...] | None = None


class ScaledObjectList(_Shape, frozen=True, kw_only=True):
    """A list of ScaledObjects."""

    items: tuple[ScaledObject, ...] | None = None


class ApplicationList(_Shape, frozen=True, kw_only=True):
    """A list of Applications."""

    items: tuple[Application, ...] | None = None


class QuotaList(_Shape, frozen=True, kw_only=True):
    """A list of ResourceQuotas."""

    items: tuple[Quota, ...] | None = None


class PodResources(_Shape, frozen=True, kw_only=True):
    """resources of a container."""

    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class Claimant(_Shape, frozen=True, kw_only=True):
    """A container, as far as quotas look at it."""

    resources: PodResources = PodResources()


class ClaimantSpec(_Shape, frozen=True, kw_only=True):
    """The spec of a pod template, as far as quotas look at it."""

    containers: tuple[Claimant, ...] | None = None


class ClaimantTemplate(_Shape, frozen=True, kw_only=True):
    """A pod template, as far as quotas look at it."""

    spec: ClaimantSpec = ClaimantSpec()


class ClaimantWorkloadSpec(_Shape, frozen=True, kw_only=True):
    """The spec of a workload, as far as quotas look at it."""

    template: ClaimantTemplate = ClaimantTemplate()


class ClaimantWorkload(_Shape, frozen=True, kw_only=True):
    """A workload, as far as quotas look at it."""

    spec: ClaimantWorkloadSpec = ClaimantWorkloadSpec()
