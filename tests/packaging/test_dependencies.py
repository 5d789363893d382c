"""docs/dependencies.md, pyproject.toml and the lock files say the same."""

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.architecture import source

PROJECT: dict[str, Any] = tomllib.loads((source.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCUMENT = source.text(Path("docs/dependencies.md"))
LOCKS = {
    name: (source.ROOT / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
}
PINNED = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~ ;\[]", name)[0]).lower()


def declared() -> dict[str, list[str]]:
    """The packages of pyproject.toml by the heading that the document gives them."""
    groups, optional = PROJECT["dependency-groups"], PROJECT["project"]["optional-dependencies"]
    return {
        "To run": PROJECT["project"]["dependencies"],
        "To run without a database server (extra `embedded`)": optional["embedded"],
        "To evaluate admission policies in the sandbox cluster (extra `sandbox`)": optional["sandbox"],
        "To build (group `build`)": groups["build"],
        "To test and check (group `dev`)": groups["dev"],
    }


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, cell by cell."""
    section = DOCUMENT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("heading", list(declared()))
def test_document_lists_what_is_declared(heading: str) -> None:
    """Row for row, in the same order, and each cell is filled."""
    assert [normal(row[0]) for row in rows(heading)] == [normal(name) for name in declared()[heading]]
    assert [row for row in rows(heading) if len(row) != 5 or not all(row)] == []


@pytest.mark.parametrize("heading", list(declared()))
def test_licences_are_what_the_packages_say(heading: str) -> None:
    """Where an installed package states its licence in the standard form, the document says the same."""
    wrong = []
    for name, licence, *_ in rows(heading):
        stated = importlib.metadata.metadata(name).json.get("license_expression")
        if stated is not None and stated != licence:
            wrong.append(f"{name}: {licence}, the package says {stated}")
    assert wrong == []


@pytest.mark.parametrize("name", list(LOCKS))
def test_lock_pins_by_version_and_hash(name: str) -> None:
    """Every line of a lock file is a pinned package with its hashes, or a comment."""
    rest = PINNED.sub("", LOCKS[name])
    assert [line for line in rest.splitlines() if line.strip() and not line.lstrip().startswith("#")] == []


def test_locks_hold_what_is_declared_and_agree() -> None:
    """Nothing declared is missing from its lock, and no package has two versions."""
    pinned = {name: {match[1]: match[2] for match in PINNED.finditer(text)} for name, text in LOCKS.items()}
    run, embedded, sandbox, build, dev = ([normal(name) for name in names] for names in declared().values())
    assert {*run, *embedded} <= set(pinned["requirements.lock"])
    assert set(build) <= set(pinned["requirements-build.lock"])
    assert {*dev, *sandbox} <= set(pinned["requirements-dev.lock"])
    for name in ("requirements.lock", "requirements-build.lock"):
        assert pinned[name].items() <= pinned["requirements-dev.lock"].items()
