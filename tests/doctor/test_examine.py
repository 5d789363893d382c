"""Everything at once: what is wrong is found, nothing hangs, nothing is written, and no secret is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.cli.doctor import document, ending, running, screen
from remediator.cli.exits import Exit
from remediator.cli.paint import Paint
from remediator.desk import daemon_file
from remediator.doctor import database as database_area
from remediator.doctor.examine import examine
from remediator.doctor.finding import Finding, Grade, Look, bounded
from remediator.model.errors import ClusterError
from remediator.settings import draft_settings
from tests.adapters.alerting.site import listening
from tests.rulebook.writing import RULE


class Ahead(SystemClock):
    """A clock that goes wrong."""

    def now(self) -> datetime:
        """An hour ahead."""
        return super().now() + timedelta(hours=1)


def nobody() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def found(folder: Path, clock: SystemClock | None = None, **flags: str) -> dict[tuple[str, str], Finding]:
    """What is found in an otherwise empty place, by area and what."""
    rules = folder / "rules"
    if not rules.exists():
        rules.mkdir()
        (rules / "r.yaml").write_text(RULE, encoding="utf-8")
    draft = draft_settings({"rules": str(rules), "state_dir": str(folder / "state"), **flags}, {})
    findings = await examine(draft, clock or SystemClock(), {"HOME": str(folder), "PATH": "/usr/bin"})
    assert not (folder / "state").exists()
    return {(one.area, one.what): one for one in findings}


async def test_an_empty_place(tmp_path: Path) -> None:
    """Nothing is configured: what is needed stops it, what is not is a note, and everything has its advice."""
    seen = await found(tmp_path)
    assert {key: one.grade for key, one in seen.items()} == {
        ("rules", "loaded"): Grade.OK,
        ("webhooks", "authentication"): Grade.STOP,
        ("webhooks", "encryption"): Grade.OK,
        ("database", "embedded"): Grade.NOTE,
        ("API server", "reachable"): Grade.STOP,
        ("Alertmanager", "address"): Grade.NOTE,
        ("Prometheus", "address"): Grade.NOTE,
        ("people", "target"): Grade.GAP,
    }
    assert all(one.advice for one in seen.values() if one.grade is not Grade.OK)
    assert ending(tuple(seen.values())) is Exit.FAILED


async def test_faults_of_settings_and_rules_are_told_with_the_rest(tmp_path: Path) -> None:
    """All of them at once, and the exit code is theirs."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.yaml").write_text(RULE.replace("P3", "P9"), encoding="utf-8")
    seen = await found(tmp_path, mode="enforced", insecure_no_auth="true")
    assert seen["settings", "--mode"].grade is Grade.STOP
    assert "r.yaml:5:15" in seen["rules", "fault"].found
    assert seen["webhooks", "authentication"].grade is Grade.NOTE
    assert ending(tuple(seen.values())) is Exit.FAULTY


async def test_a_database_that_would_lose_alerts(tmp_path: Path, blank_database: str) -> None:
    """One fault for each that is wrong, with what to do; and a schema that is still to be made is only a note."""
    fresh = await found(tmp_path, database_url=blank_database)
    assert fresh["database", "schema"].grade is Grade.NOTE
    assert fresh["database", "schema"].found.endswith(" migrations are to come, 0001_spine.sql first")
    connection = await asyncpg.connect(blank_database)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        lossy = await found(tmp_path, database_url=blank_database)
        assert await connection.fetchval("SELECT to_regnamespace('remediator')") is None
    finally:
        await connection.close()
    assert lossy["database", "settings"].grade is Grade.STOP
    assert "synchronous_commit is off" in lossy["database", "settings"].found


async def test_the_daemons_own_database_is_looked_at(database: str) -> None:
    """A schema of this version, and no warning."""
    seen = await database_area.look(database, SystemClock().now())
    assert [(one.what, one.grade) for one in seen.findings] == [
        ("reachable", Grade.OK),
        ("settings", Grade.OK),
        ("schema", Grade.OK),
    ]


async def test_the_database_of_a_daemon_on_this_machine(tmp_path: Path, database: str) -> None:
    """Where one says which it is; where that one has died, its embedded server does not run."""
    draft = draft_settings({"rules": str(tmp_path), "state_dir": str(tmp_path / "state")}, {})
    alive = await examine(draft, SystemClock(), {}, running=database)
    assert [one.what for one in alive if one.area == "database"] == ["reachable", "settings", "schema"]
    dead = f"postgresql://u@127.0.0.1:{nobody()}/x"
    gone = await examine(draft, SystemClock(), {"PATH": "/usr/bin"}, running=dead)
    assert [one.what for one in gone if one.area == "database"] == ["embedded"]


@pytest.mark.parametrize(
    ("content", "dsn"), [(b'{"dsn": "postgresql:///x"}', "postgresql:///x"), (b"{", ""), (b"[]", ""), (None, "")]
)
def test_what_a_daemon_says_of_itself(tmp_path: Path, content: bytes | None, dsn: str) -> None:
    """Read where it can be; a file that is broken is no reason not to look at the rest."""
    if content is not None:
        daemon_file(tmp_path).write_bytes(content)
    assert running(tmp_path) == dsn


async def test_a_clock_that_is_wrong(tmp_path: Path, database: str) -> None:
    """It is ours or theirs: both are named."""
    seen = await found(tmp_path, Ahead(), database_url=database)
    assert seen["clocks", "skew"].grade is Grade.STOP
    assert seen["clocks", "skew"].found == "database is 3600 s behind this host"


async def test_people_cannot_be_told(tmp_path: Path) -> None:
    """Nobody listens there; the path of the address, which is a secret, is told to nobody."""
    seen = await found(tmp_path, notify_url=f"http://127.0.0.1:{nobody()}/hooks/T0PS3CRET")
    deaf = seen["people", "target"]
    assert deaf.grade is Grade.STOP
    assert "takes no connection" in deaf.found
    assert "T0PS3CRET" not in json.dumps(document(tuple(seen.values()), Exit.FAILED))


async def test_people_can_be_told_and_nothing_is_posted(tmp_path: Path) -> None:
    """A connection is opened, and that is all."""
    token = tmp_path / "token"
    token.write_text("two words", encoding="ascii")
    async with listening() as site:
        seen = await found(tmp_path, notify_url=site.url, notify_token_file=str(token))
        assert seen["people", "target"].grade is Grade.OK
        assert seen["people", "token"].grade is Grade.STOP
        assert site.seen == []


async def test_a_cluster_that_refuses_or_hangs(tmp_path: Path) -> None:
    """It is told what it said; and one that says nothing is not waited for."""
    async with listening() as site:
        site.says("/version", '{"kind":"Status","message":"who are you","reason":"Unauthorized"}', status=401)
        config = tmp_path / "kubeconfig"
        config.write_text(kubeconfig(site.url), encoding="utf-8")
        refused = (await found(tmp_path, kubeconfig=str(config)))["API server", "reachable"]
        assert refused.grade is Grade.STOP
        assert refused.found.startswith("answers 401: ")
        assert "who are you" in refused.found
        config.write_text(kubeconfig(f"http://127.0.0.1:{nobody()}"), encoding="utf-8")
        gone = (await found(tmp_path, kubeconfig=str(config)))["API server", "reachable"]
        assert gone.grade is Grade.STOP
        assert gone.found.startswith("unreachable: GET /version")


def kubeconfig(url: str) -> str:
    """A kubeconfig for it."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


async def test_an_area_is_bounded_in_time_and_cannot_end_the_others() -> None:
    """What hangs, and what fails, is a finding."""

    async def hangs() -> Look:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails() -> Look:
        raise ClusterError("unreachable", "no route")

    [late] = (await bounded("x", hangs(), 0.05)).findings
    assert (late.grade, late.found) == (Grade.STOP, "no answer within 0.05 s")
    [failed] = (await bounded("x", fails())).findings
    assert (failed.grade, failed.found) == (Grade.STOP, "unreachable: no route")


def shown(findings: Sequence[Finding], columns: int = 100) -> list[str]:
    """The screen."""
    return [line for part in screen(findings, Paint(on=False), columns) for line in part.splitlines()]


BAD = Finding(area="API server", what="permissions", grade=Grade.STOP, found="word " * 60, advice="do " * 60)


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_the_table_keeps_to_its_columns(columns: int) -> None:
    """Also where much is found, and where a name is long."""
    findings = [BAD, replace(BAD, what="a-row-with-a-name-of-some-length"), replace(BAD, grade=Grade.OK, advice="")]
    lines = shown(findings, columns)
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("STOP  API server  permissions")
    assert sum(line.lstrip().startswith("-> do") for line in lines) == 2
    assert lines[-1] == "1 ok, 2 STOP: something stops it"


def test_what_was_found_is_foreign() -> None:
    """Control characters are shown spelt, and what looks like a secret is taken out."""
    foreign = replace(BAD, found="\x1b[2J Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789", advice="x")
    text = "\n".join(shown([foreign]))
    assert "\x1b" not in text
    assert "abcdefghijklmnopqrstuvwxyz0123456789" not in text


@pytest.mark.parametrize(
    ("grades", "code", "last"),
    [
        ([Grade.OK, Grade.NOTE], Exit.OK, "1 ok, 1 note: all well"),
        ([Grade.OK, Grade.GAP], Exit.OK, "1 ok, 1 GAP: nothing stops it"),
        ([Grade.STOP], Exit.FAILED, "1 STOP: something stops it"),
    ],
)
def test_how_it_ends(grades: list[Grade], code: Exit, last: str) -> None:
    """Only what stops it is a failure."""
    findings = [replace(BAD, grade=grade) for grade in grades]
    assert ending(findings) is code
    assert shown(findings)[-1] == last
    assert document(findings, code)["ok"] is (code is Exit.OK)
