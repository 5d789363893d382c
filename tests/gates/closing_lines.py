"""Print what `make test` ends with: each skipped test by name with its reason, then the counts.

``python -m tests.gates.closing_lines tests.xml`` reads the JUnit report that pytest wrote. It judges nothing (pytest
has done that) but a report that is missing or holds no test ends 1.
"""

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def outcome(case: ET.Element) -> str:
    """What became of one test: passed, failed or skipped."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def closing_lines(report: ET.Element) -> list[str]:
    """The lines to print; the last one reads ``tests: N passed, N failed, N skipped``."""
    counts: Counter[str] = Counter()
    lines = []
    for case in report.iter("testcase"):
        result = outcome(case)
        counts[result] += 1
        skipped = case.find("skipped")
        if skipped is not None:
            reason = skipped.get("message") or "no reason given"
            lines.append(f"skipped: {case.get('classname')}::{case.get('name')}: {reason}")
    lines.append(f"tests: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return lines


def main(arguments: list[str]) -> int:
    """Print the closing lines of one report; 1 when there is none or it holds no test, 2 for wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.gates.closing_lines TESTS.xml\n")
        return 2
    path = Path(arguments[0])
    if not path.exists():
        sys.stdout.write("no test was run\n")
        return 1
    report = ET.parse(path).getroot()  # noqa: S314 - pytest wrote this file a moment ago
    sys.stdout.write("\n".join(closing_lines(report)) + "\n")
    return 0 if report.find(".//testcase") is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
