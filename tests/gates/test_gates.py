"""The gates of `make test` open and close when they should."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.gates import audit, closing_lines, coverage_floors
from tests.gates.coverage_floors import File, Report, Summary


def covered(lines: int, of: int, branches: int = 0, of_branches: int = 0) -> File:
    """One file's coverage."""
    return File(
        Summary(covered_lines=lines, num_statements=of, covered_branches=branches, num_branches=of_branches),
    )


FULL = {f"{package}/a.py": covered(10, 10) for package in coverage_floors.FLOORS}


def too_low(files: dict[str, File]) -> list[str]:
    """The packages whose floor does not hold."""
    return [line.package for line in coverage_floors.judge(Report(files=files)) if line.too_low]


def test_floors_hold_at_the_floor_and_not_below() -> None:
    """95 percent of a deciding package is enough, 94.9 is not; lines and branches count alike."""
    assert too_low(FULL) == []
    assert too_low(FULL | {"remediator/core/a.py": covered(900, 940, 50, 60)}) == []
    assert too_low(FULL | {"remediator/core/a.py": covered(900, 940, 49, 60)}) == ["remediator/core"]


def test_floor_of_all_counts_every_file() -> None:
    """A package without a floor of its own still drags the whole down, and top-level modules are counted."""
    assert too_low(FULL | {"remediator/web/app.py": covered(0, 5)}) == []
    assert too_low(FULL | {"remediator/web/app.py": covered(0, 6)}) == ["all"]
    assert too_low(FULL | {"remediator/wiring.py": covered(0, 6)}) == ["all"]


def test_a_deciding_package_that_was_never_run_is_too_low() -> None:
    """Coverage that was not measured is none."""
    rest = {name: file for name, file in FULL.items() if not name.startswith("remediator/intake")}
    assert too_low(rest) == ["remediator/intake"]


def test_audit_closes_on_a_vulnerability_and_speaks_up_when_nothing_was_asked() -> None:
    """Found: 1, with what mends it. Not known to the service: 0, but said. Clean: 0."""
    clean = audit.Package(name="a", version="1")
    unknown = audit.Package(name="b", skip_reason="not found")
    bad = audit.Package(name="c", version="2", vulns=[audit.Vulnerability(id="PYSEC-1", fix_versions=["3"])])
    assert audit.judge(audit.Report(dependencies=[clean])) == (0, ["1 packages audited, 0 vulnerable"])
    code, lines = audit.judge(audit.Report(dependencies=[clean, unknown]))
    assert code == 0
    assert lines == ["==> AUDIT INCOMPLETE: no answer for 1 of 2 packages: b", "1 packages audited, 0 vulnerable"]
    code, lines = audit.judge(audit.Report(dependencies=[clean, bad]))
    assert code == 1
    assert lines[0] == "VULNERABLE c 2: PYSEC-1 (mended in 3)"


def test_closing_lines_name_each_skipped_test_and_count() -> None:
    """The last line is the count; before it stands each skipped test with its reason."""
    report = ET.fromstring(  # noqa: S314 - written right here
        '<testsuites><testsuite><testcase classname="tests.a" name="test_1"/>'
        '<testcase classname="tests.a" name="test_2"><skipped message="no alertmanager here"/></testcase>'
        '<testcase classname="tests.a" name="test_3"><failure message="x"/></testcase>'
        '<testcase classname="tests.a" name="test_4"><error message="x"/></testcase></testsuite></testsuites>'
    )
    assert closing_lines.closing_lines(report) == [
        "skipped: tests.a::test_2: no alertmanager here",
        "tests: 1 passed, 2 failed, 1 skipped",
    ]


@pytest.mark.parametrize("text", [None, "<testsuites><testsuite/></testsuites>"])
def test_a_run_without_tests_does_not_pass(text: str | None, tmp_path: Path) -> None:
    """No report, or one that holds no test, ends 1."""
    report = tmp_path / "tests.xml"
    if text is not None:
        report.write_text(text)
    assert closing_lines.main([str(report)]) == 1


def test_find_python_names_one_that_can_run_us() -> None:
    """Beside this Python, the script finds one that is new enough; with an empty path it says what is needed."""
    script = ROOT / "tests/gates/find_python.sh"
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    found = subprocess.run(["/bin/sh", script], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert found.stdout.strip().startswith("python")
    none = subprocess.run(
        ["/bin/sh", script], env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=False
    )
    assert none.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in none.stderr


def test_missing_programs_are_said_by_name_where_they_cannot_be_installed(tmp_path: Path) -> None:
    """Without Debian's installer the script names what is missing and does not fail."""
    for program in ("id", "sh"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    script = ROOT / "tests/gates/debian_programs.sh"
    said = subprocess.run(["/bin/sh", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert said.returncode == 0
    assert "NOT INSTALLED: prometheus-alertmanager prometheus" in said.stderr
