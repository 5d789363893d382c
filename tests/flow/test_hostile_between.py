"""Something happens to the object between the decision's read, on which the write rests, and the write."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from remediator.sandbox.resources import DEPLOYMENTS
from tests.flow.rig import Rig, alert, deployment, rig
from tests.flow.test_doubt import QUICK, abandon
from tests.flow.test_flow import step
from tests.flow.test_hostile_news import structs_replace

PATIENT = structs_replace(QUICK, read_again_s=60.0)


def asked(r: Rig) -> list[tuple[str, int]]:
    """Return method and status of every request for the Deployment itself, in order."""
    return [(one.method, one.status) for one in r.sandbox.requests if one.path.endswith("/deployments/backstage")]


def change(r: Rig, patch: Callable[[dict[str, Any]], None]) -> None:
    """Change the Deployment as somebody else would."""
    live = copy.deepcopy(r.live())
    patch(live)
    r.sandbox.store.update(DEPLOYMENTS, live)


async def decide(r: Rig) -> None:
    """Let an alert be decided about, and nothing more."""
    r.put(deployment())
    await r.deliver(alert())
    await step(r, "match", "assess", "admit")


async def test_the_read_of_the_decision_serves_the_write(database: str) -> None:
    """Nothing has happened: one read, one write."""
    async with rig(database, bounds=PATIENT) as r:
        await decide(r)
        await step(r, "execute")
        assert asked(r) == [("GET", 200), ("PATCH", 200)]
        assert await r.states() == ["verifying"]
        (row,) = await r.rows("SELECT before_image ->> 'generation' AS generation FROM remediator.actions")
        assert row["generation"] == "1"


async def test_a_read_that_is_too_old_is_made_anew(database: str) -> None:
    """By its age alone: nothing has happened either."""
    async with rig(database, bounds=structs_replace(QUICK, read_again_s=0.0)) as r:
        await decide(r)
        await step(r, "execute")
        assert asked(r) == [("GET", 200), ("GET", 200), ("PATCH", 200)]


async def test_a_change_of_the_status_alone_makes_it_be_read_again(database: str) -> None:
    """The version has moved, so the write is refused; on the new version it has its one effect."""
    async with rig(database, bounds=PATIENT) as r:
        await decide(r)
        r.rolled_out(conditions=[{"type": "Available", "status": "True"}])
        await step(r, "execute")
        assert asked(r) == [("GET", 200), ("PATCH", 409), ("GET", 200), ("PATCH", 200)]
        assert r.live()["metadata"]["generation"] == 2
        assert (await r.kinds()).count("action.applied") == 1


def opt_out(live: dict[str, Any]) -> None:
    """Let the owner want no automatic changes."""
    live["metadata"]["annotations"] = {"remediator.io/opt-out": "true"}


def deploy(live: dict[str, Any]) -> None:
    """Begin a rollout."""
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/app:2"


def overtake(live: dict[str, Any]) -> None:
    """Write as a later owner of another action has."""
    live["metadata"]["annotations"] = {"remediator.io/fence": "999999", "remediator.io/action": "somebody-else"}


@pytest.mark.parametrize(
    ("what", "reason"), [(opt_out, "opted_out"), (deploy, "rollout_in_progress"), (overtake, "overtaken")]
)
async def test_what_has_happened_is_respected(
    database: str, what: Callable[[dict[str, Any]], None], reason: str
) -> None:
    """The write that rests on the old version is refused by the API server, and on the new one it is not wanted."""
    async with rig(database, bounds=PATIENT) as r:
        await decide(r)
        change(r, what)
        before = r.live()
        await step(r, "execute")
        assert ((await r.states())[0], r.live()) == ("refused", before)
        (entry,) = [one for one in await r.entries() if one.kind == "action.refused"]
        assert entry.reasons == (reason,)
        assert asked(r)[:3] == [("GET", 200), ("PATCH", 409), ("GET", 200)]


async def test_an_object_that_was_made_anew_is_not_written_to(database: str) -> None:
    """It has the name, and the version of the old one means nothing to it."""
    async with rig(database, bounds=PATIENT) as r:
        await decide(r)
        r.sandbox.store.delete(DEPLOYMENTS, "backstage", "backstage")
        before = r.put(deployment())
        await step(r, "execute")
        assert ((await r.states())[0], r.live()) == ("refused", before)


async def test_a_write_of_a_dead_owner_is_looked_for_with_a_read_of_its_own(database: str) -> None:
    """The decision's read is from before it, and would not show its mark."""
    async with rig(database, bounds=PATIENT) as r:
        await decide(r)
        (row,) = await r.rows("SELECT id FROM remediator.actions")
        await abandon(r, "claimed")
        change(r, lambda live: live["metadata"].update(annotations={"remediator.io/action": row["id"]}))
        await step(r, "execute")
        assert await r.states() == ["verifying"]
        assert [method for method, _ in asked(r)] == ["GET", "GET"]
