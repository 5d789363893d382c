"""The bytes of rule files, read once: what is parsed is what the digest is of."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.rulebook.faults import Fault, Place

SUFFIXES = (".yaml", ".yml")
CASES_SUFFIXES = tuple(f".cases{suffix}" for suffix in SUFFIXES)
LARGEST_FILE = 1024 * 1024
"""Bytes."""
MOST_FILES = 256
"""Files of one directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file as it was read. ``file`` is what the operator would call it. At most one byte over the limit is read."""

    file: str
    raw: bytes

    @property
    def is_cases(self) -> bool:
        """Tell whether it holds cases, not rules."""
        return self.file.endswith(CASES_SUFFIXES)


def read_sources(paths: Sequence[Path]) -> tuple[tuple[Source, ...], tuple[Fault, ...]]:
    """Read the files named, and those of the directories named, in order; never raises OSError."""
    sources: dict[str, Source] = {}
    faults: list[Fault] = []
    for path in paths:
        found, problem = _files(path)
        if problem is not None:
            faults.append(problem)
        for file in found:
            source = _read(file)
            if isinstance(source, Fault):
                faults.append(source)
            else:
                sources[source.file] = source
    return tuple(sources.values()), tuple(faults)


def digest_of(sources: Iterable[Source]) -> str:
    """Return the SHA-256 of the rule files among ``sources``: their names without folders, and their bytes."""
    total = hashlib.sha256()
    rules = (source for source in sources if not source.is_cases)
    for source in sorted(rules, key=lambda item: (Path(item.file).name, item.raw)):
        name = Path(source.file).name.encode("utf-8", "surrogateescape")
        total.update(f"{len(name)} {len(source.raw)}\n".encode() + name + source.raw)
    return total.hexdigest()


def folders_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the directories among ``paths`` and those that the files stand in, each once."""
    return tuple(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def is_there(path: Path) -> bool:
    """Tell whether a file can be seen; one that may not be looked at is not there."""
    try:
        return path.exists()
    except OSError:
        return False


def _files(path: Path) -> tuple[list[Path], Fault | None]:
    """Return the files that a path names. Hidden ones are left out: a mounted ConfigMap keeps its versions there."""
    try:
        if not path.is_dir():
            return [path], None
        found = sorted(
            item for item in path.iterdir() if item.name.endswith(SUFFIXES) and not item.name.startswith(".")
        )
    except OSError as error:
        return [], Fault(Place(str(path)), _unreadable(error))
    if not any(not item.name.endswith(CASES_SUFFIXES) for item in found):
        message = f"there is no rule file in this directory; put at least one *{SUFFIXES[0]} there"
        return [], Fault(Place(str(path)), message)
    if len(found) > MOST_FILES:
        message = f"there are {len(found)} files in this directory; at most {MOST_FILES} are read, join some"
        return [], Fault(Place(str(path)), message)
    return found, None


def _read(path: Path) -> Source | Fault:
    try:
        # Opening a pipe or a device would wait for whoever is at its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            return Fault(Place(str(path)), "this is not a regular file; name a rule file or a directory of them")
        with path.open("rb") as file:
            return Source(file=str(path), raw=file.read(LARGEST_FILE + 1))
    except OSError as error:
        return Fault(Place(str(path)), _unreadable(error))


def _unreadable(error: OSError) -> str:
    return f"this cannot be read ({error.strerror}); correct the path or its permissions"
