"""``remediator log``: aligned, plain in a pipe, and not to be taken over by what it shows."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import asyncpg
import pytest

from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.record import LedgerAppender
from remediator.cli import lines
from remediator.cli.log import since
from remediator.model.entry import EntryKind, NewEntry
from tests.acceptance.daemon import clean_environment
from tests.cli.conftest import Type
from tests.cli.story import HEALED, UNMATCHED

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (#\d+ +|  +)(A\d+ +|  +)\S")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_every_kind_of_entry_has_a_word() -> None:
    """A new kind without one would break the log at the worst moment."""
    assert set(lines.WORDS) == set(EntryKind)
    assert all(len(word) <= 9 for word, _ in lines.WORDS.values())


def test_the_log_is_aligned_and_plain(ask: Type) -> None:
    """A head, one line an entry, times first, no colours, nothing that moves a terminal."""
    said = ask("log")
    assert said.code == 0
    assert said.lines[0] == lines.HEAD
    assert all(LINE.match(line) for line in said.lines[1:])
    assert {line.index(" ", 60) >= 0 for line in said.lines[1:]} == {True}
    assert not CONTROL.search(said.out)
    assert "Evil\\x1b[2J" in said.out
    assert UNMATCHED in said.out
    assert said.err == ""


def test_json_is_one_object_a_line(ask: Type) -> None:
    """Every entry with all its numbers, in order, and no head."""
    said = ask("log", "--json")
    entries = [json.loads(line) for line in said.lines]
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    assert {"seq", "at", "kind", "summary", "incident", "action", "rule", "reasons", "data"} <= set(entries[0])
    assert len(entries) == len(ask("log").lines) - 1


def test_one_incident_alone(ask: Type) -> None:
    """By its number, with or without the sign."""
    said = ask("log", "--incident", f"#{HEALED}", "--json")
    assert {json.loads(line)["incident"] for line in said.lines} == {HEALED}
    assert ask("log", "--incident", str(HEALED), "--json").out == said.out


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_an_incident_that_is_not_there(ask: Type, words: tuple[str, ...]) -> None:
    """As explain says it; that nothing happened to an incident in some time is no fault."""
    said = ask("log", "--incident", "4711", *words)
    assert (said.code, said.out) == (3, "")
    assert "the ledger has no incident 4711" in said.err
    assert ask("log", "--incident", str(HEALED), "--since", "1s").code == 0


def test_the_newest_lines(ask: Type) -> None:
    """At most so many, the newest, oldest of them first."""
    everything = ask("log").lines[1:]
    assert ask("log", "--lines", "2").lines[1:] == everything[-2:]


@pytest.mark.parametrize("number", ["-1", "0", "1.5", "many", "9" * 20])
def test_numbers_of_lines_have_bounds(ask: Type, number: str) -> None:
    """None that means nothing, or that the database would choke on."""
    said = ask("log", f"--lines={number}")
    assert (said.code, said.out) == (2, "")
    assert "write 1 to 999999" in said.err


def test_since(ask: Type) -> None:
    """A span back from now, or a moment; where there is nothing, that is said aside."""
    assert ask("log", "--since", "1d12h").out == ask("log").out == ask("log", "--since", "2000-01-01").out
    said = ask("log", "--since", "2999-01-01T00:00Z")
    assert (said.code, said.out) == (0, "")
    assert "the ledger has nothing of that" in said.err
    assert ask("log", "--since", "2999-01-01", "--json").err == ""


@pytest.mark.parametrize("text", ["yesterday", "", "2x", "h", "1d 2h"])
def test_a_bad_moment_is_refused(ask: Type, text: str) -> None:
    """With what can be written instead."""
    said = ask("log", "--since", text)
    assert said.code == 2
    assert "write" in said.err or "neither a span such as 2h" in said.err


def test_moments_without_a_zone_are_utc() -> None:
    """The log shows UTC, so what is typed from it is UTC."""
    now = datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert since("2026-03-14T03:00")(now) == datetime(2026, 3, 14, 3, tzinfo=UTC)
    assert since("90m")(now) == datetime(2026, 3, 14, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("number", ["", "#", "A1", "-1", "1.5", "9" * 40])
def test_a_bad_incident_number_is_refused(ask: Type, number: str) -> None:
    """Before anything is asked of the database."""
    said = ask("log", f"--incident={number}")
    assert said.code == 2
    assert "is no incident number" in said.err


def test_colours_only_where_they_are_wanted(ask: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR puts them into a pipe, NO_COLOR takes them out again; labels bring none of their own."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    painted = ask("log").out
    assert "\x1b[31m" in painted
    assert not CONTROL.search(re.sub(r"\x1b\[[0-9;]*m", "", painted))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in ask("log").out


def test_who_has_seen_enough_ends_the_log(story: str) -> None:
    """`remediator log | head -1`: no traceback, no complaint."""
    words = [sys.executable, "-m", "remediator", "log", "--json", "--follow", "--database-url", story]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().startswith(b"{")
        reader.stdout.close()
        asyncio.run(_append(story, "one more line, into a closed pipe"))
        assert reader.stderr is not None
        assert reader.stderr.read() == b""
        assert reader.wait(timeout=30) == 0


def test_follow_shows_what_comes(story: str) -> None:
    """New entries are printed as they are made, until Ctrl-C."""
    words = [sys.executable, "-m", "remediator", "log", "--follow", "--lines", "1", "--database-url", story]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().rstrip("\n") == lines.HEAD
        assert LINE.match(reader.stdout.readline())
        asyncio.run(_append(story, "this has just happened"))
        assert "this has just happened" in reader.stdout.readline()
        asyncio.run(_commit(story, 2, "its number is higher"))
        assert "its number is higher" in reader.stdout.readline()
        asyncio.run(_commit(story, -1, "its number is lower"))
        assert "its number is lower" in reader.stdout.readline()
        reader.send_signal(signal.SIGINT)
        rest, complaint = reader.communicate(timeout=30)
        assert (reader.returncode, rest, complaint) == (130, "", "")


async def _commit(dsn: str, beyond: int, summary: str) -> None:
    """Make an entry visible whose number is so far beyond the last: negative, as after a long transaction."""
    owner = await asyncpg.connect(dsn)
    put = """INSERT INTO remediator.ledger (seq, kind, summary) OVERRIDING SYSTEM VALUE
             SELECT max(seq) + $1, 'daemon.started', $2 FROM remediator.ledger"""
    await owner.execute(put, beyond, summary)
    await owner.close()


async def _append(dsn: str, summary: str) -> None:
    async with open_pools(dsn) as pools:
        await LedgerAppender(pools.stages).append(NewEntry(kind=EntryKind.STARTED, summary=summary))
