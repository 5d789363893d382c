"""``python -m tests.faults``: the long form of the tests that nothing is lost and nothing doubled.

It takes about an hour; ``--short`` takes a few minutes and shows that everything works. The exit code is 0 if
everything was as it must be, else 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from remediator.adapters.clock import SystemClock
from tests.faults.campaign import IDLE
from tests.faults.proof import LONG, PARTS, SHORT, Ended, Part
from tests.faults.stage import Kind

KINDS = dict.fromkeys([IDLE, *(kind.name.lower() for kind in Kind)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--short", action="store_true", help="samples only: a few minutes")
    parser.add_argument("--kinds", default="", help=f"kill only at points of these, by comma: {', '.join(KINDS)}")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]}; the parts are {', '.join(PARTS)}")
    kinds = frozenset(filter(None, options.kinds.split(",")))
    if not kinds <= KINDS.keys():
        parser.error(f"there is no kind {min(kinds - KINDS.keys())}; the kinds are {', '.join(KINDS)}")
    # Connections of replicas that were killed end in the middle of a word: that is what is wanted here.
    for name in ("aiohttp.server", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    length = replace(SHORT if options.short else LONG, only=kinds)
    began = SystemClock().monotonic()
    ended = {name: part(length, partial(_say, began, name)) for name, part in _chosen(options.parts).items()}
    print("\n".join(closing_lines(ended)), flush=True)
    return 1 if any(one.faults for one in ended.values()) else 0


def closing_lines(ended: dict[str, Ended]) -> list[str]:
    """Return the last lines: the figures of each part, all that was wrong, and a verdict."""
    lines = ["", *(f"{name:<11} {one.figures}" for name, one in ended.items())]
    wrong = [fault for one in ended.values() for fault in one.faults]
    lines += [f"WRONG: {fault}" for fault in wrong]
    return [*lines, f"faults: {len(wrong)} not as it must be" if wrong else "faults: all as it must be"]


def _chosen(names: Sequence[str]) -> dict[str, Part]:
    return {name: part for name, part in PARTS.items() if not names or name in names}


def _say(began: float, name: str, line: str) -> None:
    minutes, seconds = divmod(int(SystemClock().monotonic() - began), 60)
    print(f"{minutes:3}:{seconds:02} {name:<11} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
