"""The file of databases: which may be looked at and changed, where they are, and where their passwords are.

The passwords themselves are not in it: each entry names a file, or a key of a Kubernetes Secret.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remediator.model.errors import ConfigError

TLS = ("verify", "require", "off")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WORKLOAD = re.compile(r"(deployment|statefulset|daemonset)/[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}")
_SECRET = re.compile(r"[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}/[-._a-zA-Z0-9]{1,253}")
_HEADER = re.compile(r"\s*\[\[\s*database\s*\]\]")
_SIZE = re.compile(r"([1-9][0-9]{0,11})(Ki|Mi|Gi|Ti)?B?")
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_PORTS = range(1, 65536)
LARGEST = 256 * 1024
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One database. ``workload`` is the key of what it runs in (``deployment/backstage/postgres``).

    ``memory``: bytes that the server may use, where it is not the limit of a container. ``secret`` is
    ``namespace/name/key``. ``line``: where its password file, or else itself, stands in the file.
    """

    name: str
    workload: str
    host: str
    port: int
    database: str
    user: str
    password_file: Path | None
    secret: str
    tls: str
    ca: Path | None
    memory: int | None
    line: int = 1


@dataclass(frozen=True, slots=True)
class _Field:
    """One key of an entry: its type, and what its value must look like (``says``)."""

    kind: type
    says: str
    fits: re.Pattern[str] | range | tuple[str, ...] | None = None
    needed: bool = False


_PLAIN = re.compile(r"[^\x00-\x1f]{1,253}")
_FIELDS = {
    "name": _Field(str, "a name of lower case letters, digits and dashes", _NAME, needed=True),
    "workload": _Field(str, "what it runs in, like deployment/backstage/postgres", _WORKLOAD, needed=True),
    "host": _Field(str, "a host name, an address, or the folder of a socket", _PLAIN, needed=True),
    "port": _Field(int, "a port from 1 to 65535", _PORTS),
    "database": _Field(str, "the database that the functions are installed in", _PLAIN, needed=True),
    "user": _Field(str, "the role to log in as", _PLAIN, needed=True),
    "password_file": _Field(str, "a file that holds the password alone", _PLAIN),
    "password_secret": _Field(str, "namespace/name/key of a Kubernetes Secret", _SECRET),
    "tls": _Field(str, f"one of {', '.join(TLS)}", TLS),
    "ca": _Field(str, "a PEM file with the authority to trust", _PLAIN),
    "memory": _Field(str, "a size like 4GiB", _SIZE),
}


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a file; raise ConfigError with every fault, each with file and line."""
    text, document = _document(path)
    lines = _lines(text)
    given = document.pop("database", [])
    problems = [f"{path}:1: there is no such key: {key}; write [[database]] for each database" for key in document]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ConfigError(*problems, f"{path}:1: write [[database]], with two brackets, for each database")
    if len(given) > MOST:
        raise ConfigError(f"{path}:1: {len(given)} databases, at most {MOST} are looked at")
    entries, seen = [], dict[str, str]()
    for number, raw in enumerate(given):
        where = lines[number] if number < len(lines) else {"": 1}
        faults = sorted((where.get(key, where[""]), fault) for key, fault in _faults(raw, seen))
        problems += [f"{path}:{line}: {fault}" for line, fault in faults]
        if not faults:
            entries.append(_entry(raw, path.parent, where.get("password_file", where[""])))
    if problems:
        raise ConfigError(*problems)
    return tuple(entries)


def _document(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: larger than {LARGEST} bytes: this is no file of databases")
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror} (--databases)") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{path}:{line.group(1) if line else 1}: is no TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: is no text in UTF-8") from error


def _lines(text: str) -> list[dict[str, int]]:
    """Return, for each entry, the lines that its keys are on; its first line under the key ""."""
    found: list[dict[str, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if _HEADER.match(line):
            found.append({"": number})
        elif found and (key := re.match(r"\s*[\"']?(\w+)[\"']?\s*=", line)):
            found[-1].setdefault(key.group(1), number)
    return found


def _faults(raw: dict[str, Any], seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an entry, each with the key it is about; ``seen`` has names and workloads so far."""
    for key in raw.keys() - _FIELDS.keys():
        hint = "; a password is never in this file: name a password_file" if "pass" in key else ""
        yield key, f"there is no such key: {key}{hint}; known are {', '.join(_FIELDS)}"
    for key, field in _FIELDS.items():
        if key not in raw:
            if field.needed:
                yield "", f"{key} is missing: {field.says}"
        elif not _fits(raw[key], field):
            yield key, f"{key}: must be {field.says}"
    if ("password_file" in raw) == ("password_secret" in raw):
        yield "", "give one of password_file and password_secret"
    if "ca" in raw and raw.get("tls", "verify") != "verify":
        yield "ca", "ca: only with tls = 'verify'"
    yield from _twice(raw, seen)


def _twice(raw: dict[str, Any], seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key in ("name", "workload"):
        value = raw.get(key)
        if isinstance(value, str):
            if value in seen:
                yield key, f"{key} {value} stands twice; a workload runs one database server"
            seen[value] = key


def _fits(value: object, field: _Field) -> bool:
    if type(value) is not field.kind:
        return False
    if isinstance(field.fits, re.Pattern):
        return isinstance(value, str) and field.fits.fullmatch(value) is not None
    return field.fits is None or value in field.fits


def _entry(raw: dict[str, Any], folder: Path, line: int) -> Entry:
    def path(key: str) -> Path | None:
        return folder / raw[key] if key in raw else None

    host: str = raw["host"]
    return Entry(
        name=raw["name"],
        workload=raw["workload"],
        host=host,
        port=raw.get("port", 5432),
        database=raw["database"],
        user=raw["user"],
        password_file=path("password_file"),
        secret=raw.get("password_secret", ""),
        tls="off" if host.startswith("/") else raw.get("tls", "verify"),
        ca=path("ca"),
        memory=_bytes(raw["memory"]) if "memory" in raw else None,
        line=line,
    )


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    return int(match.group(1)) * _UNITS[match.group(2) or ""] if match else 0
