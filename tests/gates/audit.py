"""Ask the advisory service about every locked package: ``python -m tests.gates.audit requirements-dev.lock``.

A known vulnerability ends 1. A service that cannot be reached, or that does not know a package, is said loudly and ends
0: a build must not depend on somebody else's uptime, and the next build asks again. An advisory that is accepted stands
in ACCEPTED with its reason.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

#: Advisory id -> why it does not matter here.
ACCEPTED: dict[str, str] = {}
DEADLINE_S = 300


class Vulnerability(msgspec.Struct, frozen=True):
    """One advisory."""

    id: str
    fix_versions: list[str] = []


class Package(msgspec.Struct, frozen=True):
    """One package of pip-audit's report."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str = ""

    def advisories(self) -> list[str]:
        """Each advisory with the versions that mend it."""
        return [f"{found.id} (mended in {' or '.join(found.fix_versions) or 'no version'})" for found in self.vulns]


class Report(msgspec.Struct, frozen=True):
    """The part of pip-audit's JSON report that is read here."""

    dependencies: list[Package]


def main(arguments: list[str]) -> int:
    """Audit one lock file; the exit code as above, 2 for wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.gates.audit LOCKFILE\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "audit.json")
        said = _ask(Path(arguments[0]), report)
        if not report.exists():
            sys.stdout.write(f"==> AUDIT NOT DONE: the advisory service gave no answer.\n{_last_lines(said)}\n")
            return 0
        code, lines = judge(msgspec.json.decode(report.read_bytes(), type=Report))
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def _ask(lock: Path, report: Path) -> str:
    """Run pip-audit, which writes ``report`` only when it got its answers; what it said otherwise."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += ["--progress-spinner=off", "--timeout=15", "--format=json", f"--output={report}"]
    for advisory in ACCEPTED:
        command += ["--ignore-vuln", advisory]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        return f"no answer in {DEADLINE_S} s"
    return done.stderr


def _last_lines(text: str) -> str:
    """The end of what a program said, where the reason is."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-3:])


def judge(report: Report) -> tuple[int, list[str]]:
    """The exit code and what to print. A package that the service does not know counts as not audited, not as safe."""
    bad = [package for package in report.dependencies if package.vulns]
    unknown = [package.name for package in report.dependencies if package.skip_reason]
    lines = [f"VULNERABLE {package.name} {package.version}: {', '.join(package.advisories())}" for package in bad]
    if unknown:
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        lines.append(
            f"==> AUDIT INCOMPLETE: no answer for {len(unknown)} of {len(report.dependencies)} packages: {shown}"
        )
    lines.append(f"{len(report.dependencies) - len(unknown)} packages audited, {len(bad)} vulnerable")
    return (1 if bad else 0), lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
