"""``remediator ledger``: verifying what was recorded, and exporting it."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from remediator.adapters.checkpoints import CheckpointFile
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.seals import LedgerRecords, LedgerSeals
from remediator.cli.ledger_export import COLUMNS
from remediator.core.chain import checkpoint_of, digest
from remediator.flow.seal import maker
from remediator.model.entry import EntryKind, NewEntry
from tests.adapters.ledger.forging import forge
from tests.cli.conftest import Said, Type
from tests.cli.test_log import CONTROL
from tests.database_server import DatabaseServer

EVIL = "=cmd|' /C calc'!A0\x1b[2J\u202e,\"\n;"
ENTRIES = 12
BATCHES = 4


async def tell(dsn: str, file: Path) -> None:
    """Write entries down, the sixth in a transaction that is rolled back; seal four at a time, all but the last two."""
    async with open_pools(dsn) as pools:
        store, anchors = LedgerSeals(pools.stages), CheckpointFile(file)
        appender = LedgerAppender(pools.stages)
        for number in range(1, ENTRIES + 1):
            if number == 6:
                await spoil(dsn)
                continue
            await appender.append(
                NewEntry(
                    kind=EntryKind.DECISION_HOLD,
                    summary=f"{EVIL} {number}",
                    incident=number,
                    rule="r",
                    reasons=("cooldown", "spacing"),
                    data={"labels": {"a": EVIL}, "n": number},
                )
            )
        for upto in (4, 8, 10):
            seal = await store.seal(upto, BATCHES, maker("me"))
            assert seal is not None
            await anchors.keep(checkpoint_of(seal))


async def spoil(dsn: str) -> None:
    """Use a number up for nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.fetchval("SELECT nextval('remediator.ledger_seq_seq')")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of checkpoints of the sealed ledger."""
    return tmp_path_factory.mktemp("ledger") / "checkpoints.jsonl"


@pytest.fixture(scope="module")
def sealed(postgres_server: DatabaseServer, checkpoints: Path) -> Iterator[str]:
    """The connection string of a ledger of eleven entries, nine of them sealed; to be read, or copied."""
    dsn = postgres_server.create("sealed")
    asyncio.run(tell(dsn, checkpoints))
    yield dsn
    postgres_server.drop("sealed")


@pytest.fixture
def copy(postgres_server: DatabaseServer, sealed: str) -> Iterator[str]:
    """The connection string of a copy of it that may be tampered with."""
    yield postgres_server.create("tampered", "sealed")
    postgres_server.drop("tampered")


def tamper(dsn: str, *statements: str) -> None:
    """Change what was recorded, as its owner can."""

    async def work() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await forge(connection, *statements)
        finally:
            await connection.close()

    asyncio.run(work())


@pytest.fixture
def verify(cli: Type, tmp_path: Path) -> Type:
    """Verify a ledger on a machine where no daemon has run."""
    return lambda dsn, *words: cli(
        *("ledger", "verify", "--database-url", dsn, "--state-dir", str(tmp_path / "nothing"), *words)
    )


def test_a_ledger_that_nobody_touched(verify: Type, sealed: str, checkpoints: Path) -> None:
    """What was verified is said with numbers, and what the verdict does not cover."""
    said = verify(sealed, "--checkpoints", str(checkpoints))
    assert (said.code, said.err) == (0, "")
    assert said.lines[0].startswith("Verified 9 entries up to number 10 under 3 seals of 2")
    assert "The last is seal 3, hash " in said.lines[1]
    assert "1 numbers in between are unused" in said.lines[2]
    assert said.lines[3].startswith("2 entries are not sealed yet, the oldest since ")
    assert said.lines[4] == f"Compared with 3 checkpoints of {checkpoints}."
    assert said.lines[5:] == ["The ledger is as it was written."]


def test_without_checkpoints_it_is_said_what_would_not_be_noticed(verify: Type, sealed: str) -> None:
    """A verdict is worth as much as its witnesses."""
    assert "No checkpoints were given, so a chain that was cut short" in verify(sealed).out


def test_the_daemon_s_own_checkpoints_are_found(cli: Type, sealed: str, checkpoints: Path) -> None:
    """In its state folder, or where its setting says."""
    said = cli("ledger", "verify", "--database-url", sealed, "--state-dir", str(checkpoints.parent))
    assert f"Compared with 3 checkpoints of {checkpoints}." in said.lines


def test_the_daemon_s_log_is_a_witness_too(verify: Type, sealed: str, checkpoints: Path, tmp_path: Path) -> None:
    """Lines that are no checkpoints are passed over."""
    (tmp_path / "log").write_text(f'{{"event": "x"}}\nnot JSON\n{checkpoints.read_text()}{{"seal": 9, "se')
    assert (
        f"Compared with 3 checkpoints of {tmp_path / 'log'}."
        in verify(sealed, "--checkpoints", f"{tmp_path / 'log'}").lines
    )


@pytest.mark.parametrize(("text", "why"), [("", "there is no checkpoint in it"), (None, "cannot be read")])
def test_a_file_that_is_no_witness(verify: Type, sealed: str, tmp_path: Path, text: str | None, why: str) -> None:
    """Whoever names one relies on it, so silence would be a lie."""
    if text is not None:
        (tmp_path / "file").write_text(text)
    said = verify(sealed, "--checkpoints", str(tmp_path / "file"))
    assert said.code == 2
    assert why in said.err
    assert str(tmp_path / "file") in said.err


SEAL = "UPDATE remediator.seals SET"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["UPDATE remediator.ledger SET summary = 'forged' WHERE seq = 3"], "entry 3 was changed after 2"),
        (["UPDATE remediator.ledger SET data = data || '{\"n\": 4}' WHERE seq = 3"], "entry 3 was changed after 2"),
        (["UPDATE remediator.ledger SET at = at - interval '1 us' WHERE seq = 10"], "entry 10 was changed after 2"),
        (["DELETE FROM remediator.ledger WHERE seq = 1"], "entry 1 is gone"),
        (["DELETE FROM remediator.ledger WHERE seq = 10"], "entry 10 is gone"),
        (
            [
                "INSERT INTO remediator.ledger (seq, kind, summary) OVERRIDING SYSTEM VALUE VALUES (6, 'x', 'y')",
            ],
            "entry 6 was inserted after 2",
        ),
        (
            [
                "ALTER TABLE remediator.ledger ALTER seq SET GENERATED BY DEFAULT",
                "UPDATE remediator.ledger SET seq = -3 WHERE seq = 2",
                "UPDATE remediator.ledger SET seq = 2 WHERE seq = 3",
                "UPDATE remediator.ledger SET seq = 3 WHERE seq = -3",
            ],
            "entry 2 holds what was entry 3 when it was sealed at 2",
        ),
        (
            [f"{SEAL} digests = set_byte(digests, 0, 255 - get_byte(digests, 0)) WHERE number = 2"],
            "seal 2 is not as it",
        ),
        ([f"{SEAL} hash = sha256(hash) WHERE number = 2"], "seal 2 is not as it was made"),
        ([f"{SEAL} prev = sha256(prev) WHERE number = 2"], "seal 2 does not follow on seal 1"),
        ([f"{SEAL} sealed_at = sealed_at + interval '1 s' WHERE number = 3"], "seal 3 is not as it was made"),
        (["DELETE FROM remediator.seals WHERE number = 2"], "seal 2 is gone: entries 5 to 8 cannot be verified"),
        (["DELETE FROM remediator.seals WHERE number = 1"], "seal 1 is gone: entries 1 to 4 cannot be verified"),
        (
            ["DELETE FROM remediator.seals WHERE number = 3", "DELETE FROM remediator.ledger WHERE seq > 8"],
            "the checkpoint of seal 3 (entry 10, 2",
        ),
        (["DELETE FROM remediator.seals", "DELETE FROM remediator.ledger"], "the checkpoint of seal 1 (entry 4, 2"),
    ],
    ids=[
        *("summary", "data", "time", "first", "last", "inserted", "swapped", "digest", "hash", "prev", "sealed-at"),
        *("seal-gone", "first-seal-gone", "tail-cut", "emptied"),
    ],
)
def test_a_tampered_ledger(verify: Type, copy: str, checkpoints: Path, statements: list[str], message: str) -> None:
    """What was done is said with the number of the entry or seal, and the exit code is one of its own."""
    tamper(copy, *statements)
    said = verify(copy, "--checkpoints", str(checkpoints))
    assert (said.code, said.err) == (4, "")
    assert any(line.startswith(message) for line in said.lines), said.out
    assert said.lines[-1].endswith("the ledger is not as it was written")
    as_data = json.loads(verify(copy, "--checkpoints", str(checkpoints), "--json").out)
    assert not as_data["whole"]
    assert any(finding["message"].startswith(message) for finding in as_data["findings"])


def test_a_chain_that_was_made_anew(verify: Type, copy: str, checkpoints: Path) -> None:
    """Whoever owns the database can forge everything in it, but not what was kept elsewhere."""
    tamper(copy, "DELETE FROM remediator.seals", "UPDATE remediator.ledger SET summary = 'forged' WHERE seq = 3")
    asyncio.run(seal_all(copy))
    assert verify(copy).code == 0
    said = verify(copy, "--checkpoints", str(checkpoints))
    assert said.code == 4
    assert "has another hash than the seal in the ledger: the chain was made anew" in said.lines[0]


async def seal_all(dsn: str) -> None:
    """Seal as before."""
    async with open_pools(dsn) as pools:
        while await LedgerSeals(pools.stages).seal(10, BATCHES, maker("me")):
            pass


def test_only_so_many_faults_are_listed(verify: Type, copy: str) -> None:
    """All are counted."""
    many = "INSERT INTO remediator.ledger (kind, summary) SELECT 'x', 'y' FROM generate_series(1, 300)"
    tamper(copy, many)
    asyncio.run(seal_beyond(copy))
    tamper(copy, "UPDATE remediator.ledger SET summary = 'forged'")
    said = verify(copy)
    assert said.code == 4
    assert len([line for line in said.lines if line.startswith("entry ")]) == 200
    assert "and 111 more faults" in said.lines
    assert said.lines[-1] == "311 faults: the ledger is not as it was written"


async def seal_beyond(dsn: str) -> None:
    """Seal everything."""
    async with open_pools(dsn) as pools:
        while await LedgerSeals(pools.stages).seal(10**6, 100, maker("me")):
            pass


def test_an_old_ledger_without_a_seal(verify: Type, copy: str) -> None:
    """Is no good news; a fresh one is."""
    tamper(copy, "DELETE FROM remediator.seals")
    assert verify(copy).code == 0
    tamper(copy, "UPDATE remediator.ledger SET at = at - interval '1 hour'")
    said = verify(copy)
    assert said.code == 4
    assert said.lines[0].startswith("no entry is sealed though the oldest is 60 min old")


def test_an_empty_ledger(verify: Type, database: str) -> None:
    """There is nothing to find fault with."""
    said = verify(database)
    assert said.code == 0
    assert said.lines[-1] == "The ledger is as it was written."


def test_the_report_as_json(verify: Type, sealed: str, checkpoints: Path) -> None:
    """One object on one line."""
    said = verify(sealed, "--checkpoints", str(checkpoints), "--json")
    assert len(said.lines) == 1
    whole = json.loads(said.out)
    head = json.loads(checkpoints.read_text().splitlines()[-1])
    assert whole == {
        "whole": True,
        "entries": 9,
        "unused": 1,
        "seals": 3,
        "head": head,
        "unsealed": {"count": 2, "oldest_s": whole["unsealed"]["oldest_s"]},
        "checkpoints": 3,
        "faults": 0,
        "findings": [],
    }


@pytest.fixture
def export(cli: Type, sealed: str) -> Type:
    """Export the sealed ledger."""
    return lambda *words: cli("ledger", "export", "--database-url", sealed, *words)


def test_export_as_lines_of_json(export: Type, sealed: str) -> None:
    """Every entry with every field, exactly; with the digest by which it is sealed."""
    said = export()
    assert (said.code, said.err) == (0, "")
    rows = [json.loads(line) for line in said.lines]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert rows[0]["summary"] == f"{EVIL} 1"
    assert rows[0]["data"] == {"labels": {"a": EVIL}, "n": 1}
    assert not CONTROL.search(said.out)
    assert [row["sha256"] for row in rows] == asyncio.run(digests(sealed))


async def digests(dsn: str) -> list[str]:
    """Return the digests of all entries."""
    async with open_pools(dsn) as pools:
        return [digest(one).hex() for one in await LedgerRecords(pools.read).stored(0, 100, 100)]


def test_export_as_csv(export: Type) -> None:
    """The same columns; nothing in a cell takes a terminal or a spreadsheet over."""
    said = export("--format", "csv")
    assert said.code == 0
    rows = list(csv.DictReader(StringIO(said.out)))
    assert len(rows) == ENTRIES - 1
    assert all(tuple(row) == COLUMNS for row in rows)
    assert rows[0]["summary"].startswith("'=cmd|")
    assert "\\x1b[2J\\u202e" in rows[0]["summary"]
    assert json.loads(rows[0]["reasons"]) == ["cooldown", "spacing"]
    assert json.loads(rows[0]["data"])["n"] == 1
    assert not CONTROL.search(said.out)
    assert rows[0]["action"] == ""


def times(said: Said) -> list[tuple[int, str]]:
    """Return number and time of each line."""
    found: list[dict[str, Any]] = [json.loads(line) for line in said.lines]
    return [(row["seq"], row["at"]) for row in found]


def test_export_of_a_span_of_time(export: Type) -> None:
    """From a time on, and before one; two spans side by side make the whole, with nothing twice."""
    every = times(export())
    middle = every[5][1]
    assert times(export("--since", middle)) == every[5:]
    assert times(export("--until", middle)) == every[:5]
    assert times(export("--since", every[2][1], "--until", middle)) == every[2:5]
    assert times(export("--since", "1h")) == every
    assert export("--until", "1h").out == ""
    assert datetime.fromisoformat(middle).tzinfo is not None


@pytest.mark.parametrize("words", [("--since", "soon"), ("--format", "xml"), ("--output", "/nowhere/at/all")])
def test_export_that_cannot_be(export: Type, words: tuple[str, ...]) -> None:
    """It is said what to write instead."""
    assert export(*words).code == 2


def test_export_to_a_file(export: Type, tmp_path: Path) -> None:
    """It takes its place whole, only its owner may read it, and nothing goes to the standard output."""
    file = tmp_path / "ledger.jsonl"
    file.write_text("old")
    said = export("--output", str(file))
    assert (said.code, said.out) == (0, "")
    assert said.err == f"{ENTRIES - 1} entries written to {file}\n"
    assert file.read_text() == export().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_export_goes_from_page_to_page(cli: Type, copy: str) -> None:
    """With nothing twice and nothing left out, though many entries have one time."""
    many = (
        "INSERT INTO remediator.ledger (kind, summary, at) SELECT 'x', 'y', '2026-01-01Z' FROM generate_series(1, 2500)"
    )
    tamper(copy, many)
    rows = times(cli("ledger", "export", "--database-url", copy))
    assert len(rows) == 2500 + ENTRIES - 1
    assert sorted(rows, key=lambda row: (datetime.fromisoformat(row[1]), row[0])) == rows


def test_migrate(cli: Type, blank_database: str) -> None:
    """What was done is said; the second time there is nothing to do."""
    said = cli("ledger", "migrate", "--database-url", blank_database)
    assert said.code == 0
    assert re.fullmatch(r"the schema is at version (\d+); applied 1, 2, .*\1\n", said.out)
    assert cli("ledger", "migrate", "--database-url", blank_database).out.endswith("there was nothing to do\n")
    assert cli("ledger", "verify", "--database-url", blank_database).code == 0


def test_migrate_needs_to_be_told_where(cli: Type) -> None:
    """An embedded database sees to it by itself."""
    said = cli("ledger", "migrate")
    assert said.code == 2
    assert "give --database-url" in said.err
    assert cli("ledger", "migrate", "--database-url", "postgresql://x@127.0.0.1:1/x").code == 1


def test_subcommands_are_told(cli: Type) -> None:
    """What there is, with the options of each."""
    said = cli("ledger", "--help")
    assert said.code == 0
    assert all(word in said.out for word in ("verify", "export", "--checkpoints", "--since", "--output"))
    assert cli("ledger").code == 2
