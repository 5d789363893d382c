"""Colours for a terminal, none for a pipe, and text that cannot take the terminal over."""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import dataclass
from typing import TextIO

CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
LEAST_ROOM = 20
"""Columns below which folding would make a column of single words."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Paint:
    """Paints if ``on``. The sixteen basic colours follow the terminal's own theme, dark or light.

    ``terminal``: what is printed to, if it is a terminal; text is folded to its width.
    """

    on: bool
    terminal: TextIO | None = None

    def __call__(self, text: str, *colours: str) -> str:
        """Return the text in these colours."""
        if not self.on or not colours or not text:
            return text
        return f"\x1b[{';'.join(CODES[colour] for colour in colours)}m{text}\x1b[0m"

    @property
    def columns(self) -> int:
        """Return the terminal's width as it is now; 0 where nothing is to be folded, as in a pipe."""
        if self.terminal is None:
            return 0
        try:
            return os.get_terminal_size(self.terminal.fileno()).columns
        except (OSError, ValueError):
            return 0


def paint_for(stream: TextIO) -> Paint:
    """Paint for a terminal, unless NO_COLOR is set; never for a pipe, unless FORCE_COLOR is set."""
    terminal = stream if stream.isatty() else None
    if os.environ.get("NO_COLOR"):
        return Paint(on=False, terminal=terminal)
    return Paint(on=bool(os.environ.get("FORCE_COLOR")) or terminal is not None, terminal=terminal)


def fold(text: str, columns: int, indent: int, used: int | None = None) -> list[str]:
    """Return text as lines of at most so many columns without their indentation: ``indent``, or in the first ``used``.

    Only a single word may be longer. Not folded: for ``columns`` 0, and where hardly a word would find room.
    """
    first = indent if used is None else used
    if columns < max(indent, first) + LEAST_ROOM:
        return [text]
    # What the first line has less room than the others by, it is given as a word that cannot be broken.
    taken, room = "x" * max(0, first - indent), columns - indent
    found = textwrap.wrap(taken + text, room, break_long_words=False, break_on_hyphens=False) or [text]
    return [found[0].removeprefix(taken), *found[1:]]


def safe(text: str) -> str:
    """Return foreign text with control and direction characters made visible: labels are data, not commands."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def spelt_json(text: str) -> str:
    r"""Return JSON without line breaks of its own with such characters as ``\uXXXX``: equal data, harmless to show."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def table(rows: list[list[str]], head: list[str], columns: int = 0) -> list[str]:
    """Return aligned lines: a head and rows, columns two spaces apart; the last one is folded, or as long as it is."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    if columns >= indent + LEAST_ROOM:
        widths[-1] = min(widths[-1], columns - indent)

    def line(cells: list[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
        first, *more = fold(cells[-1], columns, indent)
        return "\n".join(["  ".join([*padded, first]).rstrip(), *(" " * indent + text for text in more)])

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)]
