"""``remediator log``: the remediation log."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.paint import paint_for
from remediator.cli.reading import add_database_arguments, at_desk, how_many, incident_number
from remediator.desk import Desk
from remediator.ports.ledger import LedgerQuery

FOLLOW_S = 0.5
BATCH = 1000
LOOK_BACK = 200
_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_database_arguments(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="wait for new entries and print them as they come")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=since,
        help="from this time on: 2h, 30m, 7d, or an ISO time such as 2026-03-14T03:00Z",
    )
    parser.add_argument("--incident", metavar="N", type=incident_number, help="only this incident (17 or #17)")
    parser.add_argument(
        "--lines", "-n", metavar="N", type=how_many, default=200, help="at most so many, the newest (default 200)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with all numbers")


def run(args: argparse.Namespace) -> int:
    """Print entries, oldest first."""
    return at_desk(args, lambda desk: _print(args, desk))


async def _print(args: argparse.Namespace, desk: Desk) -> int:
    paint = paint_for(sys.stdout)
    since_at = args.since(desk.clock.now()) if args.since else None
    query = LedgerQuery(since=since_at, incident=args.incident, limit=args.lines)
    found = await desk.view.entries(query)
    if not args.json and (found or args.follow):
        print(paint(lines.HEAD, "bold"))
    first, last = (found[0].seq, found[-1].seq) if found else (1, 0)
    # Numbers are given before the commit, so an entry may become visible after one with a higher number: the follower
    # looks back a little, and prints what it has not printed.
    printed: deque[int] = deque(maxlen=2 * LOOK_BACK)
    while True:
        found = tuple(entry for entry in found if entry.seq not in printed)
        for entry in found:
            print(lines.as_json(entry) if args.json else lines.line(entry, paint))
            printed.append(entry.seq)
            last = max(last, entry.seq)
        sys.stdout.flush()
        if not args.follow:
            break
        if not desk.live:
            # Waiting would also keep the database from the daemon that is to be started.
            print("the daemon does not run here, so nothing will follow", file=sys.stderr)
            break
        if not found:
            await desk.clock.sleep(FOLLOW_S)
        after = max(last - LOOK_BACK, first - 1)
        found = await desk.view.entries(LedgerQuery(after=after, incident=args.incident, limit=BATCH))
    return Exit.OK if last else _nothing(args)


def _nothing(args: argparse.Namespace) -> Exit:
    """Say that there is nothing to show; an incident that was asked for by its number should be there."""
    if args.incident is not None and not args.since:
        words = f"remediator: the ledger has no incident {args.incident}; remediator log shows what it has"
        print(words, file=sys.stderr)
        return Exit.NOT_FOUND
    if not args.json:
        print("the ledger has nothing of that; see remediator log --help", file=sys.stderr)
    return Exit.OK


def since(text: str) -> Callable[[datetime], datetime]:
    """Parse ``2h``, ``1d12h`` or an ISO time; raises the error that argparse shows."""
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        ago = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in spans))
        return lambda now: now - ago
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a span such as 2h or 30m nor an ISO time such as 2026-03-14T03:00Z"
        raise argparse.ArgumentTypeError(message) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return lambda _now: aware
