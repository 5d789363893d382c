"""The log, set up once: one JSON object a line for machines, readable lines on a terminal.

Everything goes through here, also what libraries say through the standard library's logging. Values of keys that are
known to be harmless (numbers, names of our own making) are written as they are; every other text is searched for
credentials first, and control characters are spelt everywhere, because labels and error messages come from outside.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from remediator.intake.scrub import MASK, hide_secrets, spell_controls

MAX_TEXT_CHARS = 8192
"""Of one text in one line; an exception's trace may have four times as many."""

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
    renderer: Processor = _console(stream) if console else structlog.processors.JSONRenderer(serializer=_to_json)
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
        return MASK
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


def _console(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=30
    )
