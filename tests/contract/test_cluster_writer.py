"""ClusterWriter against a cluster: at most one effect, whatever is lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from remediator.model.plan import PatchObject
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Applied, InDoubt, WriteRefused, WriteResult
from tests.contract.cluster_kit import TIMEOUT_S, Fault, Kit

ACTION = "remediator.io/action"
FENCE = "remediator.io/fence"


def scale(target: Target, replicas: int) -> PatchObject:
    """Return the step that scales."""
    return PatchObject(target=target, patch={"spec": {"replicas": replicas}}, expected={"spec.replicas": replicas})


def restart(target: Target) -> PatchObject:
    """Return the step that restarts."""
    return PatchObject(target=target, patch={}, mark_template=True)


def refused(result: WriteResult) -> str:
    """Return the reason of a refusal."""
    assert isinstance(result, WriteRefused), result
    return result.reason


@pytest.mark.parametrize("kind", [Kind.DEPLOYMENT, Kind.STATEFULSET])
async def test_a_write_is_stored_with_its_marks(kit: Kit, kind: Kind) -> None:
    """Scaled, marked, and rolled out; the answer tells the new version."""
    target = await kit.make(kind)
    mark = await kit.mark(target, "one", 3)
    result = await kit.writer.patch(scale(target, 2), mark)
    assert isinstance(result, Applied)
    assert result.differs == ()
    assert result.resource_version != mark.resource_version
    live = await kit.reader.live(target)
    assert (live.marker, live.fence) == ("one", 3)
    assert (await kit.get(target))["spec"]["replicas"] == 2
    await kit.rolled_out(target)


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_restart_rolls_once_and_leaves_its_proof(kit: Kit, kind: Kind) -> None:
    """The same action again changes nothing; wiped from the object it can still be proved."""
    target = await kit.make(kind)
    pods = set(await kit.pods())
    first = await kit.writer.patch(restart(target), await kit.mark(target, "one"))
    assert isinstance(first, Applied)
    assert first.differs == ()

    async def replaced() -> bool:
        facts = await kit.reader.facts(target)
        names = set(await kit.pods())
        return bool(facts.workload and facts.workload.rolled_out and names) and (
            kind is Kind.STATEFULSET or not pods & names
        )

    await kit.until(replaced)
    again = await kit.writer.patch(restart(target), await kit.mark(target, "one"))
    assert isinstance(again, Applied)
    assert again.generation == first.generation
    wiped = {"metadata": {"annotations": {ACTION: None}}}
    template = {"template": {"metadata": {"annotations": {ACTION: "somebody-else"}}}}
    await kit.change(target, {**wiped, "spec": template})
    assert await kit.reader.proof(target, "one") is True
    assert await kit.reader.proof(target, "two") is False


async def test_a_stale_version_is_a_conflict(kit: Kit) -> None:
    """Whoever changed the object in between keeps what they wrote."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    await kit.change(target, {"spec": {"replicas": 3}})
    assert refused(await kit.writer.patch(scale(target, 5), mark)) == "conflict"
    document = await kit.get(target)
    assert document["spec"]["replicas"] == 3
    assert ACTION not in document["metadata"].get("annotations", {})


async def test_another_uid_is_gone(kit: Kit) -> None:
    """An object that was made anew under the same name is left alone."""
    target = await kit.make()
    mark = structs.replace(await kit.mark(target, "one"), uid="00000000-0000-0000-0000-000000000000")
    step = scale(structs.replace(target, uid=""), 5)
    assert refused(await kit.writer.patch(step, mark)) == "gone"
    assert (await kit.get(target))["spec"]["replicas"] == 1


async def test_what_was_deleted_is_gone(kit: Kit) -> None:
    """Nothing is made by a patch."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    await kit.delete(target)
    assert refused(await kit.writer.patch(scale(target, 5), mark)) == "gone"
    assert await kit.reader.proof(target, "one") is None


async def test_a_dry_run_stores_nothing(kit: Kit) -> None:
    """It answers like the write, and the object stays as it was."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    result = await kit.writer.patch(scale(target, 4), mark, dry_run=True)
    assert isinstance(result, Applied)
    assert result.differs == ()
    live = await kit.reader.live(target)
    assert (live.image.resource_version, live.marker) == (mark.resource_version, "")
    assert (await kit.get(target))["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    "patch", [{"spec": {"replica": 3}}, {"spec": {"replicas": -1}}, {"spec": {"replicas": "three"}}]
)
async def test_what_the_server_does_not_know_is_invalid(kit: Kit, patch: dict[str, object]) -> None:
    """A misspelt field is refused, not dropped in silence; a value of no sense is too."""
    target = await kit.make()
    result = await kit.writer.patch(PatchObject(target=target, patch=patch), await kit.mark(target, "one"))
    assert refused(result) == "invalid"


@pytest.mark.parametrize("fault", [Fault.SWALLOW, Fault.HANG_AFTER, Fault.FAIL_AFTER])
async def test_a_lost_answer_is_in_doubt_and_then_proved(kit: Kit, fault: Fault) -> None:
    """The write was stored; reading back finds it, and the same write again is refused: one effect."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    kit.proxy.faults.append(fault)
    assert isinstance(await kit.writer.patch(scale(target, 2), mark), InDoubt)
    assert kit.proxy.writes == 1
    assert await kit.reader.proof(target, "one") is True
    assert refused(await kit.writer.patch(scale(target, 2), mark)) == "conflict"


@pytest.mark.parametrize("fault", [Fault.FAIL, Fault.HANG])
async def test_a_lost_write_is_in_doubt_and_then_disproved(kit: Kit, fault: Fault) -> None:
    """Nothing was stored; reading back says so, and the write may be sent again."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    kit.proxy.faults.append(fault)
    began = asyncio.get_running_loop().time()
    assert isinstance(await kit.writer.patch(scale(target, 2), mark), InDoubt)
    assert asyncio.get_running_loop().time() - began < TIMEOUT_S + 2
    assert kit.proxy.writes == 1
    assert await kit.reader.proof(target, "one") is False
    assert isinstance(await kit.writer.patch(scale(target, 2), mark), Applied)


async def test_half_an_answer_is_in_doubt_and_then_proved(kit: Kit) -> None:
    """200 was said, and the object was lost on the way: reading back finds that it was stored."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    kit.proxy.faults.append(Fault.GARBLE)
    assert isinstance(await kit.writer.patch(scale(target, 2), mark), InDoubt)
    assert await kit.reader.proof(target, "one") is True


async def test_of_many_writers_on_one_version_one_wins(kit: Kit) -> None:
    """Eight at once: one stored, seven conflicts, one change of generation."""
    target = await kit.make()
    mark = await kit.mark(target, "one")
    before = (await kit.get(target))["metadata"]["generation"]
    steps = [(scale(target, 2 + n), structs.replace(mark, action_id=f"writer-{n}", fence=n)) for n in range(8)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(kit.writer.patch(step, own)) for step, own in steps]
    results = [task.result() for task in tasks]
    assert sum(isinstance(result, Applied) for result in results) == 1
    assert sorted(refused(result) for result in results if not isinstance(result, Applied)) == ["conflict"] * 7
    assert (await kit.get(target))["metadata"]["generation"] == before + 1


async def test_an_overtaken_claim_sees_the_later_fence(kit: Kit) -> None:
    """Who looks before writing finds the fence of whoever came later, and must not write."""
    target = await kit.make()
    await kit.writer.patch(scale(target, 2), await kit.mark(target, "later", 9))
    assert (await kit.reader.live(target)).fence == 9
    await kit.change(target, {"metadata": {"annotations": {FENCE: "10"}}})
    assert (await kit.reader.live(target)).fence == 10
