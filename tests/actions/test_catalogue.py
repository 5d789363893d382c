"""The catalogue: every action has the one shape, and every fault of a rung is named at once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.actions.catalogue import ACTIONS, collect, draft, parse
from remediator.actions.investigate import InvestigateParameters
from remediator.actions.notify import NotifyParameters
from remediator.actions.parameters import parse_parameters
from remediator.actions.restart import RESTART, RestartParameters
from remediator.actions.scale import ScaleParameters
from remediator.actions.shape import Parameters
from remediator.model.errors import ConfigError, InvariantBroken
from remediator.model.plan import PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rung
from tests.actions.databases import about
from tests.core.given import BACKSTAGE, facts, rule

LEVERS = {"autoscaling": ("horizontalpodautoscalers",), "keda.sh": ("scaledobjects",)}
"""What may be written to instead of a workload, by API group."""

GOOD: dict[str, dict[str, Any]] = {
    "investigate": {},
    "notify": {},
    "raise_connections": {"step": 50, "max": 200},
    "raise_max_connections": {"to": 150},
    "configure_max_connections": {"to": 300},
    "restart": {"allow_single": True},
    "scale": {"to": 6},
}


def faults(action: str, raw: dict[Any, Any]) -> tuple[str, ...]:
    """Return what is wrong with a rung."""
    with pytest.raises(ConfigError) as caught:
        parse(action, raw)
    return caught.value.problems


def test_the_actions() -> None:
    """By the names that rules use."""
    assert sorted(ACTIONS) == sorted(GOOD)
    with pytest.raises(TypeError):
        ACTIONS["other"] = RESTART  # type: ignore[index]  # that it is read-only is the point


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_action_keeps_its_promises(name: str) -> None:
    """What an action says of itself is true of what it plans, and it asks for no more permissions than it needs."""
    action = ACTIONS[name]
    assert action.name == name
    assert action.title
    assert "\n" not in action.title
    world = about() if name.endswith("connections") else facts()
    plan = draft(Rung(action=name, parameters=GOOD[name]), BACKSTAGE, world, rule(), Policy())
    assert isinstance(plan, Plan)
    assert (plan.action, plan.target, plan.changes, plan.disruptive) == (
        name,
        BACKSTAGE,
        action.changes,
        action.disruptive,
    )
    config = action.parameters.__struct_config__
    assert (config.frozen, config.forbid_unknown_fields) == (True, True)
    with pytest.raises(TypeError):
        action.parameters(*GOOD[name].values(), 1)
    patches = any(isinstance(step, PatchObject) for step in plan.steps)
    verbs = {verb for permission in action.permissions for verb in permission.verbs}
    assert verbs <= {"get", "list", "patch"}
    assert ("patch" in verbs) == patches
    assert action.changes == (patches or plan.statement is not None)
    for permission in action.permissions:
        assert "*" not in (*permission.resources, *permission.verbs, permission.group)
        assert not {"secrets", "pods/exec", "deployments/scale"} & set(permission.resources)
        assert permission.cluster == (permission.resources in {("nodes",), ("applications",)})
        if "patch" in permission.verbs:
            assert (permission.group in LEVERS) == action.surroundings or permission.group == "apps"
            workloads = tuple(sorted(f"{kind.lower()}s" for kind in action.kinds))
            assert permission.resources == LEVERS.get(permission.group, workloads)


def test_good_parameters_become_the_actions_own_type() -> None:
    """With the defaults filled in."""
    assert parse("restart", {}) == RestartParameters(allow_single=False)
    assert parse("scale", {"step": 1, "max": 10}) == ScaleParameters(step=1, max=10)
    assert parse("scale", {"to": 3}) == ScaleParameters(to=3)
    assert parse("investigate", {}) == InvestigateParameters(log_lines=200)
    assert parse("investigate", {"log_lines": 1}) == InvestigateParameters(log_lines=1)
    assert parse("investigate", {"log_lines": 5000}) == InvestigateParameters(log_lines=5000)
    assert parse("notify", {"message": "look", "urgent": True}) == NotifyParameters(message="look", urgent=True)


def test_unknown_actions_are_answered_with_the_nearest() -> None:
    """Or with all that there are."""
    assert faults("restrat", {}) == ("there is no action 'restrat'; did you mean 'restart'?",)
    known = ", ".join(sorted(ACTIONS))
    assert faults("dance", {}) == (f"there is no action 'dance'; known are {known}",)


def test_every_fault_is_named_at_once() -> None:
    """A misspelt word and two wrong values: three sentences."""
    assert faults("scale", {"too": 3, "step": "1", "max": 0}) == (
        "scale has no parameter 'too'; did you mean 'to'?",
        "scale.step: expected 'int | null', got 'str'",
        "scale.max: expected 'int' >= 1",
    )


@pytest.mark.parametrize(
    ("action", "raw", "fault"),
    [
        ("restart", {"allow_single": 1}, "restart.allow_single: expected 'bool', got 'int'"),
        ("restart", {"force": True}, "restart has no parameter 'force'; known are allow_disruption, allow_single"),
        ("restart", {1: 2}, "restart has no parameter 1; known are allow_disruption, allow_single"),
        ("scale", {"to": 1001}, "scale.to: expected 'int' <= 1000"),
        ("scale", {"to": True}, "scale.to: expected 'int | null', got 'bool'"),
        (
            "scale",
            {"to": 3, "undo_after": "1h"},
            "scale has no parameter 'undo_after'; did you mean 'return_after'?",
        ),
        ("scale", {}, "scale: say how far: 'to' (how many pods), or 'step' and 'max' (how many more, up to how many)"),
        ("scale", {"max": 5}, "scale: say how far: 'to' (how many pods), or 'step' and 'max'"),
        ("scale", {"step": 1}, "scale: 'step' needs 'max': say up to how many pods"),
        ("scale", {"to": 3, "step": 1, "max": 9}, "scale: give either 'to' (how many pods), or 'step' and 'max'"),
        ("scale", {"to": 3, "max": 9}, "scale: give either 'to' (how many pods), or 'step' and 'max'"),
        ("investigate", {"log_lines": 0}, "investigate.log_lines: expected 'int' >= 1"),
        ("investigate", {"log_lines": 5001}, "investigate.log_lines: expected 'int' <= 5000"),
        ("notify", {"message": "{namespace} is sick"}, "notify: nothing in braces is filled in"),
        ("notify", {"message": "{"}, "notify: nothing in braces is filled in"),
        ("notify", {"message": "}"}, "notify: nothing in braces is filled in"),
        ("notify", {"message": "x" * 501}, "notify.message: expected 'str' of length <= 500"),
    ],
)
def test_a_fault_says_where_and_what(action: str, raw: dict[Any, Any], fault: str) -> None:
    """One sentence, which names the action and the parameter."""
    (said,) = faults(action, raw)
    assert said.startswith(fault)


def test_two_actions_may_not_share_a_name() -> None:
    """A custom action cannot take the place of ours."""
    with pytest.raises(ConfigError, match="two actions are called 'restart'"):
        collect(RESTART, structs.replace(RESTART, title="another"))
    assert list(collect(RESTART)) == ["restart"]


@pytest.mark.parametrize("rung", [Rung(action="dance", parameters={}), Rung(action="scale", parameters={"to": -1})])
def test_a_bad_rung_in_force_is_a_bug(rung: Rung) -> None:
    """The loader lets none in."""
    with pytest.raises(InvariantBroken, match="rule 'service-unavailable' is in force with a bad rung"):
        draft(rung, BACKSTAGE, facts(), rule(), Policy())


def test_parameters_may_be_required_and_renamed() -> None:
    """The check serves every type of parameters, also those of actions that are not ours."""

    class Needy(RestartParameters, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"reason_": "reason"}):
        """Parameters with one that must be given."""

        reason_: str

    needy = collect(structs.replace(RESTART, name="needy", parameters=Needy))["needy"]
    with pytest.raises(ConfigError, match="needy needs the parameter 'reason'"):
        parse_parameters(needy, {})
    assert parse_parameters(needy, {"reason": "because"}) == Needy(reason_="because")


def test_an_action_may_take_nothing() -> None:
    """Then every word is one too many."""
    plain = structs.replace(RESTART, parameters=Parameters)
    with pytest.raises(ConfigError, match="restart has no parameter 'now'; it takes none"):
        parse_parameters(plain, {"now": True})
    assert parse_parameters(plain, {}) == Parameters()


def test_a_workload_is_needed_by_what_changes_it() -> None:
    """Unknown is not planned on, whoever asks; telling people works without."""
    unread = facts(workload=None, problem="cluster_unreachable")
    for name in ("restart", "scale"):
        nothing = draft(Rung(action=name, parameters=GOOD[name]), BACKSTAGE, unread, rule(), Policy())
        assert not isinstance(nothing, Plan)
        assert nothing.reason == "unknown"
    told = draft(Rung(action="notify", parameters={}), BACKSTAGE, unread, rule(), Policy())
    assert isinstance(told, Plan)
    assert "state unknown (cluster_unreachable)" in str(told.steps[0])
