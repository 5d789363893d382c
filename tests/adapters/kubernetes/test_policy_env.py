"""Of all environment variables the admission policy lets our user change one: a database's number of connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.model.plan import PatchObject
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Applied, WriteRefused
from tests.adapters.kubernetes.test_policy import SECOND, WEB, Guarded, send, standing

TARGET = Target(kind=Kind.DEPLOYMENT, namespace="shop", name="web")


async def database(guarded: Guarded) -> str:
    """Give the Deployment's container the environment of a database; return the container's name."""
    container = guarded.sandbox.workload("Deployment", "shop", "web")["spec"]["template"]["spec"]["containers"][0]
    env = [{"name": "MAX_CONNECTIONS", "value": "100"}, {"name": "PGDATA", "value": "/data"}]
    body = {"spec": {"template": {"spec": {"containers": [{**container, "env": env}]}}}}
    assert (await send(guarded.others, "PATCH", WEB, body)).ok
    return str(container["name"])


def env(container: str, *variables: dict[str, Any], **more: Any) -> PatchObject:
    """Return the step that changes variables of a container by name."""
    spec = {"containers": [{"name": container, "env": list(variables), **more}]}
    path = f"spec.template.spec.containers.{container}.env.{variables[0]['name']}.value"
    return PatchObject(
        target=TARGET,
        patch={"spec": {"template": {"spec": spec}}},
        expected={path: variables[0].get("value")},
        mark_template=True,
        by_name=True,
    )


def connections(value: str) -> dict[str, str]:
    """Return the one variable."""
    return {"name": "MAX_CONNECTIONS", "value": value}


async def test_the_number_of_connections_may_be_raised(tmp_path: Path) -> None:
    """By the name of its container; every other variable stays, and it goes back the same way."""
    async with standing(tmp_path) as guarded:
        name = await database(guarded)
        for fence, value in ((5, "200"), (6, "100")):
            done = await guarded.write(env(name, connections(value)), fence, action=SECOND)
            assert isinstance(done, Applied)
            assert done.differs == ()
        (container,) = guarded.sandbox.workload("Deployment", "shop", "web")["spec"]["template"]["spec"]["containers"]
        assert container["env"] == [connections("100"), {"name": "PGDATA", "value": "/data"}]
        assert guarded.fence("Deployment", "web") == "6"


@pytest.mark.parametrize(
    ("variables", "more"),
    [
        ([connections("201")], {}),
        ([connections("0")], {}),
        ([connections("lots")], {}),
        ([connections("100; rm")], {}),
        ([{"name": "PGDATA", "value": "/tmp"}], {}),  # noqa: S108 - no file of ours
        ([{"name": "EVIL", "value": "1"}], {}),
        ([connections("150")], {"image": "example.com/other:1"}),
        ([connections("150")], {"command": ["sh"]}),
        ([{"name": "MAX_CONNECTIONS", "value": None, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}], {}),
    ],
)
async def test_nothing_else_of_the_environment(tmp_path: Path, variables: list[dict[str, Any]], more: Any) -> None:
    """Neither too big a step, nor what is no number, nor any other variable, nor something along with it."""
    async with standing(tmp_path) as guarded:
        name = await database(guarded)
        before = guarded.sandbox.workload("Deployment", "shop", "web")
        refused = await guarded.write(env(name, *variables, **more), 5)
        assert isinstance(refused, WriteRefused)
        assert "remediator-workloads" in refused.message
        assert guarded.sandbox.workload("Deployment", "shop", "web") == before
        assert {ACTION, FENCE}.isdisjoint(before["metadata"].get("annotations", {}))


async def test_a_variable_that_was_no_number_is_not_ours(tmp_path: Path) -> None:
    """Where it was not set, or comes from elsewhere, nothing is known of what it was: it may not be set."""
    async with standing(tmp_path) as guarded:
        name = guarded.sandbox.workload("Deployment", "shop", "web")["spec"]["template"]["spec"]["containers"][0][
            "name"
        ]
        assert isinstance(await guarded.write(env(name, connections("100")), 5), WriteRefused)
