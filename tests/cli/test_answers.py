"""``approve`` and ``reject``: a person's answer, once, in the ledger with the name."""

from __future__ import annotations

import getpass
import json

import pytest

from tests.cli.conftest import Type
from tests.cli.story import APPROVABLE, REJECTABLE


def _waiting(ask: Type, incident: int) -> str:
    """Return the action of an incident that waits for a person."""
    actions = json.loads(ask("explain", str(incident), "--json").out)["actions"]
    (waiting,) = [action for action in actions if action["state"] == "awaiting_approval"]
    return f"A{waiting['number']}"


def _answers(ask: Type, action: str) -> list[dict[str, object]]:
    entries = json.loads(ask("explain", action, "--json").out)["entries"]
    return [entry for entry in entries if entry["kind"] == "approval"]


def test_a_yes_is_recorded_and_counts_once(ask: Type) -> None:
    """With name and reason; a second answer finds nothing that waits."""
    action = _waiting(ask, APPROVABLE)
    said = ask("approve", action, "--reason", "the\x1b[2J database is down anyway", "--as", "mira")
    assert said.code == 0
    assert said.out == f"{action} approved by mira: it is decided anew on fresh facts, by all guards\n"
    (answer,) = _answers(ask, action)
    assert answer["actor"] == "mira"
    assert answer["summary"] == "approved by mira: the\x1b[2J database is down anyway"
    assert "\x1b" not in ask("log").out
    again = ask("reject", action.lower())
    assert (again.code, again.out) == (3, "")
    assert f"action {action} does not wait for an answer" in again.err


def test_a_no_is_recorded(ask: Type) -> None:
    """By the login name where none is given; the action is over."""
    action = _waiting(ask, REJECTABLE)
    said = ask("reject", action.removeprefix("A"))
    assert said.out == f"{action} rejected by {getpass.getuser()}: it will not be done\n"
    assert len(_answers(ask, action)) == 1
    assert "  rejected (mode ask" in ask("explain", action).out


@pytest.mark.parametrize("command", ["approve", "reject"])
@pytest.mark.parametrize(("action", "code"), [("A999999", 3), ("A1", 3), ("B1", 2), ("", 2), ("9" * 19, 2)])
def test_what_does_not_wait(ask: Type, command: str, action: str, code: int) -> None:
    """An action that is not there, is over, or is none."""
    said = ask(command, action)
    assert (said.code, said.out) == (code, "")
    assert said.err
