"""The kill switch of one replica, which needs no database: while the file is there, nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from remediator.model.pause import Pause, PauseScope

MOST_BYTES = 200


class FilePause:
    """Implements ports.pauses.PauseFile. Looked at for every write: a stat costs some microseconds."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist."""
        self._path = path

    def read(self) -> Pause | None:
        """Return the pause while the file is there; its text is the reason. A file that cannot be read counts."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._pause(f"{self._path} cannot be looked at ({error.strerror})", datetime.fromtimestamp(0, UTC))
        try:
            with self._path.open("rb") as file:
                text = file.read(MOST_BYTES).decode("utf-8", "replace")
        except OSError as error:
            text = f"{self._path} cannot be read ({error.strerror})"
        reason = " ".join(text.split()) or f"the file {self._path} is there"
        return self._pause(reason, datetime.fromtimestamp(found.st_mtime, UTC))

    def _pause(self, reason: str, since: datetime) -> Pause:
        return Pause(number=0, scope=PauseScope.GLOBAL, reason=reason, actor="the pause file", since=since)
