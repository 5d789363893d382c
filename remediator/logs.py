"""The log, set up once: one JSON object a line for machines, readable lines, as wide as it is, on a terminal.

Everything goes through here, also what libraries say through the standard library's logging. Values of keys that are
known to be harmless (numbers, names of our own making) are written as they are; every other text is searched for
credentials first, and control characters are spelt everywhere, because labels and error messages come from outside.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from remediator.intake.scrub import hide_secrets, spell_controls
from remediator.redaction import MARK

MAX_TEXT_CHARS = 8192
"""Of one text in one line; an exception's trace may have four times as many."""

USUAL_COLUMNS = 100
"""Of a terminal that does not tell how wide it is."""

_LEAST_COLUMNS = 60
_INDENT = 4
_MAX_DEPTH = 4
_MAX_ITEMS = 50
_TRACE_FACTOR = 4

# Texts of our own making: nothing foreign can stand in them, so they are not searched.
PLAIN_KEYS = frozenset(
    {"action", "code", "count", "incident", "level", "method", "outcome", "seconds", "stage", "timestamp", "version"}
)
# A value under such a key is a secret whatever it looks like.
SECRET_KEYS = frozenset(
    {"authorization", "cookie", "credentials", "dsn", "key", "passphrase", "password", "secret", "set-cookie", "token"}
)


# Of what stands on a terminal; anything else is bold. The sixteen basic colours follow the terminal's own theme.
_COLOURS = {"dim": "2", "key": "36", "debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}


class LogFormat(StrEnum):
    """How lines are written. ``auto``: console on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least urgent lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def set_up(log_format: LogFormat = LogFormat.AUTO, level: LogLevel = LogLevel.INFO, out: TextIO | None = None) -> None:
    """Configure structlog and the standard library's logging to write to ``out`` (standard error by default)."""
    stream = sys.stderr if out is None else out
    lowest = logging.getLevelNamesMapping()[level.upper()]
    console = log_format is LogFormat.CONSOLE or (log_format is LogFormat.AUTO and stream.isatty())
    renderer: Processor = Console(stream) if console else structlog.processors.JSONRenderer(serializer=_to_json)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, redact, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries' chatter about each connection belongs into no log of ours, even when debugging.
    root.setLevel(max(lowest, logging.INFO))


def redact(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Make every value fit to be written; a structlog processor."""
    return {_clean_key(key): _clean(key, value, 0) for key, value in event.items()}


def _clean_key(key: str) -> str:
    return key if key.isascii() and key.isprintable() else spell_controls(key)


def _clean(key: str, value: Any, depth: int) -> Any:
    if key.lower() in SECRET_KEYS and value:
        return MARK
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, str):
        return _clean_text(key, value)
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        first = list(value.items())[:_MAX_ITEMS]
        return {_clean_key(str(name)): _clean(str(name), inner, depth + 1) for name, inner in first}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, inner, depth + 1) for inner in list(value)[:_MAX_ITEMS]]
    return _clean_text(key, str(value))


def _clean_text(key: str, text: str) -> str:
    trace = key == "exception"
    limit = MAX_TEXT_CHARS * (_TRACE_FACTOR if trace else 1)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return spell_controls(text if key in PLAIN_KEYS else hide_secrets(text), keep_breaks=trace)


def _to_json(event: EventDict, **_: Any) -> str:
    return msgspec.json.encode(event).decode()


class Console:
    """Writes events for people; a structlog processor, the last one.

    One line each in a file. On a terminal it has colours and is folded to the terminal's width; lines that go on are
    indented, so that none can pass for the beginning of another event. Digests are cut to what people compare.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write for ``stream``."""
        self._stream = stream
        self._terminal = stream.isatty()

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> str:
        """Return the text of one event."""
        words = list(self._words(dict(event)))
        traces = [str(event[key]) for key in ("stack", "exception") if event.get(key)]
        if not self._terminal:
            return "\n".join([" ".join(text for text, _ in words), *traces])
        return "\n".join([*_folded(words, self._columns()), *traces])

    def _words(self, event: EventDict) -> Iterable[tuple[str, str]]:
        """Yield words with their painted form: time, level, what happened, and the fields."""
        level, what = str(event.pop("level", "")), str(event.pop("event", ""))
        yield self._painted(str(event.pop("timestamp", ""))[:19].replace("T", " ") + "Z", "dim")
        yield self._painted(f"{level:<7}", level)
        # One word as a rule: what happened is read at a glance.
        yield from (
            self._painted(part, "event") for part in ([what] if len(what) < _LEAST_COLUMNS else what.split(" "))
        )
        told = what == f"{event.get('stage')} {event.get('outcome')}"
        hidden = {"stack", "exception", *(("stage", "outcome") if told else ())}
        for key, value in event.items():
            if key not in hidden and value not in ([], {}, ""):
                first, *rest = f"{key}={_spoken(key, value)}".split(" ")
                yield first, self._painted(f"{key}=", "key")[1] + first.removeprefix(f"{key}=")
                yield from ((word, word) for word in rest)

    def _painted(self, text: str, what: str) -> tuple[str, str]:
        return text, f"\x1b[{_COLOURS.get(what, '1')}m{text}\x1b[0m" if self._terminal else text

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return max(columns, _LEAST_COLUMNS) if columns else USUAL_COLUMNS


def _folded(words: Iterable[tuple[str, str]], columns: int) -> list[str]:
    """Return lines of at most so many columns; only a single word may be longer."""
    lines: list[str] = []
    used = columns
    for text, painted in words:
        if used + 1 + len(text) > columns:
            lines.append(" " * _INDENT * bool(lines) + painted)
            used = len(text) + _INDENT * (len(lines) > 1)
        else:
            lines[-1] += f" {painted}"
            used += 1 + len(text)
    return lines


def _spoken(key: str, value: Any) -> str:
    """Return a value as people would write it; text with blanks in quotation marks."""
    match value:
        case None | bool():
            return str(value).lower()
        case Mapping():
            return "{" + ", ".join(f"{name}={_spoken(name, inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(_spoken("", inner) for inner in value) + "]"
        case str() if key == "digest":
            return value[:12]
        case str() if not value or any(mark in value for mark in ' "=,{}[]'):
            return '"' + value.replace('"', '\\"') + '"'
        case _:
            return str(value)
