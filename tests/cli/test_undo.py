"""``remediator undo``: what can be told at once, the wish in the ledger, and the end of it."""

from __future__ import annotations

import asyncio
import getpass
import json

import pytest

from remediator.model.rule import Rung
from remediator.model.signal import Status
from tests.cli.conftest import Type
from tests.cli.story import APPROVABLE
from tests.flow.rig import a_rule, alert, deployment, rig

SCALE = a_rule(ladder=(Rung(action="scale", parameters={"step": 3, "max": 20}),))


@pytest.fixture
def scaled(database: str) -> str:
    """A ledger in which one Deployment was scaled, and the alert is over."""
    asyncio.run(_scale(database))
    return database


async def _scale(dsn: str) -> None:
    async with rig(dsn, SCALE) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["recovered"]


def wishes(cli: Type, dsn: str) -> list[dict[str, object]]:
    """Return the ledger's entries about what was asked for."""
    entries = json.loads(cli("explain", "A1", "--json", "--database-url", dsn).out)["entries"]
    return [entry for entry in entries if entry["kind"] == "undo.asked"]


def test_a_wish_is_recorded_with_name_and_reason(cli: Type, scaled: str) -> None:
    """And it waits for the daemon; a second one finds it waiting. Control characters are spelt."""
    said = cli(
        "undo", "A1", "--no-wait", "--as", "mi\x1b[2Jra", "--reason", "the peak is over", "--database-url", scaled
    )
    assert (said.code, said.err) == (0, "")
    assert "A1 (scale deployment/backstage in backstage from 3 to 6 pods): the daemon is asked to undo it" in said.out
    assert "within 10 min or not at all" in said.out
    (wish,) = wishes(cli, scaled)
    assert (wish["actor"], wish["summary"]) == ("mi\x1b[2Jra", "mi\x1b[2Jra asks to undo it: the peak is over")
    again = cli("undo", "a1", "--no-wait", "--database-url", scaled)
    assert "somebody has asked for this already" in again.out
    assert len(wishes(cli, scaled)) == 1
    assert "\x1b" not in cli("log", "--database-url", scaled).out


def test_the_login_name_is_taken_where_none_is_given(cli: Type, scaled: str) -> None:
    """As with every answer of a person."""
    assert cli("undo", "1", "--no-wait", "--database-url", scaled).code == 0
    assert wishes(cli, scaled)[0]["actor"] == getpass.getuser()


def test_what_the_ledger_alone_rules_out_is_said_at_once(ask: Type) -> None:
    """A restart leaves nothing behind, and what was never carried out has changed nothing."""
    actions = json.loads(ask("explain", str(APPROVABLE), "--json").out)["actions"]
    said = ask("undo", f"A{actions[0]['number']}")
    assert (said.code, said.out) == (1, "")
    assert "cannot be undone: it has changed nothing" in said.err
    restarted = next(
        action
        for action in json.loads(ask("explain", "1", "--json").out)["actions"]
        if action["plan"]["action"] == "restart"
    )
    said = ask("undo", f"A{restarted['number']}")
    assert (said.code, said.out) == (1, "")
    assert "a restart leaves nothing behind that could be brought back" in said.err


@pytest.mark.parametrize(("action", "code"), [("A999999", 3), ("B1", 2), ("", 2), ("9" * 19, 2)])
def test_what_is_no_action(ask: Type, action: str, code: int) -> None:
    """One that is not in the ledger, or none at all."""
    said = ask("undo", action)
    assert (said.code, said.out) == (code, "")
    assert said.err
