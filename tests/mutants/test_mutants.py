"""The mutants still fit the code, and none is missing; what they prove is proven by ``make mutants``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from remediator.adapters.ledger.queries import QUERIES
from tests.mutants.catalogue import MUTANTS
from tests.mutants.guards import FOLDER
from tests.mutants.mutant import ROOT, Edit, MovedError, Mutant
from tests.mutants.outcomes import asserted
from tests.mutants.workshop import Workshop

GUARDS = sorted(path.name for path in (ROOT / FOLDER).glob("*.py"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_applies_and_compiles(mutant: Mutant) -> None:
    """Each place is found once, the file becomes another one, and what is Python can still be parsed."""
    for path, text in mutant.changed(ROOT).items():
        assert text != (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".py"):
            assert ast.parse(text).body
        if "/ledger/sql/" in path:
            names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
            assert names
            assert set(names) <= set(QUERIES)


@pytest.mark.parametrize("name", GUARDS)
def test_every_guard_has_a_mutant(name: str) -> None:
    """Whoever adds a guard says which test notices its absence."""
    edited = {edit.path for mutant in MUTANTS for edit in mutant.edits}
    assert f"{FOLDER}/{name}" in edited


def test_names_are_of_one_mutant_each() -> None:
    """A row of the table is one mutant."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


def test_every_killer_is_written() -> None:
    """Each names a test function that is there."""
    for killer in {killer for mutant in MUTANTS for killer in mutant.killers}:
        path, name = killer.split("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {re.escape(name.partition('[')[0])}\(", source, re.MULTILINE), killer


@pytest.mark.parametrize(("text", "count"), [("gone", 0), ("twice", 2)])
def test_code_that_has_moved_is_told(text: str, count: int) -> None:
    """An edit whose place is not there once makes no mutant."""
    with pytest.raises(MovedError, match=rf"'{text}' is there {count} times: the code has moved, mend the mutant"):
        Edit("somewhere.py", text, "").of("once and twice and twice")


def test_edits_of_one_file_add_up() -> None:
    """A mutant may change a file in two places."""
    mutant = Mutant(
        "both", (Edit("pyproject.toml", "[build-system]", "[one]"), Edit("pyproject.toml", "[one]", "[two]")), ()
    )
    assert mutant.changed(ROOT)["pyproject.toml"].count("[two]") == 1


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (AssertionError("seen"), True),
        (ExceptionGroup("tasks", [ValueError(), ExceptionGroup("more", [AssertionError("seen")])]), True),
        (ImportError("no module"), False),
        (ExceptionGroup("tasks", [ValueError()]), False),
    ],
)
def test_only_an_assertion_kills(error: BaseException, *, counts: bool) -> None:
    """Code that is broken in another way than was meant proves nothing."""
    assert asserted(error) is counts


def test_a_test_that_is_not_raised_for_kills() -> None:
    """A test that waits for an error in vain has seen something wrong."""
    with pytest.raises(BaseException, match="DID NOT RAISE") as caught, pytest.raises(ValueError, match="never"):
        assert caught_nothing()
    assert asserted(caught.value)


def caught_nothing() -> bool:
    """Raise nothing."""
    return True


def test_a_mutant_is_unmade(tmp_path: Path) -> None:
    """After it was tried, each file is as before, with a time that tells Python so."""
    (tmp_path / "one.py").write_text("x = 1\n", encoding="utf-8")
    workshop = Workshop(tmp_path, tmp_path)
    verdict = workshop.try_out(Mutant("it", (Edit("one.py", "x = 2", "x = 3"),), ()))
    assert (verdict.killed, verdict.problem) == (
        False,
        "one.py: 'x = 2' is there 0 times: the code has moved, mend the mutant",
    )
    with workshop.made(Mutant("it", (Edit("one.py", "x = 1", "x = 3"),), ())):
        made = (tmp_path / "one.py").stat().st_mtime
        assert (tmp_path / "one.py").read_text(encoding="utf-8") == "x = 3\n"
    assert (tmp_path / "one.py").read_text(encoding="utf-8") == "x = 1\n"
    assert (tmp_path / "one.py").stat().st_mtime > made
