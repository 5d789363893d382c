"""How commands reach the ledger: the database that is named, or the one of the daemon on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from remediator import redaction
from remediator.cli.exits import Exit
from remediator.desk import Desk, open_desk
from remediator.model.errors import ConfigError, PortError

MOST_DIGITS = 18


def add_database_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the ledger is."""
    group = parser.add_argument_group("where the ledger is")
    group.add_argument(
        "--database-url",
        metavar="URL",
        help="a PostgreSQL server (REMEDIATOR_DATABASE_URL); without it, the embedded one on this machine",
    )
    group.add_argument("--state-dir", metavar="DIR", type=Path, help="the daemon's state folder (REMEDIATOR_STATE_DIR)")


def incident_number(text: str) -> int:
    """Parse ``17`` or ``#17``."""
    number = numbered(text, "#")
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no incident number: write 17 or #17")
    return number


def words(text: str) -> str:
    """Take somebody's own words, for the ledger and for others to read: without the secrets that were pasted along."""
    return redaction.text(text)


def how_many(text: str) -> int:
    """Parse how many lines or rows to show; raises the error that argparse shows."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines: write 1 to 999999")
    return int(text)


def numbered(text: str, prefix: str) -> int | None:
    """Return the number in ``17`` or, with prefix A, ``A17`` or ``a17``; None if it is none that a bigint can hold."""
    digits = text.upper().removeprefix(prefix)
    return int(digits) if digits.isdecimal() and len(digits) <= MOST_DIGITS else None


def at_desk(args: argparse.Namespace, work: Callable[[Desk], Awaitable[int]]) -> int:
    """Open the ledger, do the work, and turn what goes wrong into a sentence and an exit code."""
    return guarded(args, lambda: asyncio.run(_at_desk(args, work)))


def guarded(args: argparse.Namespace, work: Callable[[], int]) -> int:
    """Do the work, and turn what goes wrong with the ledger into a sentence and an exit code."""
    try:
        return work()
    except ConfigError as error:
        for problem in error.problems:
            print(f"remediator: {problem}", file=sys.stderr)
        return Exit.FAULTY
    except PortError as error:
        print(f"remediator: the ledger cannot be used: {error.message}", file=sys.stderr)
        if args.database_url or os.environ.get("REMEDIATOR_DATABASE_URL"):
            print("look whether --database-url (REMEDIATOR_DATABASE_URL) is right and its server runs", file=sys.stderr)
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our pipe (head, less) has seen enough.
        sys.stderr.close()
        return Exit.OK


async def _at_desk(args: argparse.Namespace, work: Callable[[Desk], Awaitable[int]]) -> int:
    flags = {"database_url": args.database_url, "state_dir": args.state_dir}
    async with open_desk({name: value for name, value in flags.items() if value is not None}) as desk:
        return await work(desk)
