"""``python -m bench``: measure remediator beside the limit, on this machine, in one run."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from bench import actions, blocking, intake, latency, matching, memory, poll, replicas, slow, start
from bench.lines import BenchFailedError
from bench.report import Report
from remediator.model.errors import RemediatorError

FAILED, MISSED = 1, 3
DESCRIPTION = """\
Measures remediator beside the least that any system must do for the same promise, in rounds that take turns on the same
machine and the same PostgreSQL. Quote the ratios, not the rates: docs/reference/bench.md says how to read them.

  intake    durable alerts a second, 1 and 100 a body, closed loop
  latency   from webhook to PATCH, 20 alerts a second, against the sandbox cluster
  actions   actions a second to distinct targets, closed loop, against a stub of the Kubernetes API
  match     cost of matching an alert, from 10 to 10,000 rules
  replicas  two daemons on one database, beside one
  slow      an API server that takes 50 ms for every answer: actions, and intake meanwhile
  memory    100,000 alerts that fire: the daemon's memory, and what their repetition writes
  blocking  the longest time without an answer while the largest things are done
  poll      a tick of the threshold table for 100 to 10,000 series, and how late the event loop is meanwhile
  start     time to the first accepted webhook with an existing embedded database, and idle memory
  all       all of them
"""
EPILOG = """\
Exit codes: 0 measured; 1 an alert was lost, acted on twice or not at all, or a part did not work; 3 only with
--strict: a goal was missed. Linux only (reads /proc)."""

Measure = Callable[[argparse.Namespace, Path, Report], Coroutine[None, None, None]]


async def _intake(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await intake.measure(folder, intake.size(quick=args.quick, rounds=args.rounds), report)


async def _latency(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await latency.measure(folder, latency.size(quick=args.quick, rounds=args.rounds, stub=args.stub), report)


async def _actions(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await actions.measure(folder, actions.size(quick=args.quick, rounds=args.rounds), report)


async def _match(args: argparse.Namespace, folder: Path, report: Report) -> None:
    del folder
    matching.measure(matching.size(quick=args.quick, rounds=args.rounds), report)


async def _start(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await start.measure(folder, start.size(quick=args.quick, rounds=args.rounds), report)


async def _memory(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await memory.measure(folder, memory.size(quick=args.quick, rounds=args.rounds), report)


async def _slow(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await slow.measure(folder, slow.size(quick=args.quick, rounds=args.rounds), report)


async def _replicas(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await replicas.measure(folder, replicas.size(quick=args.quick, rounds=args.rounds), report)


async def _blocking(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await blocking.measure(folder, blocking.size(quick=args.quick, rounds=args.rounds), report)


async def _poll(args: argparse.Namespace, folder: Path, report: Report) -> None:
    await poll.measure(folder, poll.size(quick=args.quick, rounds=args.rounds), report)


COMMANDS: dict[str, Measure] = {
    "intake": _intake,
    "latency": _latency,
    "actions": _actions,
    "match": _match,
    "replicas": _replicas,
    "slow": _slow,
    "memory": _memory,
    "blocking": _blocking,
    "poll": _poll,
    "start": _start,
}


def arguments() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        "python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=[*COMMANDS, "all"], metavar="WHAT", help=" | ".join([*COMMANDS, "all"]))
    parser.add_argument("--rounds", type=_rounds, default=5, help="rounds of each system (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that everything works")
    parser.add_argument("--stub", action="store_true", help="latency: against a stub of the API, not the sandbox")
    parser.add_argument("--strict", action="store_true", help="exit with 3 when a goal is missed")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="keep databases and logs in this new folder (default: a temporary one)"
    )
    return parser


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:  # noqa: PLR2004 - nobody waits for more
        raise argparse.ArgumentTypeError("give a number from 1 to 100")
    return int(text)


def main(words: Sequence[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = arguments()
    args = parser.parse_args(words)
    if not sys.platform.startswith("linux"):
        parser.error("reads /proc, which only Linux has")
    if args.dir is None:
        with tempfile.TemporaryDirectory(prefix="remediator-bench-") as folder:
            return _run(args, Path(folder))
    try:
        args.dir.mkdir(mode=0o700, parents=True)
    except OSError as error:
        parser.error(f"--dir {args.dir}: {error.strerror}; give a new folder")
    return _run(args, args.dir.absolute())


def _run(args: argparse.Namespace, folder: Path) -> int:
    report = Report()
    for name in COMMANDS if args.what == "all" else (args.what,):
        (folder / name).mkdir()
        try:
            asyncio.run(COMMANDS[name](args, folder / name, report))
        except (BenchFailedError, RemediatorError, OSError) as error:
            report.broken.append(f"{name}: {error}")
    for line in report.broken:
        print(f"bench: {line}", file=sys.stderr)
    if report.broken:
        return FAILED
    return MISSED if args.strict and report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
