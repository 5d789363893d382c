"""Connections: which limits are raised and how far, what is asked first, and everything that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.actions.catalogue import ACTIONS, draft, parse
from remediator.model.database import (
    ChangedLimit,
    ConnectionLimit,
    DatabaseView,
    EndIdle,
    LimitScope,
    SetLimits,
    SetServerMaximum,
)
from remediator.model.errors import ConfigError
from remediator.model.facts import ContainerFacts, Facts
from remediator.model.owners import Keeper, Surroundings
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rung
from tests.actions.databases import MIB, ROLE, about, database
from tests.core.given import BACKSTAGE, facts, rule


def plan(action: str, world: Facts, **parameters: Any) -> Plan | CannotPlan:
    """Plan one rung."""
    return draft(Rung(action=action, parameters=parameters), BACKSTAGE, world, rule(), Policy())


def limits(world: Facts, **parameters: Any) -> SetLimits:
    """Return what an online raise sets."""
    found = plan("raise_connections", world, **parameters)
    assert isinstance(found, Plan)
    assert found.statement is not None
    assert isinstance(found.statement.statement, SetLimits)
    return found.statement.statement


def refusal(action: str, world: Facts, **parameters: Any) -> CannotPlan:
    """Return why nothing is planned."""
    found = plan(action, world, **(parameters or {"to": 150}))
    assert isinstance(found, CannotPlan)
    return found


def test_a_limit_that_is_nearly_used_up_is_raised() -> None:
    """From the value that was seen to an absolute one; the way back is planned with it, and nobody is asked twice."""
    found = plan("raise_connections", about(), step=30, max=100)
    assert isinstance(found, Plan)
    assert found.summary == (
        "raise the connection limit of role backstage from 50 to 80 in database backstage of deployment/backstage in "
        "backstage"
    )
    assert limits(about(), step=30, max=100).limits == (
        ChangedLimit(scope=LimitScope.ROLE, name="backstage", before=50, limit=80),
    )
    (back,) = found.undo
    assert str(getattr(back, "statement").limits[0]) == "role backstage from 80 to 50"  # noqa: B009 - a union's field
    assert (found.asks, found.disruptive) == (False, False)


@pytest.mark.parametrize(
    ("most", "connections", "parameters", "limit"),
    [
        (200, 200, {"to": 70}, 70),
        (200, 200, {"step": 500, "max": 9000}, 100),
        (75, 200, {"to": 100}, 75),
        (200, 85, {"to": 100}, 82),
        (200, 200, {"step": 40, "max": 60}, 60),
    ],
)
def test_caps(most: int, connections: int, parameters: dict[str, int], limit: int) -> None:
    """The rule's own, twice as many in a step, what the owner allows, and what ordinary roles can have at all."""
    seen = database(limits=(structs.replace(ROLE, most=most),), max_connections=connections, used=10)
    assert limits(about(seen), **parameters).limits[0].limit == limit


def test_only_what_is_nearly_used_up() -> None:
    """Neither a limit that is half used nor one that is none; ``full`` says what nearly means."""
    half = structs.replace(ROLE, name="half", used=25)
    none = structs.replace(ROLE, name="none", limit=-1, used=59)
    there = ConnectionLimit(scope=LimitScope.DATABASE, name="portal", limit=60, used=60, most=90)
    seen = database(limits=(half, none, there))
    assert [one.name for one in limits(about(seen), to=80).limits] == ["portal"]
    assert [one.name for one in limits(about(seen), to=80, full=50).limits] == ["half", "portal"]
    assert refusal("raise_connections", about(database(limits=(half, none)))).reason == "nothing_full"


def test_a_full_server_is_not_helped_by_limits() -> None:
    """Then people are told what is used up; sessions that idle too long can be ended all the same."""
    full = about(database(used=190))
    held = refusal("raise_connections", full)
    assert (held.reason, held.numbers["used"]) == ("server_full", 190)
    assert "190 of 197" in held.message
    assert limits(full, to=150, end_idle_after=600, end_idle_most=3) == SetLimits(
        limits=(), end_idle=EndIdle(older_than_s=600, most=3)
    )
    assert refusal("raise_connections", full, to=150, end_idle_after=3600).reason == "server_full"


def test_limits_may_be_lent() -> None:
    """Raised limits go back after the time that the rule says; sessions that ended are no loan."""
    lent = plan("raise_connections", about(), to=80, return_after="2h", end_idle_after=600)
    assert isinstance(lent, Plan)
    assert lent.return_after_s == 7200
    ended = plan("raise_connections", about(database(used=190)), to=80, return_after="2h", end_idle_after=600)
    assert isinstance(ended, Plan)
    assert (ended.return_after_s, ended.undo) == (None, ())


def test_max_connections_by_the_environment() -> None:
    """One variable of one container, by name, absolute; it restarts the database, so a person is asked."""
    found = plan("raise_max_connections", about(), to=150)
    assert isinstance(found, Plan)
    (step,) = found.steps
    assert isinstance(step, PatchObject)
    container = {"name": "postgres", "env": [{"name": "MAX_CONNECTIONS", "value": "150"}]}
    assert step.patch == {"spec": {"template": {"spec": {"containers": [container]}}}}
    assert (step.by_name, step.mark_template) == (True, True)
    assert (found.asks, found.disruptive) == (True, True)
    assert "from 100 to 150, which restarts the database" in found.summary
    unasked = plan("raise_max_connections", about(), to=150, without_asking=True)
    assert isinstance(unasked, Plan)
    assert not unasked.asks


def test_max_connections_in_the_configuration() -> None:
    """An absolute value and the one that was there; a restart is another action, and it is said so."""
    found = plan("configure_max_connections", about(), to=300)
    assert isinstance(found, Plan)
    assert found.statement is not None
    assert found.statement.statement == SetServerMaximum(before=200, value=300)
    assert found.asks
    assert "after a restart, which is a separate action" in found.summary


def test_the_cap_from_memory() -> None:
    """Four fifths of the memory less shared_buffers, by work_mem and 2 MiB: the entry's memory, or the container's."""
    tight = about(database(memory=1024 * MIB))
    found = plan("raise_max_connections", tight, to=200)
    assert isinstance(found, Plan)
    assert "to 115" in found.summary
    by_container = plan("raise_max_connections", about(database(memory=None)), to=200)
    assert isinstance(by_container, Plan)
    assert "to 200" in by_container.summary
    unlimited = {"containers": (ContainerFacts(name="postgres", max_connections="100"),)}
    assert refusal("raise_max_connections", about(database(memory=None), load=unlimited)).reason == "memory_unknown"
    small = refusal("raise_max_connections", about(database(memory=512 * MIB)))
    assert (small.reason, small.numbers["memory_allows"]) == ("at_cap", 46)
    assert "(memory allows)" in small.message


KEPT = Surroundings(keeper=Keeper(tool="Argo CD application", name="portal"))


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (about(load={"containers": ()}), "no_container"),
        (about(load={"containers": (ContainerFacts(name="postgres"),)}), "no_variable"),
        (about(load={"containers": (ContainerFacts(name="postgres", max_connections="1e3"),)}), "no_variable"),
        (about(load={"replicas": 3, "updated": 3, "ready": 3}), "pods"),
        (about(load={"paused": True}), "paused"),
        (about(load={"strategy": "OnDelete"}), "strategy"),
        (about(around=KEPT), "kept_in_git"),
        (about(database(standbys=1)), "standbys"),
    ],
)
def test_no_other_environment_is_written(world: Facts, reason: str) -> None:
    """What is not known to work is not tried on a database."""
    assert refusal("raise_max_connections", world).reason == reason


def test_a_change_that_waits_for_a_restart_is_not_made_twice() -> None:
    """What is missing is the restart; and what the owner does not allow is not tried."""
    held = refusal("configure_max_connections", about(database(pending=300)), to=350)
    assert held.reason == "pending_restart"
    assert refusal("configure_max_connections", about(database(server_most=0)), to=350).reason == "not_allowed"
    assert refusal("configure_max_connections", about(), to=150).reason == "already"


@pytest.mark.parametrize("action", sorted(name for name in ACTIONS if name.endswith("connections")))
@pytest.mark.parametrize(
    ("world", "reason", "words"),
    [
        (facts(), "no_database", "--databases"),
        (about(database=DatabaseView(problem="GRANT pg_monitor TO me")), "database_unknown", "GRANT pg_monitor"),
        (about(database(in_recovery=True)), "standby", "standby"),
        (about(database(managed_by="Patroni")), "managed", "patronictl edit-config"),
        (about(load={"operator": "CloudNativePG"}), "managed", "of its Cluster"),
    ],
)
def test_what_is_unknown_or_somebody_elses_is_held(action: str, world: Facts, reason: str, words: str) -> None:
    """For each of the three ways: a reason, and what to do instead."""
    held = refusal(action, world)
    assert held.reason == reason
    assert words in held.message


@pytest.mark.parametrize("raw", [{}, {"max": 5}, {"step": 5}, {"to": 5, "step": 5, "max": 5}, {"to": 5, "max": 5}])
def test_it_must_be_clear_how_far(raw: dict[str, int]) -> None:
    """Either a number, or a step and an end."""
    with pytest.raises(ConfigError, match="say how far"):
        parse("raise_connections", raw)
