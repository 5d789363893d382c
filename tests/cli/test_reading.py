"""``explain`` and ``status``: why it did, or did not, act; from the ledger alone."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.acceptance.daemon import free_port
from tests.cli.conftest import Said, Type
from tests.cli.story import HEALED, REFUSED, tell
from tests.cli.test_log import CONTROL

READERS = (["log"], ["status"], ["explain", "1"], ["approve", "A1"], ["reject", "A1"])


def test_an_incident_is_explained(ask: Type) -> None:
    """What it was about, what was sent, what was seen, and each step in time."""
    said = ask("explain", f"#{HEALED}")
    assert said.code == 0
    assert said.lines[0] == f"Incident #{HEALED}: BackstageDown: deployment/backstage in backstage"
    assert "P1, resolved, opened" in said.lines[1]
    assert "Action A2: restart deployment/backstage in backstage" in said.out
    assert '"remediator.io/' in said.out or '"kubectl.kubernetes.io/restartedAt"' in said.out or "  patch {" in said.out
    assert "recovered (mode enforce, rung 1" in said.out
    assert "Timeline" in said.lines
    assert re.search(r"\d+: [\d :-]+ UTC, \d+ KiB, sha256 [0-9a-f]{16}, deployment/backstage/backstage", said.out)
    assert ask("explain", str(HEALED)).out == said.out


def test_an_action_is_explained(ask: Type) -> None:
    """By its number, in any case; only what belongs to it."""
    said = ask("explain", "A2")
    assert said.code == 0
    assert f"Incident #{HEALED}" in said.lines[0]
    assert "Action A1" not in said.out
    assert ask("explain", "a2").out == said.out


def test_a_refusal_is_explained_with_its_numbers(ask: Type) -> None:
    """The guard, what it saw, and nothing that the hostile label wanted."""
    said = ask("explain", str(REFUSED))
    assert "opted_out: annotation=remediator.io/opt-out, value=true" in said.out
    assert "Evil\\x1b[2J" in said.lines[0]
    assert not CONTROL.search(said.out)


def test_evidence_is_printed_when_asked_for(ask: Type) -> None:
    """Its parts by name; otherwise it is said how to see them."""
    assert f"remediator explain {HEALED} --evidence prints it" in ask("explain", str(HEALED)).out
    said = ask("explain", str(HEALED), "--evidence")
    assert "== pods" in said.out
    assert not CONTROL.search(said.out)


def test_everything_as_json(ask: Type) -> None:
    """One object, on one line, harmless to show."""
    said = ask("explain", str(REFUSED), "--json")
    assert len(said.lines) == 1
    whole = json.loads(said.out)
    assert set(whole) == {"incident", "actions", "entries", "evidence"}
    assert "\u202e" in whole["incident"]["title"]
    assert not CONTROL.search(said.out)
    assert json.loads(ask("explain", str(HEALED), "--json", "--evidence").out)["evidence"][0]["content"]["parts"]


@pytest.mark.parametrize("what", ["999", "A999", "#999"])
def test_what_is_not_in_the_ledger(ask: Type, what: str) -> None:
    """Another exit code than a mistake's, and where to look."""
    said = ask("explain", what)
    assert (said.code, said.out) == (3, "")
    assert "the ledger has no" in said.err


@pytest.mark.parametrize("what", ["", "backstage", "A", "#", "1.5", "9" * 30, "\x1b[2J"])
def test_what_is_no_number(ask: Type, what: str) -> None:
    """Nothing is asked of the database, and nothing typed takes the terminal over."""
    said = ask("explain", what)
    assert said.code == 2
    assert "is neither an incident (17, #17) nor an action (A42)" in said.err
    assert not CONTROL.search(said.err)


def test_status(ask: Type) -> None:
    """What waits, what is open, what was done; readable, and nothing of the hostile label in it."""
    said = ask("status")
    assert said.code == 0
    assert re.match(r"Alerts firing: \d+   ledger entries: \d+$", said.lines[0])
    assert re.search(r"^incidents: .*1 resolved", said.out, re.MULTILINE)
    assert re.search(r"^actions of the last 24 h: .*1 recovered", said.out, re.MULTILINE)
    assert re.search(rf"^#{REFUSED} +P3 +\w+ +\S+ \S+ +deployment/backstage/frozen +Evil\\x1b", said.out, re.MULTILINE)
    assert not CONTROL.search(said.out)


def test_status_says_what_it_leaves_out(cli: Type, database: str) -> None:
    """A list that is cut in silence reads as the whole; with the limit that is named, all is shown."""
    asyncio.run(tell(database))

    def ask(*words: str) -> Said:
        return cli(*words, "--database-url", database)

    whole = json.loads(ask("status", "--json").out)
    open_in_all, asked_in_all = len(whole["open"]), len(whole["asked"])
    assert (whole["open_in_all"], whole["asked_in_all"]) == (open_in_all, asked_in_all)
    assert min(open_in_all, asked_in_all) > 1
    cut = ask("status", "--limit", "1")
    assert f"and {open_in_all - 1} more open incidents; --limit {open_in_all} shows all {open_in_all}" in cut.lines
    assert f"and {asked_in_all - 1} more questions; --limit {asked_in_all} shows all {asked_in_all}" in cut.lines
    assert len([line for line in cut.lines if line.startswith("#")]) == 1
    assert " more " not in ask("status", "--limit", str(open_in_all)).out
    assert len(json.loads(ask("status", "--json", "--limit", "1").out)["open"]) == 1


@pytest.mark.parametrize("limit", ["0", "-1", "all", "9999999"])
def test_a_bad_limit(cli: Type, limit: str) -> None:
    """Nothing means unlimited."""
    said = cli("status", f"--limit={limit}")
    assert said.code == 2
    assert "write 1 to 999999" in said.err


def test_status_as_json(ask: Type) -> None:
    """The same figures, and the open incidents."""
    whole = json.loads(ask("status", "--json").out)
    assert whole["actions"]["recovered"] == 1
    assert {incident["id"] for incident in whole["open"]} >= {REFUSED}
    assert whole["database_time"]


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_nobody_at_the_database(cli: Type, words: list[str]) -> None:
    """The reason and exit code 1, no traceback, no password."""
    said = cli(*words, "--database-url", f"postgresql://remediator:hunter2@127.0.0.1:{free_port()}/x")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("remediator: ")
    assert "hunter2" not in said.err


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_no_ledger_on_this_machine(cli: Type, tmp_path: Path, words: list[str]) -> None:
    """Told where it was looked for, and what to give."""
    said = cli(*words, "--state-dir", str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert f"there is no ledger in {tmp_path}" in said.err
    assert "--database-url" in said.err


def test_a_bad_connection_string(cli: Type) -> None:
    """Named without what it holds."""
    said = cli("status", "--database-url", "oracle://user:hunter2@db")
    assert said.code == 2
    assert "--database-url: its value is no connection string" in said.err
    assert "hunter2" not in said.err
