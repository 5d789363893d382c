"""The wheel carries all that the program needs, and is the same to the bit each time."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture import source

BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
PARTS = ("LICENSE", "README.md", "pyproject.toml", "remediator", "rules")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, so that no build touches the work tree."""
    folder = tmp_path_factory.mktemp("source")
    for part in PARTS:
        origin = source.ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, folder / part)
    return folder


def build(tree: Path, target: Path) -> Path:
    """Build a wheel without an isolated environment, dated so that two builds can be compared."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-c", BUILD, str(target)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One built wheel."""
    return build(tree, tmp_path_factory.mktemp("wheel"))


def test_two_builds_are_the_same(wheel: Path, tree: Path, tmp_path: Path) -> None:
    """Whoever builds the same source gets the same digest."""
    again = build(tree, tmp_path)
    assert again.name == wheel.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_wheel_carries_code_and_data(wheel: Path) -> None:
    """Every module, SQL and JSON file, and the default rules; no bytecode, no tests."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {path.as_posix() for path in source.files() if path.parts[0] == "remediator"}
    rules = {
        f"remediator/default_rules/{path.relative_to('rules')}" for path in source.files() if path.parts[0] == "rules"
    }
    assert rules
    assert any(name.endswith(".sql") for name in package)
    assert inside == package | rules | {"remediator/py.typed"}


def serve(wheel: Path, folder: Path, *words: str) -> str:
    """Start the daemon out of an unpacked wheel, in an empty folder, until it has read its files; return its log."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    here = folder / "here"
    here.mkdir()
    nowhere = "postgresql://nobody@127.0.0.1:1/x"
    flags = ["--insecure-no-auth", "--log-format", "json", "--database-url", nowhere, *words]
    program = [sys.executable, "-m", "remediator", "serve", *flags]
    environment = {"PYTHONPATH": str(folder / "site"), "HOME": str(folder), "PATH": os.defpath}
    done = subprocess.run(program, cwd=here, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_an_installed_package_brings_its_rules(wheel: Path, tmp_path: Path) -> None:
    """Whoever installed it and names no rules gets those of the runbook, and is told so."""
    log = serve(wheel, tmp_path)
    assert str(tmp_path / "site" / "remediator" / "default_rules") in log
    assert "the rules that come with remediator are in force" in log
    assert '"rules loaded"' in log


def test_wheel_says_who_it_is(wheel: Path) -> None:
    """Its licence goes along, its command is named, its dependencies are those of the project."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
        metadata = next(archive.read(name).decode() for name in names if name.endswith("dist-info/METADATA"))
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "remediator = remediator.cli.main:main" in entry
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
