"""SQL lives in .sql files: every statement named, commented and used; every migration numbered."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.architecture import source

NAMED = re.compile(r"^-- name: (?P<name>\S+)\n(?P<rest>.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def statements() -> list[Path]:
    """The .sql files that hold named statements."""
    return [
        path
        for path in source.files()
        if path.suffix == ".sql" and _is_product(path) and "migrations" not in path.parts
    ]


def migrations() -> list[Path]:
    """The .sql files that change the schema, in order."""
    return [
        path for path in source.files() if path.suffix == ".sql" and _is_product(path) and "migrations" in path.parts
    ]


def _is_product(path: Path) -> bool:
    """Whether a file belongs to the package."""
    return path.parts[0] == "remediator"


def unexplained(text: str) -> list[str]:
    """The faults of one file of statements: text before the first name, names without a comment or a statement."""
    found = [] if not NAMED.sub("", text).strip() else ["something stands before the first name"]
    for match in NAMED.finditer(text):
        lines = match["rest"].strip().splitlines()
        if not lines or not re.match(r"-- \S", lines[0]):
            found.append(f"{match['name']} has no comment")
        if all(line.startswith("--") or not line.strip() for line in lines):
            found.append(f"{match['name']} has no statement")
    return found


def test_statements_are_named_and_commented() -> None:
    """Each statement has a name and a sentence that says what it is for."""
    assert statements()
    found = [f"{path}: {fault}" for path in statements() for fault in unexplained(source.text(path))]
    assert not found, "\n".join(found)


def test_statement_names_are_unique_and_used() -> None:
    """No name stands twice in a folder, and each is named by some Python file beside it."""
    for folder in {path.parent for path in statements()}:
        names = Counter(
            match["name"]
            for path in statements()
            if path.parent == folder
            for match in NAMED.finditer(source.text(path))
        )
        assert [name for name, count in names.items() if count > 1] == []
        code = "\n".join(
            source.text(path) for path in source.python("remediator") if path.is_relative_to(folder.parents[0])
        )
        assert [name for name in names if not re.search(rf"[\"'.]{name}\b", code)] == []


def test_migrations_are_numbered_without_a_gap() -> None:
    """Migrations are 0001_what.sql, 0002_what.sql and so on, and each starts by saying what it is for."""
    for folder in {path.parent for path in migrations()}:
        found = [path for path in migrations() if path.parent == folder]
        assert [path.name[:5] for path in found] == [f"{number:04}_" for number in range(1, len(found) + 1)]
        assert [str(path) for path in found if not source.text(path).startswith("-- ")] == []


def test_tables_say_what_they_hold() -> None:
    """Each table of a migration has a comment on the line before it."""
    table = re.compile(r"^(?P<before>[^\n]*)\nCREATE TABLE (?P<name>\S+)", re.MULTILINE)
    found = [
        f"{path}: {match['name']}"
        for path in migrations()
        for match in table.finditer(source.text(path))
        if not match["before"].startswith("--")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["SELECT 1;\n-- name: a\n-- Why.\nSELECT 1;\n", "-- name: a\nSELECT 1;\n", "-- name: a\n-- Why.\n"],
)
def test_planted_faults_are_found(text: str) -> None:
    """A statement without a name, without a comment, and a name without a statement are each found."""
    assert len(unexplained(text)) == 1
