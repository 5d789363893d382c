"""What is wrong with a rule file, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remediator import redaction
from remediator.model.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A file as the operator named it; ``line`` and ``column`` count from 1, and 0 stands for the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``file:line:column``, or only the file."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One sentence at one place: what is wrong, and what to do."""

    place: Place
    message: str

    def __post_init__(self) -> None:
        """Take out what is known to be a secret: faults quote what is written, and are told, logged and recorded."""
        object.__setattr__(self, "message", redaction.text(self.message, bare=False))

    def __str__(self) -> str:
        """Return ``file:line:column: what, and what to do``."""
        return f"{self.place}: {self.message}"


class RulebookRejected(ConfigError):
    """Rule files that cannot be used; ``faults`` are all that were found, by file and line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep the faults, in order, each once."""
        self.faults: tuple[Fault, ...] = tuple(sorted(set(faults)))
        super().__init__(*(str(fault) for fault in self.faults))
