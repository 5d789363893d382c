"""The sandbox goes through the phases that a real cluster was recorded to go through, in the same order.

A poll of the recording is a sample: each must be among what the sandbox showed, in that order. Generations are compared
by how far the observed one lags behind; times, names and the number of pods that are ending are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remediator.sandbox.controllers.objects import annotations_of
from remediator.sandbox.patches.json_patch import apply_json_patch
from remediator.sandbox.patches.strategic import strategic_merge
from remediator.sandbox.resources import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, GroupResource
from tests.sandbox.controllers.stage import SPACE, Stage, Trace, missing_in_order
from tests.sandbox.replay import load

Json = dict[str, Any]
_RENAMED = {
    "hollow/ready-delay": ("sandbox.remediator.io/ready-after", None),
    "hollow/image-pull": ("sandbox.remediator.io/behaviour", "image-pull"),
    "hollow/crash": ("sandbox.remediator.io/behaviour", "crash"),
}
_COUNTS = (
    "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "currentReplicas",
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "updatedNumberScheduled",
    "numberAvailable", "numberUnavailable",
)  # fmt: skip
_REVISION = "deployment.kubernetes.io/revision"


def face(obj: Json) -> Json:
    """Return what is compared of a workload: how far it is observed, its counts, its conditions, its revision."""
    status = obj.get("status") or {}
    lag = obj["metadata"]["generation"] - status.get("observedGeneration", 0)
    shown: Json = {"lag": lag, **{key: status[key] for key in _COUNTS if key in status}}
    shown["conditions"] = {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions") or ()}
    if "updateRevision" in status:
        shown["settled"] = status["currentRevision"] == status["updateRevision"]
    shown["revision"] = annotations_of(obj).get(_REVISION)
    return shown


def translated(value: Any) -> Any:
    """Return a recorded body with the annotations of its simulation put into the sandbox's own words."""
    if isinstance(value, list):
        return [translated(item) for item in value]
    if not isinstance(value, dict):
        return value
    result: Json = {}
    for key, item in value.items():
        name, word = _RENAMED.get(key, (key, None))
        if key in _RENAMED and item is not None:
            result[name] = word or f"{item}s"
        else:
            result[name] = translated(item)
    return result


def polls_and_patches(entries: list[Json], plural: str) -> Iterator[tuple[Json | None, list[Json], float]]:
    """Yield each write that was accepted, the polls up to the next one, and the moment of that next one."""
    patch, polls = None, []
    for entry in entries:
        request, response = entry["request"], entry["response"]
        if f"/{plural}/" not in request["path"] or response["status"] >= 400 or "dryRun" in request["query"]:
            continue
        if request["method"] == "GET" and response["body"]["kind"] != "Scale":
            polls.append(response["body"])
        elif request["method"] == "PATCH":
            yield patch, polls, entry["t"]
            patch, polls = entry, []
    yield patch, polls, entries[-1]["t"] + 5


def write(stage: Stage, resource: GroupResource, kind: str, entry: Json) -> None:
    """Do what a recorded PATCH did."""
    body, path = translated(entry["request"]["body"]), entry["request"]["path"].split("/")
    name = path[path.index(SPACE) + 2]
    if isinstance(body, list):
        stage.change(resource, name, lambda obj: apply_json_patch(obj, body))
    else:
        stage.change(resource, name, lambda obj: strategic_merge(f"V1{kind}", obj, body))


def compare(stage: Stage, resource: GroupResource, kind: str, entries: list[Json]) -> int:
    """Replay the writes of a recording and compare what is polled between them; returns how many polls there were."""
    plural = resource.resource
    first = next(entry["response"]["body"] for entry in entries if entry["response"]["body"].get("kind") == kind)
    name = first["metadata"]["name"]
    trace = Trace(stage.store, resource, name, face)
    count, now = 0, None
    for patch, polls, until in polls_and_patches(entries, plural):
        if patch is not None:
            write(stage, resource, kind, patch)
            now = patch["t"]
        stage.advance(until - now if now is not None else 0.0)
        seen = trace.take()
        lost = missing_in_order(map(face, polls), seen)
        note = patch["note"] if patch else "the start"
        assert lost is None, f"{note}: {lost} was not shown; shown were\n" + "\n".join(map(str, seen))
        count += len(polls)
    return count


def start(resource: GroupResource, kind: str, first: Json, settle: float = 30.0) -> Stage:
    """Return a stage on which the recorded workload has come to rest."""
    fresh = translated({key: first[key] for key in ("apiVersion", "spec")})
    metadata = {"name": first["metadata"]["name"], "namespace": SPACE, "labels": first["metadata"]["labels"]}
    stage = Stage({**fresh, "kind": kind, "metadata": metadata})
    stage.advance(settle)
    return stage


@pytest.mark.parametrize(
    ("name", "revisions_before", "polls"),
    [("03-restart.json", 1, 10), ("03-restart-stuck.json", 0, 15), ("03-restart-paused.json", 0, 6)],
)
def test_a_restart_goes_through_the_recorded_phases(name: str, revisions_before: int, polls: int) -> None:
    """Restarted, stuck and mended, paused and resumed: counts, conditions and revisions as recorded."""
    entries = load(name)
    stage = start(DEPLOYMENTS, "Deployment", entries[0]["response"]["body"])
    for number in range(revisions_before):
        stage.template(DEPLOYMENTS, "backstage", {"seed": str(number)})
        stage.advance(30)
    assert compare(stage, DEPLOYMENTS, "Deployment", entries) >= polls


def test_scaling_goes_through_the_recorded_phases() -> None:
    """Up, down and to zero: no rollout, and at zero the counts vanish from the status."""
    entries = [entry for entry in load("05-scale.json") if entry["request"]["method"] in {"GET", "PATCH"}]
    stage = start(DEPLOYMENTS, "Deployment", entries[0]["response"]["body"])
    assert compare(stage, DEPLOYMENTS, "Deployment", entries) >= 2


def test_a_rollback_takes_the_old_replica_set_again() -> None:
    """Undo: the ReplicaSet of revision 2 becomes revision 4 and remembers 2; then revision 1 becomes 5."""
    entries = load("07-rollback.json")
    deployment, sets = entries[0]["response"]["body"], entries[1]["response"]["body"]["items"]
    by_revision = sorted(sets, key=lambda item: int(annotations_of(item)[_REVISION]))
    templates = [translated(item["spec"]["template"]) for item in by_revision]
    for template in templates:
        del template["metadata"]["labels"]["pod-template-hash"]
    first = {**deployment, "spec": {**deployment["spec"], "template": templates[0]}}
    stage = start(DEPLOYMENTS, "Deployment", first)
    for template, pause in zip(templates[1:], (30.0, 1.0), strict=True):
        stage.spec(DEPLOYMENTS, "backstage", template=template)
        stage.advance(pause)
    assert compare(stage, DEPLOYMENTS, "Deployment", entries) >= 5
    notes = [
        (annotations_of(item)[_REVISION], annotations_of(item).get(_REVISION + "-history")) for item in stage.sets()
    ]
    assert notes == [("3", None), ("4", "2"), ("5", "1")]


@pytest.mark.parametrize(("kind", "resource"), [("StatefulSet", STATEFUL_SETS), ("DaemonSet", DAEMON_SETS)])
def test_other_workloads_go_through_the_recorded_phases(kind: str, resource: GroupResource) -> None:
    """Restart of a StatefulSet and a DaemonSet, one pod after the other; scale of the StatefulSet."""
    entries = [
        entry for entry in load("19-statefulset-daemonset.json") if f"/{resource.resource}/" in entry["request"]["path"]
    ]
    stage = start(resource, kind, entries[0]["response"]["body"])
    assert compare(stage, resource, kind, entries) >= 6


def test_a_quota_holds_a_scale_back_as_recorded() -> None:
    """Scaled above a quota: ReplicaFailure FailedCreate, Progressing untouched, and an end once the quota is raised."""
    entries = load("05-scale-quota.json")
    first = next(item["response"]["body"] for item in entries if item["response"]["body"].get("kind") == "Deployment")
    stage = start(DEPLOYMENTS, "Deployment", first)
    quota = entries[0]["response"]["body"]
    stage.put(
        {key: quota[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "pods", "namespace": SPACE}}
    )
    until_restart = [entry for entry in entries if entry["t"] < 10.65]
    assert compare(stage, DEPLOYMENTS, "Deployment", until_restart) >= 6
    assert "FailedCreate" in stage.reasons("ReplicaSet")
