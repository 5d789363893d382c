"""The eviction subresource of pods: a deletion that asks the disruption budgets first."""

from __future__ import annotations

from remediator.sandbox import decoding, writing
from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.clock import timestamp
from remediator.sandbox.lifecycle import Deletion
from remediator.sandbox.resources import DISRUPTION_BUDGETS, PODS, Json, Resource
from remediator.sandbox.selectors import match_label_selector
from remediator.sandbox.status import ApiError, bad_request, not_found
from remediator.sandbox.store import Store, changed

PROCESSING_RETRY_SECONDS = 10
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_FINISHED = {"Succeeded", "Failed", "Pending"}
_DONE: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def evict(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a POST of an Eviction: 201 with a Status; ApiError 400, 404, 409, 429 and 500.

    As in the API server, the budget is spent before the eviction's own preconditions are looked at.
    """
    try:
        eviction = decoding.parse_json(call.body, find_duplicates=False).value
    except ValueError as error:
        raise bad_request(f"json parse error: {error}") from None
    if not isinstance(eviction, dict) or eviction.get("kind", "Eviction") != "Eviction":
        raise bad_request("not an Eviction object")
    if (eviction.get("metadata") or {}).get("name", target.name) != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = store.find(PODS, target.namespace, target.name)
    if pod is None:
        raise not_found(resource, target.name)
    admit = call.admit(resource)
    if admit is not None:
        admit({"apiVersion": "policy/v1", "kind": "Eviction", **eviction}, None)
    options = eviction.get("deleteOptions") or {}
    preconditions = options.get("preconditions") or {}
    how = Deletion(
        grace=options.get("gracePeriodSeconds"),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=call.dry_run or options.get("dryRun") == ["All"],
    )
    if _status(pod).get("phase") not in _FINISHED and "deletionTimestamp" not in pod["metadata"]:
        _spend_budget(store, pod, dry_run=how.dry_run)
    _mark_and_delete(store, resource, target, pod, how)
    return Answer(_DONE, 201)


def _spend_budget(store: Store, pod: Json, *, dry_run: bool) -> None:
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
    budgets = [
        item
        for item in store.list(DISRUPTION_BUDGETS, namespace)
        if match_label_selector(item["spec"].get("selector"), labels)
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, message)
    budget = budgets[0]
    status = budget.get("status") or {}
    if not _is_ready(pod) and _may_go_unhealthy(budget, status):
        return
    name = budget["metadata"]["name"]
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        _refuse(f"The disruption budget {name} is still being processed by the server.", PROCESSING_RETRY_SECONDS)
    if status.get("disruptionsAllowed", 0) <= 0:
        needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        _refuse(f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently")
    if dry_run:
        return
    disrupted = {**status.get("disruptedPods", {}), pod["metadata"]["name"]: timestamp(store.clock.now())}
    spent = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
    store.update_status(DISRUPTION_BUDGETS, namespace, name, spent)


def _may_go_unhealthy(budget: Json, status: Json) -> bool:
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy", 0)
    return bool(0 < desired <= status.get("currentHealthy", 0))


def _refuse(message: str, retry_after: int | None = None) -> None:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    if retry_after is not None:
        details["retryAfterSeconds"] = retry_after
    raise ApiError(429, _REFUSED, "TooManyRequests", details)


def _status(pod: Json) -> Json:
    return pod.get("status") or {}


def _is_ready(pod: Json) -> bool:
    conditions = _status(pod).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _mark_and_delete(store: Store, resource: Resource, target: Target, pod: Json, how: Deletion) -> None:
    meant = how.uid in {None, pod["metadata"]["uid"]} and how.resource_version is None
    if meant and not how.dry_run:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(store.clock.now()),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        others = [item for item in _status(pod).get("conditions") or () if item["type"] != "DisruptionTarget"]
        status = changed(_status(pod), ("conditions",), [*others, condition])
        store.update_status(PODS, target.namespace, target.name, status)
    writing.remove(store, resource, target, how)
