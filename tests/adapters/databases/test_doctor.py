"""What ``remediator doctor`` says of the databases that a file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from remediator.adapters.clock import SystemClock
from remediator.doctor import databases
from remediator.doctor.examine import examine
from remediator.doctor.finding import Finding, Grade
from remediator.model.errors import ClusterError, ConfigError
from remediator.rulebook.load import load
from remediator.settings import draft_settings
from tests.adapters.databases.patient import POSTGRES, Patient


def written(folder: Path, patient: Patient, **changes: str) -> Path:
    """The file of databases with this one in it; a change to "" leaves a key out."""
    entry = patient.entry
    keys = {
        "name": entry.name,
        "workload": entry.workload,
        "host": entry.host,
        "database": entry.database,
        "user": entry.user,
        "password_file": str(entry.password_file),
        **changes,
    }
    file = folder / "databases.toml"
    lines = [f'{key} = "{value}"' for key, value in keys.items() if value]
    file.write_text("\n".join(["[[database]]", *lines, f"port = {entry.port}"]), encoding="utf-8")
    return file


async def the_only(file: Path, *, secret: str | None = None) -> Finding:
    """What is found of its one database; ``secret``: what a Secret holds, None where it cannot be read."""

    async def read(namespace: str, name: str, key: str) -> str:
        if secret is None:
            raise ClusterError("forbidden", f"{namespace}/{name}: no")
        return secret

    [finding] = (await databases.look(file, read)).findings
    return finding


async def test_one_that_can_be_repaired(tmp_path: Path, sick: Patient) -> None:
    """Its version, how full it is, and that something may be raised; by a password from a Secret as well."""
    found = await the_only(written(tmp_path, sick))
    assert (found.what, found.grade) == ("backstage", Grade.OK)
    assert found.found.startswith("PostgreSQL 1")
    assert " connections in use; " in found.found
    by_secret = written(tmp_path, sick, password_file="", password_secret="backstage/db/password")
    assert databases.needs_cluster(by_secret)
    assert (await the_only(by_secret, secret=sick.password.read_text("utf-8").strip())).grade is Grade.OK


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"user": "nobody_of_that_name"}, "database backstage cannot be reached"),
        ({"password_file": "", "password_secret": "backstage/db/password"}, "the Secret backstage/db cannot be read"),
    ],
)
async def test_one_that_cannot_be_looked_at(tmp_path: Path, sick: Patient, changes: dict[str, str], found: str) -> None:
    """It is a gap, and not what stops everything."""
    finding = await the_only(written(tmp_path, sick, **changes))
    assert finding.grade is Grade.GAP
    assert found in finding.found
    assert databases.HOW in finding.advice


@pytest.mark.parametrize(
    ("changes", "grade", "found"),
    [
        ({"in_recovery": True}, Grade.GAP, "it is a standby"),
        ({"managed_by": "Patroni"}, Grade.NOTE, "Patroni decides about its settings"),
        ({"limits": (), "server_most": 0}, Grade.NOTE, "no limit may be raised by us"),
    ],
)
async def test_what_keeps_us_from_raising(sick: Patient, changes: dict[str, object], grade: Grade, found: str) -> None:
    """What a look finds, and what is said of it."""
    view = await sick.databases.look(POSTGRES)
    assert view is not None
    assert view.facts is not None
    finding = databases.judged(sick.entry, structs.replace(view.facts, **changes))
    assert finding.grade is grade
    assert found in finding.found


async def test_a_file_with_faults_stops_it(tmp_path: Path) -> None:
    """Each is told by its line; and rules that would need a file, where there is none."""
    file = tmp_path / "databases.toml"
    file.write_text("[[database]]\nname = 'x'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="workload is missing"):
        await databases.look(file, None)
    draft = draft_settings({"rules": "rules", "state_dir": str(tmp_path), "databases": str(file)}, {})
    findings = await examine(draft, SystemClock(), {"PATH": "/usr/bin"})
    [fault] = [one for one in findings if one.area == databases.AREA]
    assert fault.grade is Grade.STOP
    assert f"{file}:1" in fault.found
    [unnamed] = databases.not_named(load([Path("rules")]).rules.rules).findings
    assert "database-connections" in unnamed.found
    assert databases.not_named(()).findings == ()
