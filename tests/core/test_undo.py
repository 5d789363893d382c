"""Undo as pure functions: what is returned, what stands in its way, and what counts as somebody else's change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as supposing
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.undo import MARK, WAITS_S, obstacle, proposal, spell, too_late, touched_since, undoing
from remediator.model.action import ActionState, BeforeImage
from remediator.model.decision import HoldReason, Refusal
from remediator.model.incident import Candidate, Cause
from remediator.model.plan import CaptureEvidence, PatchObject, Plan
from remediator.model.undo import Former
from tests.core.given import NOW, facts, workload

TARGET = workload().target
ID = "a" * 40
BEFORE: dict[str, Any] = {
    "metadata": {"name": "web", "resourceVersion": "7", "annotations": {MARK: "old", "remediator.io/fence": "3"}},
    "spec": {
        "replicas": 3,
        "strategy": {"type": "RollingUpdate"},
        "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": {}},
            "spec": {
                "containers": [
                    {"name": "app", "image": "app:1", "env": [{"name": "A", "value": "sha256:1"}]},
                    {"name": "side", "image": "side:1"},
                ]
            },
        },
    },
}


def plan(patch: dict[str, Any], *, mark_template: bool = False) -> Plan:
    """Return a plan of one write, with a look before it."""
    steps = (CaptureEvidence(target=TARGET), PatchObject(target=TARGET, patch=patch, mark_template=mark_template))
    return Plan(action="scale", target=TARGET, summary="scale it", steps=steps, changes=True)


def former(patch: dict[str, Any] | None = None, **changes: Any) -> Former:
    """Return an action that scaled from 3 to 6 pods, unless another patch is given, and helped."""
    image = BeforeImage(resource_version="7", uid=TARGET.uid, generation=4, object=BEFORE)
    base = Former(
        number=42,
        id=ID,
        incident=7,
        rule="r",
        state=ActionState.RECOVERED,
        target=TARGET,
        plan=plan({"spec": {"replicas": 6}} if patch is None else patch),
        before=image,
        applied_at=NOW,
    )
    return structs.replace(base, **changes)


def left(**spec: Any) -> dict[str, Any]:
    """Return the object as the action left it, with another spec where one is given."""
    marks = {MARK: ID, "remediator.io/fence": "9", "deployment.kubernetes.io/revision": "5"}
    return {
        "metadata": {"resourceVersion": "99", "annotations": marks},
        "spec": {**BEFORE["spec"], "replicas": 6, **spec},
    }


CANDIDATE = Candidate(
    id=1,
    cause=Cause.UNDO,
    rule="r",
    rung=-1,
    source="undo",
    fingerprint="42",
    labels={},
    first_seen_at=NOW,
    approved_by="mira",
)


def test_the_former_values_come_back() -> None:
    """One absolute patch, with what it must find and what it must leave."""
    undo = proposal(CANDIDATE, structs.replace(facts(), undo=undoing(former(), left())))
    assert isinstance(undo, Plan)
    (step,) = undo.steps
    assert isinstance(step, PatchObject)
    assert (step.patch, step.expected, step.mark_template) == ({"spec": {"replicas": 3}}, {"spec.replicas": 3}, False)
    assert undo.undoes is not None
    assert (undo.undoes.action, undo.undoes.mark) == (42, ID)
    assert (undo.changes, undo.disruptive, undo.undo) == (True, False, ())
    assert "undo A42" in undo.summary
    assert "asked for by mira: spec.replicas 6 -> 3" in undo.summary
    assert touched_since(undo, left()) is None


def test_what_was_not_there_is_taken_away() -> None:
    """A value that the action has added is removed."""
    undo = undoing(former({"spec": {"paused": True}}), left(replicas=3, paused=True))
    assert undo.differences == ()
    made = proposal(CANDIDATE, structs.replace(facts(), undo=undo))
    assert isinstance(made, Plan)
    assert isinstance(made.steps[0], PatchObject)
    assert made.steps[0].patch == {"spec": {"paused": None}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": ActionState.VERIFYING}, "it is still under way (verifying)"),
        ({"state": ActionState.IN_DOUBT, "applied_at": None}, "it is still under way (in_doubt)"),
        ({"state": ActionState.REFUSED, "applied_at": None}, "it has changed nothing (refused)"),
        ({"before": None}, "it has changed nothing"),
        ({"undone_by": 57}, "A57 undoes it already"),
        ({"plan": plan({}, mark_template=True)}, "a scale leaves nothing behind"),
        ({"plan": plan({"spec": {"template": {"spec": {"containers": []}}}})}, "was not kept whole"),
        ({"plan": plan({"spec": {"strategy": {"type": "Recreate"}}})}, "spec.strategy.type was not kept whole"),
    ],
)
def test_what_cannot_be_undone_is_told(changes: dict[str, Any], why: str) -> None:
    """From the ledger alone; then the object does not matter."""
    one = former(**changes)
    assert why in obstacle(one)
    refused = proposal(CANDIDATE, structs.replace(facts(), undo=undoing(one, {})))
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.retry_at) == (HoldReason.CANNOT_PLAN, None)
    assert "A42 cannot be undone: " in refused.message


def test_an_undo_is_not_undone() -> None:
    """What a person has taken back, a person may do again."""
    made = proposal(CANDIDATE, structs.replace(facts(), undo=undoing(former(), left())))
    assert isinstance(made, Plan)
    assert obstacle(former(plan=made)) == "it undid something itself; do what is wanted by hand"


def pods(**container: Any) -> dict[str, Any]:
    """Return the pod template with other fields of its first container."""
    template: dict[str, Any] = BEFORE["spec"]["template"]
    first, second = template["spec"]["containers"]
    return {**template, "spec": {"containers": [{**first, **container}, second]}}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (left(replicas=9), "spec.replicas: 6 -> 9"),
        (left(replicas=None), "spec.replicas: 6 -> nothing"),
        (left(strategy={"type": "Recreate"}), "spec.strategy.type: RollingUpdate -> Recreate"),
        (left(minReadySeconds=5), "spec.minReadySeconds: nothing -> 5"),
        (left(template=pods(image="app:2")), "spec.template.spec.containers.app.image: app:1 -> app:2"),
        (
            left(template=pods(env=[{"name": "A", "value": "sha256:2"}])),
            "spec.template.spec.containers.app.env.A.value: sha256:1 -> sha256:2",
        ),
        (
            left(template=pods(env=[])),
            'spec.template.spec.containers.app.env.A: {"name":"A","value":"sha256:1"} -> nothing',
        ),
        (
            {**left(), "metadata": {"annotations": {MARK: "b" * 40}}},
            f"metadata.annotations[remediator.io/action]: {ID} -> {'b' * 40}",
        ),
        ({**left(), "metadata": {}}, f"metadata.annotations[remediator.io/action]: {ID} -> nothing"),
    ],
)
def test_what_others_have_changed_is_told_path_by_path(now: dict[str, Any], told: str) -> None:
    """Ours -> theirs; nothing is planned, and time alone does not change it."""
    refused = proposal(CANDIDATE, structs.replace(facts(), undo=undoing(former(), now)))
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.retry_at) == (HoldReason.CHANGED_SINCE, None)
    assert refused.message.endswith(f"ours -> theirs: {told}")


def test_many_changes_are_told_shortly() -> None:
    """Eight of them, and how many more there are; all are in the numbers."""
    undo = undoing(former(), left(**{f"field{number}": number for number in range(12)}))
    refused = proposal(CANDIDATE, structs.replace(facts(), undo=undo))
    assert isinstance(refused, Refusal)
    assert refused.message.endswith("; and 4 more")
    assert len(refused.numbers) == 12


def test_versions_and_marks_that_move_by_themselves_do_not_count() -> None:
    """resourceVersion, the fence and the revision are nobody's change."""
    assert undoing(former(), left()).differences == ()


@pytest.mark.parametrize(
    "now", [left(replicas=5), {**left(), "metadata": {"annotations": {MARK: "b" * 40}}}, {"metadata": {}}]
)
def test_the_last_look_is_at_what_was_written(now: dict[str, Any]) -> None:
    """The values and the mark, on the object as it is just before the write."""
    made = proposal(CANDIDATE, structs.replace(facts(), undo=undoing(former(), left())))
    assert isinstance(made, Plan)
    refused = touched_since(made, now)
    assert refused is not None
    assert refused.reason is HoldReason.CHANGED_SINCE
    assert touched_since(plan({"spec": {"replicas": 6}}), now) is None, "other plans have their own last look"


def test_a_wish_grows_old() -> None:
    """Ten minutes, counted from when it was asked for."""
    assert too_late(CANDIDATE, NOW + timedelta(seconds=WAITS_S)) is None
    refused = too_late(CANDIDATE, NOW + timedelta(seconds=WAITS_S + 1))
    assert refused is not None
    assert (refused.reason, refused.retry_at) == (HoldReason.STALE_FACTS, None)


def test_a_target_that_cannot_be_read_is_no_plan() -> None:
    """Unknown is neither as we left it nor changed."""
    gone = structs.replace(facts(), workload=None, problem="cluster_unreachable", retryable=True)
    refused = proposal(CANDIDATE, gone)
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.retry_at is not None) == (HoldReason.CLUSTER_UNREACHABLE, True)


def test_paths_are_spelt_for_people() -> None:
    """Keys that hold dots or slashes stand in brackets."""
    assert spell(("spec", "replicas")) == "spec.replicas"
    assert spell(("metadata", "annotations", "a.b/c")) == "metadata.annotations[a.b/c]"


VALUES = st.one_of(st.integers(0, 9), st.booleans(), st.none())
SPECS = st.dictionaries(
    st.sampled_from(["replicas", "paused", "minReadySeconds"]),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["a", "b"]), VALUES, min_size=1, max_size=2)),
    max_size=3,
)


@supposing(before=SPECS, patch=st.dictionaries(st.sampled_from(["replicas", "paused"]), st.integers(0, 9), min_size=1))
def test_undo_after_do_is_what_was_there(before: dict[str, Any], patch: dict[str, Any]) -> None:
    """Whatever flat values were written over whatever was there: applied after each other, nothing is left of it."""
    image = BeforeImage(resource_version="1", uid=TARGET.uid, generation=1, object={"metadata": {}, "spec": before})
    one = former({"spec": patch}, before=image)
    now = {"metadata": {"annotations": {MARK: ID}}, "spec": _merge(before, patch)}
    undo = undoing(one, now)
    if undo.obstacle:
        assert "not kept whole" in undo.obstacle
        return
    assert undo.differences == ()
    made = proposal(CANDIDATE, structs.replace(facts(), undo=undo))
    assert isinstance(made, Plan)
    assert isinstance(made.steps[0], PatchObject)
    wanted = {key: value for key, value in before.items() if value is not None}
    assert _merge(now["spec"], made.steps[0].patch["spec"]) == wanted


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge as RFC 7386 has it, for values that are not objects."""
    merged = {**below, **above}
    return {key: value for key, value in merged.items() if value is not None}
