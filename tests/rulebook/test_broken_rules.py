"""Every kind of fault, in files: what is reported is exactly what the files say must be reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remediator.rulebook.faults import RulebookRejected
from remediator.rulebook.load import load

FOLDER = Path("tests/data/broken-rules")
FILES = sorted(FOLDER.glob("*.yaml"))
_EXPECT = re.compile(rb"# expect (\d+):(\d+) ([^\n]+)")


def expected(path: Path) -> list[tuple[int, int, str]]:
    """Return line, column and words of the faults that a file says it has."""
    found = _EXPECT.findall(path.read_bytes())
    return sorted((int(line), int(column), words.decode().strip()) for line, column, words in found)


def reported(path: Path) -> list[tuple[int, int, str]]:
    """Return line, column and message of the faults that are found."""
    with pytest.raises(RulebookRejected) as rejected:
        load([path])
    assert all(fault.place.file == str(path) for fault in rejected.value.faults)
    return [(fault.place.line, fault.place.column, fault.message) for fault in rejected.value.faults]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file(path: Path) -> None:
    """Each fault is reported at its line and column, and no other is."""
    left = reported(path)
    for line, column, words in expected(path):
        match = next((item for item in left if item[:2] == (line, column) and words in item[2]), None)
        assert match is not None, f"{path}:{line}:{column}: {words!r} is not reported; left are {left}"
        left.remove(match)
    assert left == []


def test_all_files_together() -> None:
    """One run names every fault of every file, in order, and nothing is loaded."""
    with pytest.raises(RulebookRejected) as rejected:
        load([FOLDER])
    places = [fault.place for fault in rejected.value.faults]
    assert places == sorted(places)
    assert len(places) == sum(len(expected(path)) for path in FILES) > 90


def test_every_message_says_what_to_do() -> None:
    """A message has two parts: what is wrong, and after that what to do."""
    with pytest.raises(RulebookRejected) as rejected:
        load([FOLDER])
    advice = re.compile(r"[;:,.(] ?\S")
    assert [str(fault) for fault in rejected.value.faults if advice.search(fault.message) is None] == []
