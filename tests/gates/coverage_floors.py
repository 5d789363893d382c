"""Hold branch coverage to its floors, package by package: ``python -m tests.gates.coverage_floors REPORT.json``.

Reads the data that the test run left, writes coverage's own report to the file given, prints one line a package and
the least covered files of each that is too low. Ends 1 when a floor does not hold.
"""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

#: The packages where a decision is made have the higher floor; the rest is held as a whole.
FLOORS: Mapping[str, float] = {
    "remediator/core": 95.0,
    "remediator/actions": 95.0,
    "remediator/rulebook": 95.0,
    "remediator/intake": 95.0,
}
OVERALL_FLOOR = 88.0


class Summary(msgspec.Struct, frozen=True):
    """What coverage counted in one file, lines and branches together."""

    covered_lines: int
    num_statements: int
    covered_branches: int = 0
    num_branches: int = 0


class File(msgspec.Struct, frozen=True):
    """One file of coverage's report."""

    summary: Summary


class Report(msgspec.Struct, frozen=True):
    """The part of coverage's JSON report that is read here."""

    files: dict[str, File]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: a package, its coverage in percent, its floor, its least covered files."""

    package: str
    percent: float
    floor: float | None
    worst: tuple[tuple[str, float], ...]

    @property
    def too_low(self) -> bool:
        """Whether a floor does not hold."""
        return self.floor is not None and self.percent < self.floor


def percent(summaries: Iterable[Summary]) -> float:
    """Covered lines and branches of all lines and branches; 100 where there is nothing to cover."""
    found = list(summaries)
    possible = sum(summary.num_statements + summary.num_branches for summary in found)
    covered = sum(summary.covered_lines + summary.covered_branches for summary in found)
    return 100.0 * covered / possible if possible else 100.0


def judge(report: Report) -> list[Line]:
    """One line for each package, for each package with a floor even if nothing of it ran, and one for all."""
    packages: dict[str, dict[str, Summary]] = {package: {} for package in FLOORS}
    for name, file in report.files.items():
        path = Path(name)
        package = "/".join(path.parts[:2]) if len(path.parts) > 2 else path.parts[0]
        packages.setdefault(package, {})[name] = file.summary
    lines = [_line(package, files, FLOORS.get(package)) for package, files in sorted(packages.items())]
    return [*lines, _line("all", {name: file.summary for name, file in report.files.items()}, OVERALL_FLOOR)]


def _line(package: str, files: Mapping[str, Summary], floor: float | None) -> Line:
    """The line of one package. One that has a floor but no file has nothing to show for it: 0 percent."""
    worst = sorted(((name, percent([summary])) for name, summary in files.items()), key=lambda pair: pair[1])[:5]
    reached = percent(files.values()) if files or floor is None else 0.0
    return Line(package=package, percent=reached, floor=floor, worst=tuple(worst))


def main(arguments: list[str]) -> int:
    """Print the table and judge it; the exit code as above, 2 for wrong usage or no data."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.gates.coverage_floors REPORT.json\n")
        return 2
    target = Path(arguments[0])
    command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(target)]
    if subprocess.run(command, check=False, timeout=300).returncode != 0:
        return 2
    lines = judge(msgspec.json.decode(target.read_bytes(), type=Report))
    for line in lines:
        floor = "" if line.floor is None else f"  (floor {line.floor:.0f} %)"
        sys.stdout.write(f"{'TOO LOW ' if line.too_low else '        '}{line.percent:6.1f} %  {line.package}{floor}\n")
        if line.too_low:
            sys.stdout.writelines(f"                    {share:6.1f} %  {name}\n" for name, share in line.worst)
    return 1 if any(line.too_low for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
