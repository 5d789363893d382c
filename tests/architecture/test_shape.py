"""Sizes, names, docstrings and habits, checked over every Python file at once."""

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture import rules, source

Rule = Callable[[ast.Module], Iterator[rules.Fault]]
#: Folders whose tests are pure: they have no reason to wait.
UNIT_TESTS = ("actions", "core", "intake", "model", "properties", "rulebook")


def faults(rule: Rule, paths: Iterable[Path]) -> list[str]:
    """Every fault that a rule finds, as file:line: message."""
    return [f"{path}:{line}: {what}" for path in paths for line, what in rule(source.tree(path))]


def test_modules_and_functions_fit_a_head() -> None:
    """No module of the package is over 400 lines, no function over 70."""
    found = [
        f"{path}:{line}: {what}"
        for path in source.python("remediator", "bench")
        for line, what in rules.module_size(source.tree(path), source.text(path).count("\n"))
    ]
    assert not found, "\n".join(found)


def test_names_say_something() -> None:
    """No file or folder is named after nothing in particular."""
    paths = source.python("remediator", "tests", "bench")
    found = [str(path) for path in paths if {*path.parent.parts, path.stem} & rules.EMPTY_NAMES]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "folders"),
    [
        (rules.docstrings, ("remediator", "tests", "bench")),
        (rules.proofs, ("tests",)),
        (rules.unfinished, ("remediator", "tests", "bench")),
        (rules.swallowed, ("remediator", "tests", "bench")),
        (rules.doubles, ("tests", "bench")),
        (rules.sql_strings, ("remediator",)),
    ],
)
def test_rule_holds(rule: Rule, folders: tuple[str, ...]) -> None:
    """Each rule holds in each file of the folders that it is meant for."""
    found = faults(rule, source.python(*folders))
    assert not found, "\n".join(found)


def test_unit_tests_do_not_sleep() -> None:
    """Tests of pure code never wait for real time."""
    found = faults(rules.sleeps, [path for path in source.python("tests") if path.parts[1] in UNIT_TESTS])
    assert not found, "\n".join(found)


def test_suppressions_say_why() -> None:
    """Each check that is switched off for a line says why; in tests, a wrong type on purpose speaks for itself."""
    found = [
        f"{path}:{line}: {what}"
        for path in source.python("remediator", "tests", "bench")
        for line, what in rules.suppressions(source.text(path))
        if path.parts[:2] != ("tests", "architecture")
        and not (path.parts[0] == "tests" and what.startswith("type: ignore"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (rules.docstrings, "import os\n"),
        (rules.docstrings, '"""M."""\ndef test_x() -> None:\n    assert 1\n'),
        (rules.docstrings, '"""M."""\nclass TestX:\n    async def test_x(self) -> None:\n        assert 1\n'),
        (rules.proofs, 'def test_x() -> None:\n    """T."""\n    print(1)\n'),
        (rules.unfinished, "def f():\n    raise NotImplementedError('later')\n"),
        (rules.swallowed, "try:\n    f()\nexcept OSError:\n    pass\n"),
        (rules.swallowed, "try:\n    f()\nexcept OSError:\n    ...\n"),
        (rules.swallowed, "with contextlib.suppress(Exception):\n    f()\n"),
        (rules.doubles, "from unittest import mock\n"),
        (rules.doubles, "import unittest.mock\n"),
        (
            rules.doubles,
            "from remediator.core import admit\ndef t(monkeypatch):\n    monkeypatch.setattr(admit, 'x', 1)\n",
        ),
        (rules.doubles, "def t(monkeypatch):\n    monkeypatch.setattr('remediator.core.admit.x', 1)\n"),
        (rules.sleeps, "async def t():\n    await asyncio.sleep(0.1)\n"),
        (rules.sql_strings, "q = 'SELECT a, b FROM remediator.actions'\n"),
        (rules.sql_strings, "q = f'UPDATE {table} SET x = 1'\nr = 'DELETE FROM a'\n"),
    ],
)
def test_rule_finds_a_planted_fault(rule: Rule, code: str) -> None:
    """Each rule finds exactly one fault in a piece of code that breaks it."""
    assert len(list(rule(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (rules.docstrings, ""),
        (rules.proofs, "def test_x():\n    with pytest.raises(ValueError):\n        f()\n"),
        (rules.swallowed, "try:\n    f()\nexcept OSError:\n    log.info('gone')\n"),
        (rules.doubles, "def t(monkeypatch):\n    monkeypatch.setattr(sys, 'argv', [])\n"),
        (rules.proofs, "def test_x():\n    kept(1)\ndef kept(x):\n    assert x\n"),
        (rules.sleeps, "async def t():\n    await asyncio.sleep(0)\n"),
        (rules.sleeps, "def t():\n    while not ready():\n        time.sleep(0.05)\n"),
        (rules.sql_strings, "m = 'select a rule and update the file'\n"),
    ],
)
def test_rule_leaves_good_code_alone(rule: Rule, code: str) -> None:
    """No rule complains about code that keeps it."""
    assert list(rule(ast.parse(code))) == []


def test_sizes_are_counted_to_the_line() -> None:
    """400 lines and a function of 70 pass; one line more of either does not."""
    body = "def f():\n" + "    x = 1\n" * 69
    assert list(rules.module_size(ast.parse(body), 400)) == []
    assert len(list(rules.module_size(ast.parse(body + "    x = 1\n"), 401))) == 2


def test_a_suppression_with_a_reason_passes() -> None:
    """The reason may stand behind a dash or in a comment of its own."""
    good = [
        "x()  # noqa: S101 - because",
        "x()  # type: ignore[attr-defined]  # because",
        "x()  # noqa: E501, S101 - a",
    ]
    bad = ["x()  # noqa: S101", "x()  # type: ignore[attr-defined]", "x()  # noqa", "x()  # pragma: no cover"]
    assert [list(rules.suppressions(line)) for line in good] == [[], [], []]
    assert [len(list(rules.suppressions(line))) for line in bad] == [1, 1, 1, 1]
