"""Ask the advisory service about every locked package: ``python -m tests.gates.audit requirements-dev.lock``.

A known vulnerability ends 1. A service that cannot be reached is said loudly and ends 0: a build must not depend on
somebody else's uptime, and the next build asks again. An advisory that is accepted stands in ACCEPTED with its reason.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

#: Advisory id -> why it does not matter here.
ACCEPTED: dict[str, str] = {}
DEADLINE_S = 300


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
        return _judge(json.loads(report.read_text(encoding="utf-8")))


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


def _judge(report: dict[str, list[dict[str, object]]]) -> int:
    """Print what was found; 1 when anything was."""
    packages = report["dependencies"]
    bad = [package for package in packages if package.get("vulns")]
    for package in bad:
        sys.stdout.write(f"{package['name']} {package.get('version')}: {json.dumps(package['vulns'])}\n")
    sys.stdout.write(f"{len(packages)} packages asked about, {len(bad)} vulnerable\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
