"""Values of settings: from what a user writes to what the program works with, and back.

A reader takes a text and returns a value; what it cannot read it refuses by a ValueError whose message goes on after
the text, as in ``10x is no span of time``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from remediator.model.rule import RateLimit
from remediator.model.target import Kind

_SPAN = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")
_RATE = re.compile(r"^(\d+)/(.+)$")

_WILD = re.compile(r"[*?\[]")
_KINDS = tuple(f"{kind.lower()}/" for kind in Kind)
_SLASHES = 2

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@-]{0,62})=(https?://.*)")

DEFAULT_SOURCE = "alertmanager"
"""The source of alerts whose sender has no name of its own, as in the files of credentials."""

Read = Callable[[str], Any]


def span(text: str) -> float:
    """Return the seconds of ``90s``, ``10m``, ``1h30m`` or ``90d``."""
    found = _SPAN.fullmatch(text)
    if not found or not text:
        raise ValueError("is no span of time; write 90s, 10m, 1h30m or 90d")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def rate(text: str) -> RateLimit:
    """Return the limit of ``6/10m``; none of its numbers may be 0, for nothing means unlimited."""
    found = _RATE.fullmatch(text)
    if not found:
        raise ValueError("is no limit; write 6/10m for six in any ten minutes")
    count, window = int(found.group(1)), int(span(found.group(2)))
    if count < 1 or window < 1:
        raise ValueError("must allow at least one in at least a second; use --mode observe to allow nothing")
    return RateLimit(count=count, window_s=window)


def whole(least: int, most: int) -> Read:
    """Return a reader of whole numbers between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"is no whole number from {least} to {most}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Read:
    """Return a reader of spans between two bounds, in seconds."""

    def read(text: str) -> float:
        value = span(text)
        if not least <= value <= most:
            raise ValueError(f"must be between {_written_span(least)} and {_written_span(most)}")
        return value

    return read


def choice(*words: str) -> Read:
    """Return a reader of one of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def written(value: object) -> str:
    """Return a value as a user would write it: what its reader reads back."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return _written_span(value)
        case RateLimit(count=count, window_s=window_s):
            return f"{count}/{_written_span(window_s)}"
        case (str() as host, int() as port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case tuple():
            return ",".join(str(part) for part in value)
        case _:
            return str(value)


def _written_span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.10g}s"


def listen(text: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9095``, ``[::1]:9095`` or ``:9095``."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError("is no address to listen at; write 127.0.0.1:9095 (port 0: any free one)")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - what ":9095" means everywhere


def path(text: str) -> Path:
    """Return a path, ``~`` resolved."""
    if not text or "\0" in text:
        raise ValueError("is no path")
    return Path(text).expanduser()


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def targets(text: str) -> tuple[str, ...]:
    """Return the patterns of a list with commas; refuses one that no target can fit: it would protect nothing."""
    found = words(text)
    for pattern in found:
        if not _fits_a_target(pattern.lower()):
            raise ValueError(
                f"holds {pattern!r}, which no target fits; write deployment/backstage/postgres,"
                " or a pattern such as */monitoring/*"
            )
    return found


def _fits_a_target(pattern: str) -> bool:
    """Tell whether a pattern may fit a target's key (``deployment/backstage/postgres``)."""
    begins = _WILD.split(pattern, maxsplit=1)[0]
    if begins == pattern:
        return pattern.startswith(_KINDS) and pattern.count("/") == _SLASHES and all(pattern.split("/"))
    known = any(begins.startswith(kind) or kind.startswith(begins) for kind in _KINDS)
    return known and pattern.count("/") <= _SLASHES


def namespaces(text: str) -> tuple[str, ...]:
    """Return the patterns of a list with commas; refuses one that no namespace can fit."""
    found = words(text)
    for pattern in found:
        if "/" in pattern:
            raise ValueError(
                f"holds {pattern!r}, which is no namespace; write kube-system, or a pattern such as team-*"
            )
    return found


def yes(text: str) -> bool:
    """Return a truth value."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError("must be true or false")
    return known[text.lower()]


def web_url(text: str) -> str:
    """Return an http or https URL."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http or https URL")
    return text


def address(text: str) -> str:
    """Return the base address of an HTTP API, without a slash at its end; credentials have no place in it."""
    parts = urlsplit(web_url(text))
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; give them in a file")
    if parts.query or parts.fragment:
        raise ValueError("is no base address: nothing may stand behind the path")
    return text.rstrip("/")


def alertmanagers(text: str) -> tuple[str, ...]:
    """Return ``source=address`` of each part of ``http://am-0:9093,prod=http://am-1:9093``."""
    found: list[str] = []
    for part in words(text):
        named = _NAMED.fullmatch(part)
        source, place = (named.group(1), named.group(2)) if named else (DEFAULT_SOURCE, part)
        found.append(f"{source}={address(place)}")
    if len(set(found)) < len(found):
        raise ValueError("names the same Alertmanager twice")
    return tuple(found)


def postgres_url(text: str) -> str:
    """Return a PostgreSQL connection string."""
    if urlsplit(text).scheme not in ("postgresql", "postgres"):
        raise ValueError("is no connection string; write postgresql://user@host:5432/database")
    return text
