"""The pause that a file makes: while it is there, and where nobody can tell whether it is."""

from __future__ import annotations

from pathlib import Path

from remediator.adapters.pause_file import FilePause
from remediator.model.pause import PauseScope


def test_there_or_not(tmp_path: Path) -> None:
    """Looked at anew each time; its text is the reason, in one line and not at any length."""
    place = tmp_path / "paused"
    file = FilePause(place)
    assert file.read() is None
    place.touch()
    found = file.read()
    assert found is not None
    assert (found.scope, found.until, found.reason) == (PauseScope.GLOBAL, None, f"the file {place} is there")
    place.write_text("migration\n of the  database " + "x" * 1000)
    found = file.read()
    assert found is not None
    assert found.reason.startswith("migration of the database xxx")
    assert len(found.reason) <= 200
    place.unlink()
    assert file.read() is None


def test_what_cannot_be_looked_at_counts(tmp_path: Path) -> None:
    """A link that leads in a circle, and a folder in the file's place: whoever put it there meant to stop us."""
    place = tmp_path / "paused"
    place.symlink_to(place)
    found = FilePause(place).read()
    assert found is not None
    assert "cannot be looked at" in found.reason
    (tmp_path / "folder").mkdir()
    found = FilePause(tmp_path / "folder").read()
    assert found is not None
    assert "cannot be read" in found.reason
