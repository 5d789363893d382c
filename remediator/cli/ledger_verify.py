"""``remediator ledger verify``: walk along the chain of seals; compare every entry, and the chain with checkpoints."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remediator.adapters.checkpoints import read_checkpoints
from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.reading import add_database_arguments, at_desk
from remediator.core.chain import Audit, check_anchor, checkpoint_of
from remediator.desk import Desk
from remediator.flow.patrol import covered
from remediator.model.errors import ConfigError, PortError
from remediator.model.seal import Checkpoint, Finding, Harm, Seal
from remediator.ports.seals import Unsealed

MOST_SHOWN = 200
SEALS_A_PAGE = 20
UNSEALED_S = 600.0
"""After so long something must have sealed the first entries, if a daemon that seals has ever run."""


@dataclass(slots=True)
class Report:
    """What was verified, and what is wrong; ``findings`` are the first, ``faults`` counts all."""

    entries: int = 0
    unused: int = 0
    seals: int = 0
    first: Seal | None = None
    head: Seal | None = None
    unsealed: Unsealed = field(default_factory=lambda: Unsealed(count=0, oldest_s=0.0))
    checkpoints: int = 0
    files: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    faults: int = 0

    def add(self, *found: Finding) -> None:
        """Take findings; only so many are kept as are shown."""
        self.faults += len(found)
        self.findings += found[: max(0, MOST_SHOWN - len(self.findings))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--checkpoints",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="compare with the checkpoints in this file, or in this log of the daemon (JSON); may be given several"
        " times (default: the daemon's own file on this machine, if it is there)",
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Verify, print the report, and return 4 if anything is wrong."""
    return at_desk(args, lambda desk: _verify(args, desk))


async def _verify(args: argparse.Namespace, desk: Desk) -> int:
    report = Report()
    # Read before the chain is: checkpoints that are made meanwhile may be of seals that were not there yet.
    anchors = _anchors(args.checkpoints or _own(desk), report, named=bool(args.checkpoints))
    await _walk(desk, report, anchors)
    head = report.head.number if report.head else 0
    left = (check_anchor(one, None, head) for found in anchors.values() for one in found)
    report.add(*(finding for finding in left if finding is not None))
    report.unsealed = await desk.records.unsealed(report.head.upto if report.head else 0)
    if report.head is None and report.unsealed.oldest_s > UNSEALED_S:
        report.add(_nothing_sealed(report.unsealed))
    print(lines.as_json(_as_data(report)) if args.json else "\n".join(_as_text(report)))
    return Exit.TAMPERED if report.faults else Exit.OK


async def _walk(desk: Desk, report: Report, anchors: dict[int, list[Checkpoint]]) -> None:
    audit = Audit()
    while page := await desk.records.seals(audit.before.number if audit.before else 0, SEALS_A_PAGE):
        for seal in page:
            report.add(*audit.check(seal, await covered(desk.records, audit, seal)))
            compared = (check_anchor(one, seal, seal.number) for one in anchors.pop(seal.number, ()))
            report.add(*(finding for finding in compared if finding is not None))
            report.first, report.head = report.first or seal, seal
            report.seals += 1
    report.entries, report.unused = audit.sealed, audit.unused


def _own(desk: Desk) -> list[Path]:
    return [desk.checkpoints] if desk.checkpoints.exists() else []


def _anchors(files: list[Path], report: Report, *, named: bool) -> dict[int, list[Checkpoint]]:
    """Return the checkpoints of files by the number of their seal, each once."""
    found: dict[int, list[Checkpoint]] = defaultdict(list)
    for file in files:
        before = report.checkpoints
        for checkpoint in _read(file, named=named):
            report.checkpoints += 1
            if checkpoint not in found[checkpoint.seal]:
                found[checkpoint.seal].append(checkpoint)
        if named and report.checkpoints == before:
            raise ConfigError(f"{file}: there is no checkpoint in it; give the daemon's checkpoints or its JSON log")
        report.files.append(str(file))
    return found


def _read(file: Path, *, named: bool) -> Iterator[Checkpoint]:
    """Yield a file's checkpoints; one that was named and cannot be read is a fault of the command line."""
    try:
        yield from read_checkpoints(file)
    except PortError as error:
        if not named:
            raise
        raise ConfigError(f"--checkpoints {error.message}; name a daemon's checkpoint file or its JSON log") from error


def _nothing_sealed(unsealed: Unsealed) -> Finding:
    age = f"{unsealed.oldest_s / 60:.0f} min"
    message = f"no entry is sealed though the oldest is {age} old: no daemon has sealed, or the seals were removed"
    return Finding(harm=Harm.SEAL_GONE, seq=1, seal=1, message=message)


def _as_text(report: Report) -> list[str]:
    out = [finding.message for finding in report.findings]
    if report.faults > len(report.findings):
        out.append(f"and {report.faults - len(report.findings)} more faults")
    out += [""] if out else []
    first, head = report.first, report.head
    if first is not None and head is not None:
        span = f"{lines.moment(first.sealed_at)} to {lines.moment(head.sealed_at)} UTC"
        seals = f"{report.seals} seal{'s' * (report.seals != 1)}"
        out.append(f"Verified {report.entries} entries up to number {head.upto} under {seals} of {span}.")
        out.append(f"The last is seal {head.number}, hash {head.hash.hex()}.")
    if report.unused:
        out.append(f"{report.unused} numbers in between are unused: what they were drawn for was rolled back.")
    if report.unsealed.count:
        age = f"the oldest since {report.unsealed.oldest_s:.0f} s"
        out.append(f"{report.unsealed.count} entries are not sealed yet, {age}; a running daemon seals them.")
    out.append(_witnesses(report))
    faults = f"{report.faults} fault{'' if report.faults == 1 else 's'}: the ledger is not as it was written"
    return [*out, faults if report.faults else "The ledger is as it was written."]


def _witnesses(report: Report) -> str:
    if not report.files:
        return (
            "No checkpoints were given, so a chain that was cut short or made anew from its start would not be noticed;"
            " see --checkpoints."
        )
    return f"Compared with {report.checkpoints} checkpoints of {', '.join(report.files)}."


def _as_data(report: Report) -> dict[str, Any]:
    return {
        "whole": not report.faults,
        "entries": report.entries,
        "unused": report.unused,
        "seals": report.seals,
        "head": checkpoint_of(report.head) if report.head else None,
        "unsealed": report.unsealed,
        "checkpoints": report.checkpoints,
        "faults": report.faults,
        "findings": report.findings,
    }
