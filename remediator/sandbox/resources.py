"""The table of what the sandbox serves: kinds, scope, short names, subresources, and what bumps a generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Json = dict[str, Any]

MAIN_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_VERBS = ("get", "patch", "update")


class GroupResource(NamedTuple):
    """A collection of objects: API group ("" for core) and plural resource name."""

    group: str
    resource: str

    def __str__(self) -> str:
        """Write it as Kubernetes does: `deployments.apps`, `pods`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind that is served, under one group and version."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = MAIN_VERBS
    # Top-level keys whose change bumps metadata.generation; "annotations" stands for metadata.annotations,
    # "*" for everything outside metadata. Empty: objects of this kind carry no generation.
    generation: tuple[str, ...] = ()
    status: bool = False
    scale: bool = False
    custom: bool = False
    graceful: bool = False
    # A resource that is only another view (another group or version) names the collection that stores it.
    stored_as: GroupResource | None = None

    @property
    def group_version(self) -> str:
        """Return what stands in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> GroupResource:
        """Return the collection in the store that holds these objects."""
        return self.stored_as or GroupResource(self.group, self.plural)


def _core(plural: str, singular: str, kind: str, **more: Any) -> Resource:
    return Resource(group="", version="v1", plural=plural, singular=singular, kind=kind, **more)


def _apps(plural: str, kind: str, short: tuple[str, ...], **more: Any) -> Resource:
    return Resource(
        group="apps", version="v1", plural=plural, singular=kind.lower(), kind=kind, short_names=short, **more
    )


_ALL = ("all",)
_NO_COLLECTION_DELETE = tuple(verb for verb in MAIN_VERBS if verb != "deletecollection")
_SPEC = ("spec",)

PODS = GroupResource("", "pods")
NODES = GroupResource("", "nodes")
NAMESPACES = GroupResource("", "namespaces")
SERVICES = GroupResource("", "services")
ENDPOINTS = GroupResource("", "endpoints")
ENDPOINT_SLICES = GroupResource("discovery.k8s.io", "endpointslices")
EVENTS = GroupResource("", "events")
CONFIG_MAPS = GroupResource("", "configmaps")
SECRETS = GroupResource("", "secrets")
RESOURCE_QUOTAS = GroupResource("", "resourcequotas")
LIMIT_RANGES = GroupResource("", "limitranges")
DEPLOYMENTS = GroupResource("apps", "deployments")
REPLICA_SETS = GroupResource("apps", "replicasets")
STATEFUL_SETS = GroupResource("apps", "statefulsets")
DAEMON_SETS = GroupResource("apps", "daemonsets")
CONTROLLER_REVISIONS = GroupResource("apps", "controllerrevisions")
DISRUPTION_BUDGETS = GroupResource("policy", "poddisruptionbudgets")
AUTOSCALERS = GroupResource("autoscaling", "horizontalpodautoscalers")
NETWORK_POLICIES = GroupResource("networking.k8s.io", "networkpolicies")
INGRESSES = GroupResource("networking.k8s.io", "ingresses")
PERSISTENT_VOLUME_CLAIMS = GroupResource("", "persistentvolumeclaims")
SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")
LEASES = GroupResource("coordination.k8s.io", "leases")
ROLES = GroupResource("rbac.authorization.k8s.io", "roles")
ROLE_BINDINGS = GroupResource("rbac.authorization.k8s.io", "rolebindings")
CLUSTER_ROLES = GroupResource("rbac.authorization.k8s.io", "clusterroles")
CLUSTER_ROLE_BINDINGS = GroupResource("rbac.authorization.k8s.io", "clusterrolebindings")
APPLICATIONS = GroupResource("argoproj.io", "applications")
SCALED_OBJECTS = GroupResource("keda.sh", "scaledobjects")
ADMISSION_POLICIES = GroupResource("admissionregistration.k8s.io", "validatingadmissionpolicies")
ADMISSION_BINDINGS = GroupResource("admissionregistration.k8s.io", "validatingadmissionpolicybindings")

CORE_RESOURCES = (
    _core("configmaps", "configmap", "ConfigMap", short_names=("cm",)),
    _core("endpoints", "endpoints", "Endpoints", short_names=("ep",)),
    _core("events", "event", "Event", short_names=("ev",)),
    _core("limitranges", "limitrange", "LimitRange", short_names=("limits",)),
    _core(
        "namespaces",
        "namespace",
        "Namespace",
        namespaced=False,
        short_names=("ns",),
        verbs=_NO_COLLECTION_DELETE,
        status=True,
    ),
    _core("nodes", "node", "Node", namespaced=False, short_names=("no",), status=True),
    _core(
        "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", short_names=("pvc",), status=True
    ),
    _core("pods", "pod", "Pod", short_names=("po",), categories=_ALL, generation=_SPEC, status=True, graceful=True),
    _core("resourcequotas", "resourcequota", "ResourceQuota", short_names=("quota",), status=True),
    _core("secrets", "secret", "Secret"),
    _core("serviceaccounts", "serviceaccount", "ServiceAccount", short_names=("sa",)),
    _core("services", "service", "Service", short_names=("svc",), categories=_ALL, status=True),
)
APPS_RESOURCES = (
    _apps("controllerrevisions", "ControllerRevision", ()),
    _apps("daemonsets", "DaemonSet", ("ds",), categories=_ALL, generation=_SPEC, status=True),
    _apps(
        "deployments",
        "Deployment",
        ("deploy",),
        categories=_ALL,
        generation=("spec", "annotations"),
        status=True,
        scale=True,
    ),
    _apps("replicasets", "ReplicaSet", ("rs",), categories=_ALL, generation=_SPEC, status=True, scale=True),
    _apps("statefulsets", "StatefulSet", ("sts",), categories=_ALL, generation=_SPEC, status=True, scale=True),
)


def _autoscaler(version: str) -> Resource:
    return Resource(
        group="autoscaling", version=version, plural="horizontalpodautoscalers", singular="horizontalpodautoscaler",
        kind="HorizontalPodAutoscaler", short_names=("hpa",), categories=_ALL, status=True,
    )  # fmt: skip


def _rbac(plural: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource(
        group="rbac.authorization.k8s.io", version="v1", plural=plural, singular=kind.lower(), kind=kind,
        namespaced=namespaced,
    )  # fmt: skip


def _admission(plural: str, kind: str, *, status: bool) -> Resource:
    return Resource(
        group="admissionregistration.k8s.io", version="v1", plural=plural, singular=kind.lower(), kind=kind,
        namespaced=False, categories=("api-extensions",), generation=_SPEC, status=status,
    )  # fmt: skip


OTHER_RESOURCES = (
    _admission("validatingadmissionpolicies", "ValidatingAdmissionPolicy", status=True),
    _admission("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", status=False),
    _autoscaler("v2"),
    _autoscaler("v1"),
    Resource(
        group="events.k8s.io", version="v1", plural="events", singular="event", kind="Event", short_names=("ev",),
        stored_as=EVENTS,
    ),
    Resource(
        group="discovery.k8s.io", version="v1", plural="endpointslices", singular="endpointslice",
        kind="EndpointSlice", generation=("endpoints", "ports"),
    ),
    Resource(
        group="networking.k8s.io", version="v1", plural="ingresses", singular="ingress", kind="Ingress",
        short_names=("ing",), generation=_SPEC, status=True,
    ),
    Resource(
        group="networking.k8s.io", version="v1", plural="networkpolicies", singular="networkpolicy",
        kind="NetworkPolicy", short_names=("netpol",), generation=_SPEC,
    ),
    Resource(
        group="policy", version="v1", plural="poddisruptionbudgets", singular="poddisruptionbudget",
        kind="PodDisruptionBudget", short_names=("pdb",), generation=_SPEC, status=True,
    ),
    Resource(group="coordination.k8s.io", version="v1", plural="leases", singular="lease", kind="Lease"),
    _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _rbac("clusterroles", "ClusterRole", namespaced=False),
    _rbac("rolebindings", "RoleBinding", namespaced=True),
    _rbac("roles", "Role", namespaced=True),
    Resource(
        group="argoproj.io", version="v1alpha1", plural="applications", singular="application", kind="Application",
        short_names=("app", "apps"), generation=("*",), custom=True,
    ),
    Resource(
        group="keda.sh", version="v1alpha1", plural="scaledobjects", singular="scaledobject", kind="ScaledObject",
        short_names=("so",), generation=_SPEC, status=True, custom=True,
    ),
)  # fmt: skip

RESOURCES = CORE_RESOURCES + APPS_RESOURCES + OTHER_RESOURCES


class Catalogue:
    """Look-ups over a list of resources."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES) -> None:
        """Index `resources` by group, version and plural name."""
        self.resources = resources
        self._by_path = {(r.group, r.version, r.plural): r for r in resources}
        self._by_storage: dict[GroupResource, Resource] = {}
        for resource in resources:
            self._by_storage.setdefault(resource.storage, resource)
            if resource.stored_as is None and self._by_storage[resource.storage].stored_as is not None:
                self._by_storage[resource.storage] = resource
        self.groups = {(r.group, r.version) for r in resources}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource served at that place, or None."""
        return self._by_path.get((group, version, plural))

    def stored(self, key: GroupResource) -> Resource:
        """Return the resource whose shape the store keeps for that collection; KeyError when it is not served."""
        return self._by_storage[key]
