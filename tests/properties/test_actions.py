"""What plans can never be, whatever the workload and the parameters."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from remediator.actions.catalogue import ACTIONS, draft, parse
from remediator.actions.shape import Parameters
from remediator.core.bounds import highest_replicas
from remediator.core.preflight import recheck
from remediator.model.errors import ConfigError
from remediator.model.facts import WorkloadFacts
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rung
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, action, facts, rule, workload

POSITIVE = st.integers(1, 1000)
SCALE = st.one_of(
    POSITIVE.map(lambda to: {"to": to}),
    st.tuples(POSITIVE, POSITIVE).map(lambda both: {"step": both[0], "max": both[1]}),
)
LOADS = st.builds(
    lambda kind, replicas, paused, strategy, deleting: workload(
        structs.replace(BACKSTAGE, kind=kind), replicas=replicas, paused=paused, strategy=strategy, deleting=deleting
    ),
    st.sampled_from(list(Kind)),
    st.one_of(st.integers(0, 2), st.integers(0, 60)),
    st.booleans(),
    st.sampled_from(["RollingUpdate", "Recreate", "OnDelete"]),
    st.booleans(),
)


def planned(name: str, parameters: dict[str, Any], load: WorkloadFacts, policy: Policy) -> Plan | CannotPlan:
    """Plan one action."""
    return draft(Rung(action=name, parameters=parameters), load.target, facts(load), rule(), policy)


@settings(max_examples=500)
@given(LOADS, SCALE, st.integers(1, 60))
def test_scaling_only_ever_adds_within_its_caps(load: WorkloadFacts, parameters: dict[str, int], most: int) -> None:
    """Never down, never from or to zero, never above the rule's cap, the policy's, or one step."""
    plan = planned("scale", parameters, load, Policy(max_replicas=most))
    if isinstance(plan, CannotPlan):
        assert plan.message
        return
    (step,), (back,) = plan.steps, plan.undo
    assert isinstance(step, PatchObject)
    assert isinstance(back, PatchObject)
    count = step.patch["spec"]["replicas"]
    assert 0 < load.replicas < count <= most
    assert count <= parameters.get("max", 1000)
    assert count <= parameters.get("to", 1000)
    assert count <= highest_replicas(load.replicas) <= load.replicas + max(load.replicas, 4)
    assert (step.patch, step.expected) == ({"spec": {"replicas": count}}, {"spec.replicas": count})
    assert (back.patch, back.expected) == ({"spec": {"replicas": load.replicas}}, {"spec.replicas": load.replicas})
    assert not step.mark_template
    assert load.target.kind is not Kind.DAEMONSET


@settings(max_examples=300)
@given(LOADS, st.booleans())
def test_a_restart_changes_nothing_but_the_mark(load: WorkloadFacts, single: bool) -> None:
    """No image, no number of pods, no field of the workload at all; and only on what rolls."""
    plan = planned("restart", {"allow_single": single}, load, Policy())
    if isinstance(plan, CannotPlan):
        return
    (step,) = plan.steps
    assert isinstance(step, PatchObject)
    assert step.patch == {}
    assert step.expected == {}
    assert step.mark_template
    written = msgspec.json.encode(plan)
    assert b"image" not in written
    assert b"replicas" not in msgspec.json.encode(plan.steps)
    alone = single and load.replicas == 1
    assert load.strategy == "RollingUpdate" or (alone and load.strategy == "Recreate")
    assert not load.paused
    assert load.replicas > 1 or alone


@settings(max_examples=300)
@given(LOADS, SCALE, st.sampled_from(["scale", "restart"]))
def test_what_is_planned_passes_the_last_look_if_nothing_happens(
    load: WorkloadFacts, parameters: dict[str, int], name: str
) -> None:
    """Planning and the last look agree about one and the same object."""
    plan = planned(name, parameters if name == "scale" else {}, load, Policy())
    if isinstance(plan, Plan):
        assert recheck(action(plan), facts(load), rule(), Policy()) is None


WORDS = st.sampled_from(["to", "step", "max", "allow_single", "log_lines", "message", "urgent", "tto", "", "{x}"])
JSON = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers()))


@settings(max_examples=500)
@given(st.sampled_from(sorted(ACTIONS)), st.dictionaries(WORDS, JSON, max_size=5))
def test_any_parameters_are_taken_or_refused_with_every_fault(name: str, raw: dict[str, Any]) -> None:
    """Nothing else comes out, and no unknown word passes unnamed."""
    known = set(ACTIONS[name].parameters.__struct_fields__)
    taken, problems = outcome(name, raw)
    assert (taken is None) == bool(problems)
    assert all(problem.startswith(name) for problem in problems)
    for word in set(raw) - known:
        assert any(repr(word) in problem for problem in problems)


def outcome(name: str, raw: dict[str, Any]) -> tuple[Parameters | None, tuple[str, ...]]:
    """Return the parameters, or what is wrong with them."""
    try:
        return parse(name, raw), ()
    except ConfigError as error:
        return None, error.problems
