"""``remediator serve``: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remediator.cli.endings import ended_by
from remediator.cli.exits import Exit
from remediator.model.errors import ConfigError, InvariantBroken, LedgerError
from remediator.options import OPTIONS, Option
from remediator.settings import draft_settings
from remediator.values import path, yes

# What a value looks like, by its default.
_FORMS = {r"\d+": "N", r"\d+/\d+[smhd]": "N/TIME", r"\d+[smhd]": "TIME"}
_NAMED = {
    "listen": "HOST:PORT",
    "state_dir": "DIR",
    "rules": "PATH",
    "context": "NAME",
    "protected": "TARGETS",
    "own_workloads": "TARGETS",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a flag for every setting."""
    parser.usage = "%(prog)s [FLAG [VALUE]]..."
    parser.epilog = "Every flag is also an environment variable (--listen: REMEDIATOR_LISTEN) and a key of --config."
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file with settings; flags and variables win")
    for option in OPTIONS:
        default = f" (default: {option.default})" if option.default and option.read is not yes else ""
        text = (option.help + default).replace("%", "%%")
        value: dict[str, Any] = {"nargs": "?", "const": "true"} if option.read is yes else {}
        parser.add_argument(option.flag, dest=option.name, metavar=_metavar(option), help=text, **value)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, which end it in good order at any time."""
    with _leaving():
        return _serve(args)


def _serve(args: argparse.Namespace) -> int:
    config = args.config or (Path(found) if (found := os.environ.get("REMEDIATOR_CONFIG")) else None)
    try:
        flags = {option.name: getattr(args, option.name) for option in OPTIONS}
        draft = draft_settings(flags, config=config, serving=True)
        from remediator.wiring import start

        asyncio.run(start(draft))
    except ConfigError as error:
        return ended_by(error)
    except LedgerError as error:
        print(f"remediator: cannot start: the database: {error}", file=sys.stderr)
        return Exit.FAILED
    except (InvariantBroken, BaseExceptionGroup) as error:
        return ended_by(error)
    return Exit.OK


@contextmanager
def _leaving() -> Iterator[None]:
    """Leave with success when a signal comes before the loop answers it: nothing has been opened yet."""

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(Exit.OK)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _metavar(option: Option) -> str:
    """Return a word for the value in the help: what is to be written there."""
    if option.read is yes:
        return "true|false"
    if option.read is path and option.name not in _NAMED:
        return "FILE"
    form = next((form for pattern, form in _FORMS.items() if re.fullmatch(pattern, option.default)), "")
    return _NAMED.get(option.name) or form or option.name.rpartition("_")[2].upper()
