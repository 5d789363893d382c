"""What the API server fills in where an object says nothing, kind by kind.

Each function gets an object of its own (fresh from schema.read) and may change it in place.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from remediator.sandbox.resources import (
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    AUTOSCALERS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    GroupResource,
    Json,
)

DEFAULT_STORAGE_CLASS = "standard"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def fill_in(resource: GroupResource, obj: Json) -> None:
    """Fill in the defaults of a kind, in place; kinds without any stay as they are."""
    default = _DEFAULTS.get(resource)
    if default is not None:
        default(obj)


def prepare_create(resource: GroupResource, obj: Json) -> None:
    """Do what happens only at birth: a first status, finalizers of the system, labels that name the object."""
    prepare = _BIRTH.get(resource)
    if prepare is not None:
        prepare(obj)


def follow_change(resource: GroupResource, obj: Json, old: Json) -> None:
    """Do what happens at a change: a DaemonSet counts the generations of its template, in an annotation."""
    if resource == DAEMON_SETS and obj["spec"]["template"] != old["spec"]["template"]:
        annotations = dict(obj["metadata"].get("annotations") or {})
        annotations[_TEMPLATE_GENERATION] = str(int(annotations.get(_TEMPLATE_GENERATION, "0")) + 1)
        obj["metadata"]["annotations"] = annotations


def _setdefaults(target: Json, **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _pod_spec(spec: Json) -> None:
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            _container(container)
    _setdefaults(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )


def _container(container: Json) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    _setdefaults(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for probe in filter(None, (container.get(name) for name in _PROBES)):
        _setdefaults(probe, **_PROBE_DEFAULTS)
        if "httpGet" in probe:
            _setdefaults(probe["httpGet"], path="/", scheme="HTTP")


def _template(spec: Json) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))


def _deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _setdefaults(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(
        spec,
        replicas=1,
        revisionHistoryLimit=10,
        podManagementPolicy="OrderedReady",
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    _template(spec)


def _daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _setdefaults(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _setdefaults(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports") or ():
        _setdefaults(port, protocol="TCP", targetPort=port.get("port"))
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _autoscaler(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    for key, text in obj.pop("stringData", {}).items():
        obj.setdefault("data", {})[key] = b64encode(text.encode()).decode()


def _claim(obj: Json) -> None:
    _setdefaults(obj.setdefault("spec", {}), storageClassName=DEFAULT_STORAGE_CLASS, volumeMode="Filesystem")


def _event(obj: Json) -> None:
    _setdefaults(obj, source={}, reportingComponent="", reportingInstance="")
    for key in ("eventTime", "firstTimestamp", "lastTimestamp"):
        obj.setdefault(key, None)


def _namespace(obj: Json) -> None:
    name = obj["metadata"].get("name", "")
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _admission_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        _match_resources(spec["matchConstraints"])


def _admission_binding(obj: Json) -> None:
    found = obj.setdefault("spec", {}).get("matchResources")
    if found is not None:
        _match_resources(found)


def _match_resources(resources: Json) -> None:
    _setdefaults(resources, namespaceSelector={}, objectSelector={}, matchPolicy="Equivalent")
    for part in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(part) or ():
            rule.setdefault("scope", "*")


_DEFAULTS: dict[GroupResource, Callable[[Json], None]] = {
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    STATEFUL_SETS: _stateful_set,
    DAEMON_SETS: _daemon_set,
    PODS: _pod,
    SERVICES: _service,
    AUTOSCALERS: _autoscaler,
    NETWORK_POLICIES: _network_policy,
    SECRETS: _secret,
    PERSISTENT_VOLUME_CLAIMS: _claim,
    EVENTS: _event,
    NAMESPACES: _namespace,
    CONTROLLER_REVISIONS: lambda obj: _setdefaults(obj, revision=0),
    ADMISSION_POLICIES: _admission_policy,
    ADMISSION_BINDINGS: _admission_binding,
}


def _born_pod(obj: Json) -> None:
    spec = obj["spec"]
    _setdefaults(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    for container in spec.get("containers") or ():
        resources = container["resources"]
        for name, value in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, value)
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}


def _born_namespace(obj: Json) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _born_claim(obj: Json) -> None:
    obj["metadata"].setdefault("finalizers", ["kubernetes.io/pvc-protection"])
    obj["status"] = {"phase": "Pending"}


def _born_workload(obj: Json) -> None:
    obj["status"] = {}


def _born_replicated(obj: Json) -> None:
    obj["status"] = {"replicas": 0}


def _born_daemon_set(obj: Json) -> None:
    obj["metadata"].setdefault("annotations", {})[_TEMPLATE_GENERATION] = "1"
    obj["status"] = dict.fromkeys(
        ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0
    )


_BIRTH: dict[GroupResource, Callable[[Json], None]] = {
    PODS: _born_pod,
    NAMESPACES: _born_namespace,
    PERSISTENT_VOLUME_CLAIMS: _born_claim,
    DEPLOYMENTS: _born_workload,
    STATEFUL_SETS: _born_replicated,
    REPLICA_SETS: _born_replicated,
    DAEMON_SETS: _born_daemon_set,
    ADMISSION_POLICIES: _born_workload,
}


def qos_class(spec: Json) -> str:
    """Return the quality-of-service class of a pod, from the requests and limits of its containers."""
    resources = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    for item in resources:
        limits, requests = item.get("limits") or {}, item.get("requests") or {}
        if not {"cpu", "memory"} <= limits.keys() or any(
            requests.get(key, limits[key]) != limits[key] for key in limits
        ):
            return "Burstable"
    return "Guaranteed"
