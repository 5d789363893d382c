"""What a mutant is: small edits of the source by exact text, and the tests that kill it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class MovedError(Exception):
    """The text of an edit is not in its file exactly once: the code has moved, and the mutant has to be mended."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in the file at ``path`` (from the root of the tree). ``text`` stands there exactly once."""

    path: str
    text: str
    replacement: str = ""

    def of(self, source: str) -> str:
        """Return the file's text with the edit made; MovedError where its place is not found."""
        count = source.count(self.text)
        if count != 1:
            first = self.text.strip().splitlines()[0]
            raise MovedError(f"{self.path}: '{first}' is there {count} times: the code has moved, mend the mutant")
        return source.replace(self.text, self.replacement)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One safeguard taken out by ``edits``. ``killers``: node ids of tests, each of which must fail because of it.

    The id of a test with parameters, without them, means any of its cases.
    """

    name: str
    edits: tuple[Edit, ...]
    killers: tuple[str, ...]

    @property
    def where(self) -> str:
        """Return the files that are edited."""
        return ", ".join(dict.fromkeys(edit.path.removeprefix("remediator/") for edit in self.edits))

    def changed(self, root: Path) -> dict[str, str]:
        """Return the new text of each file that the mutant changes in the tree at ``root``."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            texts[edit.path] = edit.of(texts.get(edit.path) or (root / edit.path).read_text(encoding="utf-8"))
        return texts
