"""docs/failure-modes.md is a true map: each way to fail once, each test that it names there, each gap with a reason."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture import source

PAGE = Path("docs/failure-modes.md")
COUNT = 61
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
GAP = re.compile(r"not covered: .{20,}")


@cache
def rows() -> list[tuple[int, str, str]]:
    """The rows of the page: number, what happens, and where that is tried."""
    return [(int(number), what.strip(), where.strip()) for number, what, where in ROW.findall(source.text(PAGE))]


def faults(where: str) -> list[str]:
    """What is wrong with the last column of a row."""
    named = NODE.findall(where)
    gone = [f"{file}::{name} is not there" for file, name in named if not is_there(Path(file), name)]
    odd = [f"{span} is no test" for span in re.findall(r"`(tests/[^`]*)`", where) if not NODE.fullmatch(f"`{span}`")]
    none = [] if named or GAP.search(where) else ["neither a test nor the reason why there is none"]
    return [*gone, *odd, *none]


def is_there(file: Path, name: str) -> bool:
    """Whether a file defines a test of that name."""
    path = source.ROOT / file
    wanted = re.compile(rf"^(async )?def {name}\(", re.MULTILINE)
    return path.is_file() and wanted.search(path.read_text(encoding="utf-8")) is not None


def test_every_way_to_fail_is_there_once() -> None:
    """All numbers of the catalogue, in order."""
    assert [number for number, _, _ in rows()] == list(range(1, COUNT + 1))


def test_every_row_says_where_it_is_tried_or_why_not() -> None:
    """By tests that exist, or by a reason."""
    wrong = [f"{number}: {fault}" for number, _, where in rows() for fault in faults(where)]
    assert wrong == []


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("`tests/faults/test_storm.py::test_a_calm`", "is not there"),
        ("`tests/faults/test_no_such.py::test_a_storm`", "is not there"),
        ("`tests/faults/test_storm.py`", "is no test"),
        ("nobody knows", "neither"),
        ("not covered: later", "neither"),
    ],
)
def test_a_wrong_row_is_found(where: str, fault: str) -> None:
    """A test that is gone, a file alone, no test and no reason."""
    assert any(fault in found for found in faults(where))
