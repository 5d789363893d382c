"""The log: shape, context, and nothing in it that must not be."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import termios
from typing import Any

import pytest
import structlog

from remediator.logs import MAX_TEXT_CHARS, USUAL_COLUMNS, LogFormat, LogLevel, set_up

CANARY = "hunter2hunter2"


@pytest.fixture
def out() -> io.StringIO:
    """The stream that is logged to."""
    return io.StringIO()


def line(out: io.StringIO) -> dict[str, Any]:
    """The one line that was written."""
    (text,) = out.getvalue().splitlines()
    written: dict[str, Any] = json.loads(text)
    return written


def test_one_json_object_a_line(out: io.StringIO) -> None:
    """With level and time; where it is no terminal, without being asked."""
    set_up(out=out)
    structlog.get_logger().info("started", port=9095, ok=True, nothing=None, share=0.5)
    found = line(out)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "started", "level": "info", "port": 9095, "ok": True, "nothing": None, "share": 0.5}


def test_ids_are_on_every_line(out: io.StringIO) -> None:
    """What is bound to the context stands on each line until it is unbound, on those of libraries too."""
    set_up(out=out)
    with structlog.contextvars.bound_contextvars(incident=7, action=42):
        structlog.get_logger().warning("claimed")
        logging.getLogger("library").warning("odd")
    structlog.get_logger().info("later")
    first, second, third = map(json.loads, out.getvalue().splitlines())
    assert (first["incident"], first["action"]) == (second["incident"], second["action"]) == (7, 42)
    assert "incident" not in third


def test_libraries_are_written_alike(out: io.StringIO) -> None:
    """Level, logger and message; their chatter is not."""
    set_up(LogFormat.JSON, LogLevel.DEBUG, out)
    logging.getLogger("aiohttp.server").error("bad %s", f"password={CANARY}")
    logging.getLogger("asyncio").debug("Using selector")
    found = line(out)
    assert (found["event"], found["level"], found["logger"]) == ("bad password=[redacted]", "error", "aiohttp.server")


def test_levels(out: io.StringIO) -> None:
    """What is less urgent is not written."""
    set_up(level=LogLevel.WARNING, out=out)
    structlog.get_logger().info("quiet")
    logging.getLogger("x").info("quiet")
    structlog.get_logger().error("loud")
    assert line(out)["event"] == "loud"


@pytest.mark.parametrize(
    "fields",
    [
        {"error": f"https://user:{CANARY}@host refused"},
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"headers": {"Authorization": CANARY}},
        {"deep": [{"x": [{"password": CANARY}]}]},
        {"token": CANARY},
        {"labels": {"x": f"token={CANARY}"}},
        {"dsn": f"host=db user=x passwd={CANARY}"},
        {"object": Exception(f"secret: {CANARY}")},
        {"exc_info": ValueError(f"api_key={CANARY}")},
        {f"x-password={CANARY}": {"secret": CANARY}, "PASSWORD": CANARY},
    ],
)
@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_secrets_do_not_reach_the_log(out: io.StringIO, fields: dict[str, Any], log_format: LogFormat) -> None:
    """Wherever they hide: in a value, a nested one, an exception, a trace."""
    fields = {key: value for key, value in fields.items() if CANARY not in key} | {"n": 1}
    set_up(log_format, out=out)
    structlog.get_logger().error(f"went wrong with password={CANARY}", **fields)
    assert CANARY not in out.getvalue()
    assert "went wrong" in out.getvalue()


def test_traces_are_kept(out: io.StringIO) -> None:
    """With their lines, and those of grouped exceptions."""
    set_up(out=out)
    group = ExceptionGroup("several", [ValueError("first"), KeyError("second")])
    structlog.get_logger().error("fault", exc_info=group)
    trace = line(out)["exception"]
    assert "ValueError: first" in trace
    assert "KeyError: 'second'" in trace
    assert "\n" in trace


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_foreign_text_cannot_forge_lines_or_colours(out: io.StringIO, log_format: LogFormat) -> None:
    """Control characters are spelt, also in keys and in our own kinds of values."""
    set_up(log_format, out=out)
    evil = "x\n2026 [error] forged\x1b[31m\u202e\ud800\x00"
    structlog.get_logger().info("got", pod=evil, outcome=evil, labels={evil: evil})
    structlog.get_logger().info(evil)
    text = out.getvalue()
    assert len(text.splitlines()) == 2
    assert not any(character in text for character in "\x1b\u202e\ud800\x00")
    assert "x\\n2026" in text.replace("\\\\n", "\\n")


def test_large_values_are_cut(out: io.StringIO) -> None:
    """No line is longer than anybody reads."""
    set_up(out=out)
    deep: Any = "leaf"
    for _ in range(20):
        deep = {"d": deep}
    structlog.get_logger().info(
        "big", text="x" * 100_000, many=list(range(1000)), deep=deep, keys={n: n for n in range(99)}
    )
    found = line(out)
    assert len(found["text"]) == MAX_TEXT_CHARS
    assert len(found["many"]) == len(found["keys"]) == 50
    assert "…" in json.dumps(found["deep"], ensure_ascii=False)


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def shown(terminal: Terminal) -> list[str]:
    """What is seen of it, without the colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()


def test_lines_are_no_wider_than_the_terminal(out: io.StringIO) -> None:
    """They are folded between words, and what goes on is indented; in a file an event is one line."""
    told = "unreachable: " + "the API server did not answer within 10 s " * 5
    fields = {"error": told, "faults": [f"rules/{number}.yaml:7: what is this" for number in range(9)], "empty": []}
    terminal = Terminal()
    set_up(out=terminal)
    structlog.get_logger().warning("rules rejected", stage="rules", outcome="rejected", digest="ab" * 32, **fields)
    lines = shown(terminal)
    assert max(map(len, lines)) <= USUAL_COLUMNS
    assert len(lines) > 5
    assert all(line.startswith("    ") and line[4] != " " for line in lines[1:])
    whole = " ".join(line.strip() for line in lines)
    assert told.strip() in whole
    assert "rules rejected digest=abababababab " in whole
    assert "stage=" not in whole
    assert "empty" not in whole
    set_up(LogFormat.CONSOLE, out=out)
    structlog.get_logger().warning("rules rejected", stage="rules", outcome="rejected", digest="ab" * 32, **fields)
    (line,) = out.getvalue().splitlines()
    assert line[20:] == whole[20:]


def test_lines_fold_at_the_width_that_the_terminal_has_now(out: io.StringIO) -> None:
    """Somebody makes the window narrower."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb") as screen:
        set_up(out=terminal)
        for columns in (70, 140):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            structlog.get_logger().info("long", text="word " * 100)
            terminal.flush()
            lines = re.sub(rb"\x1b\[[0-9;]*m", b"", os.read(screen.fileno(), 10_000)).splitlines()
            assert columns - 5 <= max(map(len, lines)) <= columns


def test_a_word_that_is_too_wide_is_left_whole(out: io.StringIO) -> None:
    """An address can be copied; the text of a library that is longer than a line is folded too."""
    terminal = Terminal()
    set_up(out=terminal)
    address = "https://example.com/" + "x" * 200
    structlog.get_logger().info("see " + "this " * 40, address=address, ok=True, nothing=None, said='say "yes"')
    lines = shown(terminal)
    assert f"    address={address}" in lines
    assert lines[-1] == '    ok=true nothing=none said="say \\"yes\\""'
    assert len(lines) == 5


def test_a_terminal_gets_readable_lines(out: io.StringIO) -> None:
    """Words instead of JSON, and colours only there."""
    terminal = Terminal()
    set_up(out=terminal)
    structlog.get_logger().warning("inbox is filling", waiting=900)
    assert "inbox is filling" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()
    set_up(LogFormat.CONSOLE, out=out)
    structlog.get_logger().warning("inbox is filling", waiting=900)
    assert "\x1b[" not in out.getvalue()
    assert "waiting=900" in out.getvalue()
