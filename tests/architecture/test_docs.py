"""Documents name real things: paths, modules, metrics, make targets, commands and their options."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.architecture import names, source
from tests.architecture.test_contracts import exists

DOCUMENTS = [path for path in source.files() if path.suffix == ".md" and path.parts[0] in {"README.md", "docs"}]


@cache
def help_text(command: str) -> str:
    """What a command says about itself; empty when there is no such command."""
    asked = [sys.executable, "-m", "remediator", command, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60, cwd=source.ROOT)
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_a_document_names_is_there(document: Path) -> None:
    """Paths, modules, metrics, links and make targets."""
    assert names.missing(document) == []


@pytest.mark.skipif(not exists("remediator.__main__"), reason="the command line is not written yet")
def test_commands_and_options_are_real() -> None:
    """Each command that a document shows answers --help, and knows each option shown with it."""
    shown = {(command, options) for document in DOCUMENTS for command, options in names.commands(document)}
    wrong = [
        f"remediator {command} {option}"
        for command, options in sorted(shown)
        for option in ("--help", *options)
        if option not in help_text(command)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "span",
    [
        "remediator/flow/no_such_file.py",
        "remediator.model.signal.NoSuchThing",
        "remediator.no_such_module",
        "remediator_no_such_metric_total",
        "make coffee",
        "docs/adr/9999*",
    ],
)
def test_an_invented_name_is_found(span: str) -> None:
    """A document that names what is not there has a fault."""
    assert len(list(names.faults(span))) == 1


@pytest.mark.parametrize(
    "span",
    [
        "remediator/model/signal.py",
        "remediator.model.signal",
        "remediator.ledger",
        "make demo",
        "docs/adr/0001*",
        "cpu",
    ],
)
def test_a_real_name_passes(span: str) -> None:
    """What is there, and what is none of ours, has no fault."""
    assert list(names.faults(span)) == []


def test_commands_are_read_out_of_blocks_and_spans() -> None:
    """The command and its long options, from a shell block or between backticks; not from a Python block."""
    text = "Run `remediator check rules/`.\n```sh\n$ remediator log --follow\n```\n```python\nremediator x\n```\n"
    found = [names.COMMAND.match(span) for span in names.spans(text)]
    assert [match[1] for match in found if match] == ["log", "check"]
