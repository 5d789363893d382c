"""The parts of the proof that nothing is lost and nothing doubled: each says how it goes on, and ends in one line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.database_server import DatabaseServer
from tests.faults.campaign import Campaign
from tests.faults.table import table
from tests.mutants.__main__ import tried
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import ROOT
from tests.simulation.simulation import simulate

Say = Callable[[str], None]
FOLDER = Path(__file__).parent
APART = ("test_kills.py", "test_storm.py")
"""What these try in short, the parts here try at length."""
SHORT_STORM = ("--alerts", "2000", "--groups", "100", "--seconds", "0.5")
SHORT_MUTANTS = 6
PROGRESS = 10


@dataclass(frozen=True, slots=True)
class Length:
    """How long it takes.

    ``sample``: kill points of each kind, None for all; ``seeds``: of the simulation. ``only``: kinds whose points are
    tried, all where none is given.
    """

    sample: int | None
    seeds: int
    short: bool = False
    only: frozenset[str] = frozenset()


LONG = Length(None, 1000)
SHORT = Length(2, 20, short=True)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a part ended: its figures in a line, and what is not as it must be."""

    figures: str
    faults: tuple[str, ...] = ()


def kills(length: Length, say: Say) -> Ended:
    """`kill -9` at each point x each kind of action x both replicas."""
    campaign = Campaign(say, length.sample, length.only)
    with (
        tempfile.TemporaryDirectory(prefix="remediator-faults-") as folder,
        DatabaseServer(Path(folder) / "pg") as server,
    ):
        asyncio.run(campaign.run(partial(_fresh, server)))
    for line in table(campaign.learnt, campaign.deaths):
        say(line)
    toll, points = campaign.toll, sum(map(len, campaign.learnt.values()))
    unmet, both = campaign.unmet(), campaign.on_both()
    for one in unmet:
        say(f"passed while it was learnt, and not again: {one}")
    figures = (
        f"{toll.rounds} rounds; kill points x actions: {points - len(unmet)} of {points}, {both} of them on both "
        f"replicas; lost {len(toll.lost)}, doubled {len(toll.doubled)}, stuck {len(toll.stuck)}"
    )
    return Ended(figures, (*toll.lost, *toll.doubled, *toll.stuck, *toll.riddles, *campaign.missing()))


@contextmanager
def _fresh(server: DatabaseServer, name: str) -> Iterator[str]:
    """Make a database, and remove it when it is not needed any more."""
    yield server.create(name)
    server.drop(name)


def servers(length: Length, say: Say) -> Ended:
    """Run the other fault tests: each answer of the API server, of the database, of a frozen replica."""
    files = [str(path) for path in sorted(FOLDER.glob("test_*.py")) if path.name not in APART]
    told = [""]

    def note(line: str) -> None:
        told.append(line)
        say(line)

    code = _run([sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *files], note, short=length.short)
    return Ended(told[-1].strip("= "), () if code == 0 else (f"the tests of faults ended with {code}",))


def storm(length: Length, say: Say) -> Ended:
    """Let ten thousand alerts blow, and in the long form once more within three seconds."""
    told: list[str] = []

    def note(line: str) -> None:
        told.append(line)
        say(line)

    words = [sys.executable, "-m", "tests.faults.storm"]
    runs = [SHORT_STORM] if length.short else [(), ("--seconds", "3")]
    codes = [_run([*words, *run], note, short=length.short) for run in runs]
    kept = [" ".join(line.split()) for line in told if line.split()[:1] in (["alerts"], ["lost"], ["changes"])]
    return Ended("; ".join(kept), tuple(f"the storm ended with {code}" for code in codes if code))


def simulation(length: Length, say: Say) -> Ended:
    """Run the seeds of the simulation."""
    broken: list[str] = []
    counts: Counter[str] = Counter()
    for seed in range(length.seeds):
        report = simulate(seed)
        counts += report.counts
        for one in report.broken:
            broken.append(f"python -m tests.simulation --seed {seed}: {one}")
            say(broken[-1])
        if (seed + 1) % (length.seeds // PROGRESS) == 0:
            say(f"{seed + 1} of {length.seeds} seeds")
    figures = f"{length.seeds} seeds, {counts['effects']} effects, {len(broken)} invariants broken"
    return Ended(figures, tuple(broken))


def mutants(length: Length, say: Say) -> Ended:
    """Take out one safeguard after the other."""
    chosen = MUTANTS[:SHORT_MUTANTS] if length.short else MUTANTS
    verdicts = tried(chosen, say)
    alive = [one.mutant.name for one in verdicts if not one.killed]
    faults = [f"mutant not killed: {name}" for name in alive]
    faults += [] if len(verdicts) == len(chosen) else ["the mutants' tests do not pass as things are"]
    return Ended(f"{len(chosen)} mutants, {len(verdicts) - len(alive)} killed", tuple(faults))


Part = Callable[[Length, Say], Ended]
PARTS: dict[str, Part] = {
    "kills": kills,
    "servers": servers,
    "storm": storm,
    "simulation": simulation,
    "mutants": mutants,
}


def _run(words: list[str], say: Say, *, short: bool) -> int:
    """Run a program at the root of the tree, say its lines, and return its exit code."""
    length = {} if short else {"REMEDIATOR_TEST_LONG": "1"}
    with subprocess.Popen(
        words, cwd=ROOT, env=os.environ | length, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                say(line.rstrip())
    return process.returncode
