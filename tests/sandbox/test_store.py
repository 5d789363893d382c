"""The store: versions, generations, deletion, history and those who follow it."""

from __future__ import annotations

import asyncio

import pytest

from remediator.sandbox.clock import RandomIds, VirtualClock
from remediator.sandbox.history import ExpiredError, History
from remediator.sandbox.lifecycle import FOREGROUND_FINALIZER
from remediator.sandbox.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, Json
from remediator.sandbox.store import (
    AlreadyExistsError,
    ConflictError,
    Deletion,
    NotFoundError,
    PreconditionError,
    Store,
    changed,
)

HERE = "backstage"


def deployment(name: str = "web", **metadata: object) -> Json:
    """A small Deployment."""
    spec = {"replicas": 1, "template": {"metadata": {}, "spec": {"containers": []}}}
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": HERE, **metadata}}
    return {**head, "spec": spec, "status": {}}


@pytest.fixture
def store() -> Store:
    """An empty store whose clock and ids are the test's."""
    return Store(clock=VirtualClock(), ids=RandomIds(3))


def test_creation_fills_in_the_systems_part(store: Store) -> None:
    """uid, version, generation and time are the store's; a taken name is refused; generated names end at random."""
    made = store.create(DEPLOYMENTS, deployment(uid="mine", resourceVersion="9", generation=7))
    assert made["metadata"]["uid"] != "mine"
    assert (made["metadata"]["resourceVersion"], made["metadata"]["generation"]) == ("2", 1)
    assert made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    with pytest.raises(AlreadyExistsError):
        store.create(DEPLOYMENTS, deployment())
    named = store.create(DEPLOYMENTS, {**deployment(), "metadata": {"generateName": "web-", "namespace": HERE}})
    assert named["metadata"]["name"].startswith("web-")
    assert len(named["metadata"]["name"]) == 9


def test_a_dry_run_stores_nothing(store: Store) -> None:
    """Dry creation, update and deletion answer as usual and leave version and objects alone."""
    store.create(DEPLOYMENTS, deployment("new"), dry_run=True)
    assert store.find(DEPLOYMENTS, HERE, "new") is None
    made = store.create(DEPLOYMENTS, deployment())
    dry = store.update(DEPLOYMENTS, changed(made, ("spec", "replicas"), 3), dry_run=True)
    assert (dry["metadata"]["generation"], dry["metadata"]["resourceVersion"]) == (2, "2")
    assert store.delete(DEPLOYMENTS, HERE, "web", Deletion(dry_run=True)).gone
    assert store.get(DEPLOYMENTS, HERE, "web") == made
    assert store.version == 2


def test_updates_bump_what_they_should(store: Store) -> None:
    """Spec and annotations bump a Deployment's generation, labels and status do not, nothing changes nothing."""
    made = store.create(DEPLOYMENTS, deployment())
    assert store.update(DEPLOYMENTS, made) is made
    labelled = store.update(DEPLOYMENTS, changed(made, ("metadata", "labels"), {"a": "b"}))
    assert (labelled["metadata"]["generation"], labelled["metadata"]["resourceVersion"]) == (1, "3")
    noted = store.update(DEPLOYMENTS, changed(labelled, ("metadata", "annotations"), {"a": "b"}))
    assert noted["metadata"]["generation"] == 2
    scaled = store.update(DEPLOYMENTS, changed(noted, ("spec", "replicas"), 3))
    assert scaled["metadata"]["generation"] == 3
    told = store.update_status(DEPLOYMENTS, HERE, "web", {"readyReplicas": 3})
    assert (told["metadata"]["generation"], told["status"]) == (3, {"readyReplicas": 3})
    kept = store.update(DEPLOYMENTS, {**told, "status": {"readyReplicas": 9}})
    assert kept["status"] == {"readyReplicas": 3}
    made_map = store.create(CONFIG_MAPS, {"metadata": {"name": "m", "namespace": HERE}, "data": {}})
    assert "generation" not in made_map["metadata"]


def test_stale_writes_are_refused(store: Store) -> None:
    """Another version is a conflict, another uid a failed precondition, an absent object not found."""
    made = store.create(DEPLOYMENTS, deployment())
    store.update(DEPLOYMENTS, changed(made, ("spec", "replicas"), 2))
    with pytest.raises(ConflictError):
        store.update(DEPLOYMENTS, changed(made, ("spec", "replicas"), 3))
    with pytest.raises(PreconditionError):
        store.update(DEPLOYMENTS, deployment(uid="another"))
    with pytest.raises(NotFoundError):
        store.update(DEPLOYMENTS, deployment("absent"))
    with pytest.raises(PreconditionError):
        store.delete(DEPLOYMENTS, HERE, "web", Deletion(uid="another"))
    with pytest.raises(PreconditionError):
        store.delete(DEPLOYMENTS, HERE, "web", Deletion(resource_version="2"))
    assert store.get(DEPLOYMENTS, HERE, "web")["spec"]["replicas"] == 2


def test_a_running_pod_goes_gracefully(store: Store) -> None:
    """A pod on a node is marked with its grace first; less grace shortens it; zero ends it."""
    spec = {"nodeName": "n", "containers": [], "terminationGracePeriodSeconds": 20}
    pod = {"kind": "Pod", "metadata": {"name": "p", "namespace": HERE}, "spec": spec, "status": {"phase": "Running"}}
    store.create(PODS, pod)
    marked = store.delete(PODS, HERE, "p")
    assert not marked.gone
    assert marked.object["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    assert marked.object["metadata"]["generation"] == 2
    longer = store.delete(PODS, HERE, "p", Deletion(grace=60))
    assert longer.object["metadata"]["deletionGracePeriodSeconds"] == 20
    shorter = store.delete(PODS, HERE, "p", Deletion(grace=1))
    assert shorter.object["metadata"]["deletionGracePeriodSeconds"] == 1
    store.remove(PODS, HERE, "p")
    assert store.find(PODS, HERE, "p") is None
    assert store.remove(PODS, HERE, "p") is None


def test_finalizers_hold_an_object(store: Store) -> None:
    """Foreground deletion waits for its finalizer; whoever takes the last one off ends the object."""
    store.create(DEPLOYMENTS, deployment())
    held = store.delete(DEPLOYMENTS, HERE, "web", Deletion(propagation="Foreground"))
    assert held.object["metadata"]["finalizers"] == [FOREGROUND_FINALIZER]
    assert not store.delete(DEPLOYMENTS, HERE, "web").gone
    current = store.get(DEPLOYMENTS, HERE, "web")
    store.update(DEPLOYMENTS, changed(current, ("metadata", "finalizers"), []))
    assert store.find(DEPLOYMENTS, HERE, "web") is None


def test_a_namespace_terminates(store: Store) -> None:
    """A namespace stays, as Terminating, until its own finalizer is gone."""
    spec = {"finalizers": ["kubernetes"]}
    store.create(NAMESPACES, {"kind": "Namespace", "metadata": {"name": "n"}, "spec": spec, "status": {}})
    marked = store.delete(NAMESPACES, "", "n")
    assert (marked.gone, marked.object["status"]["phase"]) == (False, "Terminating")
    store.mutate(NAMESPACES, "", "n", lambda item: {**item, "spec": {}})
    assert store.find(NAMESPACES, "", "n") is None


def test_dependents_follow_owner_references(store: Store) -> None:
    """Objects are found by the uid of their owner, as long as they name it."""
    owner = store.create(DEPLOYMENTS, deployment())
    uid = owner["metadata"]["uid"]
    references = [{"uid": uid, "kind": "Deployment", "name": "web"}]
    metadata = {"name": "web-1", "namespace": HERE, "ownerReferences": references}
    child = store.create(REPLICA_SETS, {"kind": "ReplicaSet", "metadata": metadata, "spec": {}})
    assert store.dependents(uid) == [(REPLICA_SETS, child)]
    store.mutate(REPLICA_SETS, HERE, "web-1", lambda item: changed(item, ("metadata", "ownerReferences"), []))
    assert store.dependents(uid) == []


def test_the_past_can_be_listed_until_it_is_forgotten(store: Store) -> None:
    """list_at gives what was there at a version: before changes, deletions and creations that came later."""
    first = store.create(DEPLOYMENTS, deployment("a"))
    store.create(DEPLOYMENTS, deployment("b"))
    version = store.version
    store.update(DEPLOYMENTS, changed(first, ("spec", "replicas"), 5))
    store.remove(DEPLOYMENTS, HERE, "b")
    store.create(DEPLOYMENTS, deployment("c"))
    past = store.list_at(DEPLOYMENTS, HERE, version)
    assert [(item["metadata"]["name"], item["spec"]["replicas"]) for item in past] == [("a", 1), ("b", 1)]
    assert [item["metadata"]["name"] for item in store.list(DEPLOYMENTS)] == ["a", "c"]
    store.history.compact(version + 1)
    with pytest.raises(ExpiredError):
        store.list_at(DEPLOYMENTS, HERE, version)


def test_the_history_is_bounded() -> None:
    """No more than twice the limit is ever kept, and what is dropped is expired."""
    store = Store(clock=VirtualClock(), ids=RandomIds(1), history=10)
    for number in range(100):
        store.create(CONFIG_MAPS, {"metadata": {"name": f"m{number}", "namespace": HERE}})
    with pytest.raises(ExpiredError):
        store.history.since(5)
    assert 10 <= len(store.history.since(store.history.oldest)) <= 20


async def test_subscribers_see_changes_in_order(store: Store) -> None:
    """A subscription gives what it asked for, in order, and ends when it is closed."""
    subscription = store.subscribe(DEPLOYMENTS)
    store.create(CONFIG_MAPS, {"metadata": {"name": "m", "namespace": HERE}})
    made = store.create(DEPLOYMENTS, deployment())
    store.update(DEPLOYMENTS, changed(made, ("spec", "replicas"), 2))
    store.remove(DEPLOYMENTS, HERE, "web")
    seen = []
    async with asyncio.timeout(5):
        async for change in subscription:
            seen.append((change.kind, change.version))
            if change.kind == "DELETED":
                subscription.close()
    assert seen == [("ADDED", 3), ("MODIFIED", 4), ("DELETED", 5)]
    store.create(DEPLOYMENTS, deployment("later"))
    assert subscription.drain() == []


async def test_a_slow_subscriber_is_told_and_not_cheated(store: Store) -> None:
    """More unread changes than the backlog raise ExpiredError instead of leaving a gap."""
    subscription = store.history.subscribe(backlog=2)
    for number in range(3):
        store.create(CONFIG_MAPS, {"metadata": {"name": f"m{number}", "namespace": HERE}})
    with pytest.raises(ExpiredError):
        subscription.drain()
    with pytest.raises(ExpiredError):
        await anext(subscription)


def test_listeners_hear_inside_the_write(store: Store) -> None:
    """A listener is called at each change until it is ended."""
    heard: list[str] = []
    end = store.listen(lambda change: heard.append(change.name))
    store.create(DEPLOYMENTS, deployment("a"))
    end()
    store.create(DEPLOYMENTS, deployment("b"))
    assert heard == ["a"]


def test_compaction_never_goes_back() -> None:
    """Compacting to an older version than before changes nothing."""
    history = History(5)
    history.compact(9)
    history.compact(3)
    assert history.oldest == 9


async def test_virtual_sleepers_wake_in_order() -> None:
    """Sleepers wake when the clock is advanced past them, earliest first, each at its own moment."""
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("late", 5))
        group.create_task(sleeper("early", 2))
        group.create_task(sleeper("now", 0))
        await clock.advance(1)
        assert woken == [("now", 0.0)]
        await clock.advance(10)
    assert woken == [("now", 0.0), ("early", 2.0), ("late", 5.0)]
    assert (clock.now() - VirtualClock().now()).total_seconds() == 11
