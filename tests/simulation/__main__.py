"""The long form: ``python -m tests.simulation --seeds 2000``; ``--seed N`` replays one and prints what happened."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.simulation.simulation import Report, simulate


def main() -> int:
    """Run what is asked for; 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed, with its trace")
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run (default 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    options = parser.parse_args()
    if options.seed is not None:
        report = simulate(options.seed, keep_trace=True)
        print("\n".join(report.trace))
        return _tell([report])
    return _tell([_told(simulate(seed)) for seed in range(options.first, options.first + options.seeds)])


def _told(report: Report) -> Report:
    for one in report.broken:
        print(f"seed {report.seed}: {one}", flush=True)
    return report


def _tell(reports: list[Report]) -> int:
    faults: Counter[str] = sum((one.faults for one in reports), Counter())
    counts: Counter[str] = sum((one.counts for one in reports), Counter())
    failed = [report.seed for report in reports if report.broken]
    print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    print("came to: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    print(f"simulation: {len(reports)} seeds, {len(failed)} failed")
    for seed in failed[:20]:
        print(f"  replay: {Path(sys.executable).name} -m tests.simulation --seed {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
