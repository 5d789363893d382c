"""``remediator ledger migrate``: bring the schema up to date as its owner, for daemons that log in as somebody less."""

from __future__ import annotations

import argparse
import asyncio

from remediator.adapters.ledger.migrate import migrate
from remediator.cli.exits import Exit
from remediator.cli.reading import guarded
from remediator.model.errors import ConfigError
from remediator.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="the PostgreSQL server, and as user the schema's owner (REMEDIATOR_DATABASE_URL)",
    )


def run(args: argparse.Namespace) -> int:
    """Migrate, and say what was done."""
    return guarded(args, lambda: asyncio.run(_migrate(args)))


async def _migrate(args: argparse.Namespace) -> int:
    dsn = load_settings({"database_url": args.database_url} if args.database_url else {}).database_url
    if dsn is None:
        raise ConfigError("give --database-url: an embedded database is brought up to date by every start")
    report = await migrate(dsn)
    for warning in report.warnings:
        print(f"warning: {warning}")
    done = f"applied {', '.join(map(str, report.applied))}" if report.applied else "there was nothing to do"
    print(f"the schema is at version {report.version}; {done}")
    return Exit.OK
