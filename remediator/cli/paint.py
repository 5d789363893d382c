"""Colours for a terminal, none for a pipe, and text that cannot take the terminal over."""

from __future__ import annotations

import os
import re
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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Paint:
    """Paints if ``on``. The sixteen basic colours follow the terminal's own theme, dark or light."""

    on: bool

    def __call__(self, text: str, *colours: str) -> str:
        """Return the text in these colours."""
        if not self.on or not colours or not text:
            return text
        return f"\x1b[{';'.join(CODES[colour] for colour in colours)}m{text}\x1b[0m"


def paint_for(stream: TextIO) -> Paint:
    """Paint for a terminal, unless NO_COLOR is set; never for a pipe, unless FORCE_COLOR is set."""
    if os.environ.get("NO_COLOR"):
        return Paint(on=False)
    return Paint(on=bool(os.environ.get("FORCE_COLOR")) or stream.isatty())


def safe(text: str) -> str:
    """Return foreign text with control and direction characters made visible: labels are data, not commands."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def spelt_json(text: str) -> str:
    r"""Return JSON without line breaks of its own with such characters as ``\uXXXX``: equal data, harmless to show."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def table(rows: list[list[str]], head: list[str]) -> list[str]:
    """Return aligned lines: a head and rows, columns two spaces apart, the last one as long as it is."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
        return "  ".join([*padded, cells[-1]]).rstrip()

    return [line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)]
