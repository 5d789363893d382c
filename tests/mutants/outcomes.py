"""A plugin of pytest: what became of each test, and whether an assertion said so, as JSON for who started it.

A mutant is killed by a test that saw something wrong, not by code that could not be imported or a fixture that broke.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import remediator

SHOWN_CHARS = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the place to write to."""
    parser.addoption("--outcomes", required=True, help="the file to write the outcomes to")


def pytest_configure(config: pytest.Config) -> None:
    """Listen, where there is somebody to write to."""
    config.pluginmanager.register(Outcomes(Path(config.getoption("outcomes"))), "outcomes of tests")


def asserted(error: BaseException) -> bool:
    """Tell whether an assertion failed; of a group of errors, one of them."""
    if isinstance(error, BaseExceptionGroup):
        return any(asserted(one) for one in error.exceptions)
    return isinstance(error, AssertionError | pytest.fail.Exception)


class Outcomes:
    """Remembers how each test ended, and writes that down in the end."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note a test that has ended, and one that failed before or after."""
        report = yield
        if report.failed and call.excinfo is not None:
            said = str(call.excinfo.value).strip().splitlines() or [""]
            self.tests[item.nodeid] = {
                "passed": False,
                "asserted": call.when == "call" and asserted(call.excinfo.value),
                "why": f"{call.excinfo.typename}: {said[0]}"[:SHOWN_CHARS],
            }
        elif call.when == "call":
            self.tests[item.nodeid] = {"passed": report.passed, "asserted": False, "why": "skipped"}
        return report

    def pytest_sessionfinish(self) -> None:
        """Write everything down, with the place of the code that was tested."""
        document = {"code": str(Path(remediator.__file__).parent), "tests": self.tests}
        self.path.write_text(json.dumps(document), encoding="utf-8")
