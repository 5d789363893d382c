"""A throw-away copy of the tree, in which mutants are made, tested and unmade, one after the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mutant import ROOT, MovedError, Mutant

NEEDED = ("remediator", "tests", "rules", "docs", "bench", "pyproject.toml", "README.md", "CHANGELOG.md")
RUN_S = 300.0
"""The tests of one mutant take seconds; a mutant may hang them."""
FIRST_RUN_S = 1200.0
END_S = 10.0
TAIL_CHARS = 2000


class WorkshopError(Exception):
    """The tests do not pass before anything is taken out, or could not be run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. ``problem`` is empty if it was killed."""

    mutant: Mutant
    seconds: float
    problem: str = ""

    @property
    def killed(self) -> bool:
        """Whether each of its killers failed by an assertion."""
        return not self.problem


@dataclass(slots=True)
class Workshop:
    """The copy at ``root``."""

    root: Path
    scratch: Path
    stamp: int = 1_000_000_000

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Workshop]:
        """Copy the tree as it is, and throw the copy away in the end."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            root = Path(folder) / "tree"
            root.mkdir()
            for name in NEEDED:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(source, root / name)
            yield cls(root, Path(folder))

    def prove(self, mutants: Sequence[Mutant]) -> int:
        """Run all killers on the code as it is and return how many tests that were; WorkshopError if any fails."""
        killers = list(dict.fromkeys(killer for mutant in mutants for killer in mutant.killers))
        outcomes = self._run(killers, FIRST_RUN_S)
        faults = [f"{name}: {one['why']}" for name, one in outcomes.items() if not one["passed"]]
        faults += [f"{killer}: there is no such test" for killer in killers if not _cases(outcomes, killer)]
        if faults:
            raise WorkshopError("before anything was taken out:\n" + "\n".join(faults))
        return len(outcomes)

    def try_out(self, mutant: Mutant) -> Verdict:
        """Make the mutant, run its killers, and unmake it."""
        began = time.monotonic()
        try:
            with self.made(mutant):
                outcomes = self._run(mutant.killers, RUN_S)
            problem = "; ".join(filter(None, (_survived(outcomes, killer) for killer in mutant.killers)))
        except (MovedError, WorkshopError) as error:
            problem = str(error)
        return Verdict(mutant, time.monotonic() - began, problem)

    @contextmanager
    def made(self, mutant: Mutant) -> Iterator[None]:
        """Make the mutant for the length of a block."""
        changed = mutant.changed(self.root)
        before = {path: (self.root / path).read_text(encoding="utf-8") for path in changed}
        self._put(changed)
        try:
            yield
        finally:
            self._put(before)

    def _put(self, texts: dict[str, str]) -> None:
        """Write files, each time with a time of its own: by that Python knows that what it compiled is out of date."""
        for path, text in texts.items():
            self.stamp += 2
            (self.root / path).write_text(text, encoding="utf-8")
            os.utime(self.root / path, (self.stamp, self.stamp))

    def _run(self, killers: Sequence[str], seconds: float) -> dict[str, dict[str, Any]]:
        """Run tests in the copy and return what became of each."""
        place = self.scratch / "outcomes.json"
        place.unlink(missing_ok=True)
        words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.outcomes", f"--outcomes={place}"]
        words += ["-p", "no:cacheprovider", *killers]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        process = subprocess.Popen(
            words,
            cwd=self.root,
            env=kept | {"PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise WorkshopError(f"the tests did not end within {seconds:.0f} s") from error
        if not place.exists():
            raise WorkshopError(f"pytest ended with {process.returncode}:\n{said[-TAIL_CHARS:]}")
        document = json.loads(place.read_text(encoding="utf-8"))
        if not Path(document["code"]).is_relative_to(self.root):
            raise WorkshopError(f"the code that was tested is not the copy's: {document['code']}")
        outcomes: dict[str, dict[str, Any]] = document["tests"]
        return outcomes


def _end(process: subprocess.Popen[str]) -> None:
    """End the tests and what they started: first as somebody at the keyboard would."""
    for number in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _cases(outcomes: dict[str, dict[str, Any]], killer: str) -> list[dict[str, Any]]:
    """Return the outcomes of a test: of all its cases, where it is named without one."""
    return [one for name, one in outcomes.items() if name == killer or name.startswith(f"{killer}[")]


def _survived(outcomes: dict[str, dict[str, Any]], killer: str) -> str:
    """Say why a killer did not kill; nothing if it did."""
    cases = _cases(outcomes, killer)
    if any(one["asserted"] for one in cases):
        return ""
    if not cases:
        return f"{killer} was not run"
    failed = [one["why"] for one in cases if not one["passed"]]
    return f"{killer} failed, but by no assertion: {failed[0]}" if failed else f"SURVIVED {killer}"
