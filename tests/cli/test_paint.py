"""What is printed on a terminal fits its width, and says the same as in a pipe."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

import pytest

from remediator.cli import lines
from remediator.cli.paint import Paint, fold, paint_for, table
from remediator.model.entry import Entry, EntryKind

RULE = "database-connection-issues"
SENTENCE = (
    "nothing done: deployment/postgres in backstage carries the annotation remediator.io/opt-out:"
    " its owner wants no automatic changes"
)
HOLD = Entry(
    seq=1,
    at=datetime(2026, 3, 14, 3, 12, 45, tzinfo=UTC),
    kind=EntryKind.DECISION_HOLD,
    summary=SENTENCE,
    incident=3,
    action=None,
    rule=RULE,
    target_key="deployment/backstage/postgres",
    reasons=("opted_out",),
    data={},
    actor="remediator",
)


@contextmanager
def terminal(columns: int) -> Iterator[TextIO]:
    """A terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        try:
            yield stream
        finally:
            os.close(ours)


def shown(entry: Entry, columns: int, margin: int = 0) -> list[str]:
    """An entry's lines on such a terminal, without their colours."""
    with terminal(columns) as stream:
        return re.sub(r"\x1b\[[0-9;]*m", "", lines.line(entry, paint_for(stream), margin)).split("\n")


@pytest.mark.parametrize(("columns", "margin"), [(220, 0), (100, 0), (100, 2), (92, 2), (90, 0), (80, 0), (72, 0)])
def test_an_entry_fits_the_terminal(columns: int, margin: int) -> None:
    """No line is longer, what goes on stands below the sentence or, on a narrow one, below the incident."""
    first, *more = shown(HOLD, columns, margin)
    assert max(map(len, [first, *more])) <= columns
    indent = margin + (lines.SENTENCE if columns >= 90 + margin else lines.HEAD.index("INCIDENT"))
    assert {len(line) - len(line.lstrip()) for line in more} == ({indent} if more else set())
    whole = lines.line(HOLD, Paint(on=False), margin)
    assert " ".join(part.strip() for part in [first, *more]).split() == whole.split()
    assert len(more) == 0 if columns == 220 else len(more) > 1


def test_the_rule_is_dim_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is whole, in the colour that says what is less important."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for columns in (220, 100, 80):
        with terminal(columns) as stream:
            assert lines.line(HOLD, paint_for(stream)).endswith(f"\x1b[2m[{RULE}]\x1b[0m")


def test_a_pipe_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read a line an entry, with colours or without; so do terminals that tell no width."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\n" not in lines.line(HOLD, paint_for(io.StringIO()))
    with terminal(0) as stream:
        assert paint_for(stream).columns == 0
        assert "\n" not in lines.line(HOLD, paint_for(stream))


def test_without_colours_it_is_folded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is about colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(100) as stream:
        paint = paint_for(stream)
        assert (paint.on, paint.columns) == (False, 100)


def test_words_are_not_broken() -> None:
    """An address can still be copied; where there is no room for words, nothing is folded."""
    address = "https://runbooks.example.com/common-incidents/service-unavailable"
    assert fold(f"see {address} first", 40, 4) == ["see", address, "first"]
    assert fold("a b c", 10, 4) == ["a b c"]
    assert fold("", 100, 4) == [""]


def test_the_last_column_of_a_table_is_folded() -> None:
    """Below its head, and the rule under the head is no longer than the terminal."""
    rows = [["#3", SENTENCE], ["#12", "short"]]
    assert max(len(line) for line in table(rows, ["OPEN", "TITLE"])) > 100
    found = "\n".join(table(rows, ["OPEN", "TITLE"], 60)).split("\n")
    assert max(map(len, found)) <= 60
    assert found[3].startswith("      ")
    assert found[-1] == "#12   short"
