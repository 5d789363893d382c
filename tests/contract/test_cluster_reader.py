"""ClusterReader and EvidenceReader against a cluster that moves by itself."""

from __future__ import annotations

import pytest
from msgspec import structs

from remediator.model.errors import ClusterError
from remediator.model.facts import Facts
from remediator.model.plan import CaptureEvidence
from remediator.model.target import Kind
from tests.contract.cluster_kit import Kit

LABELS = {Kind.DEPLOYMENT: "deployment", Kind.STATEFULSET: "statefulset", Kind.DAEMONSET: "daemonset"}


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_named_workload_is_found_with_its_facts(kit: Kit, kind: Kind) -> None:
    """Target with uid and counts, all from the same look; the pods of one that is well say nothing more."""
    target = await kit.make(kind, replicas=2)
    labels = {"namespace": kit.namespace, LABELS[kind]: target.name}
    resolution, facts = await kit.reader.resolve_and_read(labels, kit.spec)
    assert resolution.target == target
    assert facts.problem == ""
    assert facts.workload is not None
    assert facts.workload.target == target
    assert facts.workload.rolled_out
    assert not facts.workload.rolling
    assert facts.workload.replicas >= 1
    assert facts.workload.replicas == facts.workload.ready == facts.workload.available
    assert facts.pods == ()
    again = await kit.reader.facts(target)
    assert again.pods == ()
    # When the latest rollout began is asked for a decision only.
    assert again.workload is not None
    unasked = {"rollout_started_at": again.workload.rollout_started_at, "revision": again.workload.revision}
    assert again.workload == structs.replace(facts.workload, **unasked)
    assert facts.workload.rollout_started_at is not None


async def test_the_pods_of_a_sick_workload_are_seen(kit: Kit) -> None:
    """With what each waits for; those that are well among them."""
    target = await kit.make(replicas=2)
    broken = {"name": "app", "image": "registry.invalid/no/such:image"}
    await kit.change(target, {"spec": {"template": {"spec": {"containers": [broken]}}}})
    seen: list[Facts] = []

    async def stuck() -> bool:
        _, facts = await kit.reader.resolve_and_read({"namespace": kit.namespace, "deployment": target.name}, kit.spec)
        seen.append(facts)
        return any(not pod.ready and pod.waiting for pod in facts.pods)

    await kit.until(stuck)
    assert all(pod.phase == "Running" and pod.node for pod in seen[-1].pods if pod.ready)
    assert any(pod.ready for pod in seen[-1].pods)


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_pod_leads_to_its_workload(kit: Kit, kind: Kind) -> None:
    """By the owner references that controllers write."""
    target = await kit.make(kind)
    pod = (await kit.pods())[0]
    resolution = await kit.reader.resolve({"namespace": kit.namespace, "pod": pod}, kit.spec)
    assert resolution.target == target


async def test_a_service_leads_to_the_workload_behind_it(kit: Kit) -> None:
    """Though two ReplicaSets may stand between them."""
    target = await kit.make(replicas=2)
    await kit.make_service()
    await kit.change(target, {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}})
    resolution = await kit.reader.resolve({"namespace": kit.namespace, "service": "web"}, kit.spec)
    assert resolution.target == target


async def test_a_rollout_is_seen_while_it_lasts(kit: Kit) -> None:
    """Rolling, with the time of its ReplicaSet; then rolled out."""
    target = await kit.make()
    await kit.change(target, {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}})
    seen = []

    async def begun() -> bool:
        _, facts = await kit.reader.resolve_and_read({"namespace": kit.namespace, "deployment": target.name}, kit.spec)
        if facts.workload is not None and facts.workload.rollout_started_at is not None:
            seen.append(facts.workload)
        return bool(seen) or bool(facts.workload and facts.workload.revision == "2" and facts.workload.rolled_out)

    await kit.until(begun)
    await kit.rolled_out(target)
    facts = await kit.reader.facts(target)
    assert facts.workload is not None
    assert facts.workload.revision == "2"
    assert all(item.revision in {"1", "2"} for item in seen)


async def test_what_is_not_there_is_said(kit: Kit) -> None:
    """Absent, or another object of the same name."""
    labels = {"namespace": kit.namespace, "deployment": "nope"}
    resolution, facts = await kit.reader.resolve_and_read(labels, kit.spec)
    assert (resolution.problem, facts.problem) == ("target_not_found", "target_not_found")
    first = await kit.make()
    await kit.delete(first)
    await kit.make()
    assert (await kit.reader.facts(first)).problem == "target_not_found"
    with pytest.raises(ClusterError) as caught:
        await kit.reader.live(first)
    assert caught.value.reason == "not_found"


async def test_the_image_of_a_live_object_gives_its_versions(kit: Kit) -> None:
    """What a write is based on."""
    target = await kit.make()
    live = await kit.reader.live(target)
    document = await kit.get(target)
    assert live.image.uid == target.uid
    assert live.image.object["spec"]["replicas"] == 1
    assert live.image.generation == document["metadata"]["generation"]
    assert (live.marker, live.fence) == ("", 0)


async def test_evidence_is_captured(kit: Kit) -> None:
    """The parts that every cluster has are there; what this one lacks is named with a reason."""
    target = await kit.make()
    await kit.make_service()
    bundle = await kit.evidence.capture(CaptureEvidence(target=target))
    assert {"workload", "pods", "events", "endpoints", "rollout_history"} <= set(bundle.parts)
    assert [service["metadata"]["name"] for service in bundle.parts["endpoints"]] == ["web"]
    assert any(name.startswith("logs/") for name in {*bundle.parts, *bundle.missing})
    assert bundle.parts["events"]
    assert all(reason for reason in bundle.missing.values())
    assert {"pods", "workload"}.isdisjoint(bundle.missing)
