"""The commands as a whole: help, exit codes, and those that need no ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from remediator import __version__
from remediator.cli.commands_page import reference
from remediator.cli.exits import MEANINGS, Exit
from remediator.cli.main import COMMANDS, EPILOG
from tests.acceptance.daemon import clean_environment
from tests.cli.conftest import Type
from tests.cli.test_log import CONTROL

ROOT = Path(__file__).parent.parent.parent
BROKEN = ROOT / "tests" / "data" / "broken-rules"


def test_the_page_is_made_of_the_parser() -> None:
    """docs/reference/cli.md says what the commands take; `python -m remediator.cli.commands_page` makes it anew."""
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == reference()


def test_every_exit_code_is_told() -> None:
    """In the page and at the end of --help."""
    assert set(MEANINGS) == set(Exit)
    assert all(f"{code.value} " in EPILOG for code in Exit)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli: Type, command: str) -> None:
    """Told on the standard output, with what it is for."""
    said = cli(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: remediator {command} ")
    assert COMMANDS[command][1][1:] in " ".join(said.out.split())


def test_flags_of_the_daemon(cli: Type) -> None:
    """The help names what is to be written; a fault is not lost below a page of flags."""
    said = " ".join(cli("serve", "--help").out.split())
    for text in (
        "--open-per-namespace N ",
        "--spacing TIME ",
        "--storm N/TIME ",
        "--tls-cert FILE ",
        "--state-dir DIR ",
    ):
        assert text in said
    assert "--require-opt-in [true|false] " in said
    assert "(observe, ask, enforce)" in said
    wrong = cli("serve", "--fly")
    assert wrong.code == 2
    assert len(wrong.err.splitlines()) == 2
    # Given alone, such a flag says yes; it goes on to what is really missing.
    assert "webhooks need authentication" in cli("serve", "--require-opt-in", "--require-fences", "false").err


def test_help_and_version(cli: Type) -> None:
    """All commands by name, the exit codes, and which version it is."""
    said = cli("--help")
    assert said.code == 0
    assert all(f"    {name} " in said.out for name in COMMANDS)
    assert EPILOG in said.out
    assert cli("--version").out == f"remediator {__version__}\n"


@pytest.mark.parametrize("words", [(), ("fly",), ("log", "--nonsense"), ("log", "--lines", "many"), ("explain",)])
def test_a_bad_command_line(cli: Type, words: tuple[str, ...]) -> None:
    """Exit code 2 and the usage, nothing on the standard output."""
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("usage: remediator")


def test_help_is_quick_and_imports_little() -> None:
    """Somebody who asks for help does not wait for a Kubernetes client."""
    program = "import sys; from remediator.cli.main import main; main(['log', '--help'])"
    check = (
        f"try:\n    {program}\nexcept SystemExit:\n    print([m for m in sys.modules if m.startswith('kubernetes_')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", f"import sys\n{check}"],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_check_prints_the_table(cli: Type) -> None:
    """The shipped rules are good; each is in the table, and each case is as expected."""
    said = cli("check", str(ROOT / "rules"))
    assert said.code == 0
    assert said.lines[0].startswith("RULE ")
    assert "service-unavailable" in said.out
    assert ": as expected" in said.out
    assert "digest" in said.lines[-1]


def test_check_prints_every_fault_with_its_place(cli: Type) -> None:
    """And ends 2; nothing in a rule file takes the terminal over."""
    said = cli("check", str(BROKEN))
    assert said.code == 2
    assert said.lines[-1].endswith("faults; nothing was loaded")
    assert sum(line.startswith(f"{BROKEN}/") for line in said.lines) > 50
    assert not CONTROL.search(said.out)


@pytest.mark.parametrize(("folder", "code"), [(ROOT / "rules", 0), (BROKEN, 2)])
def test_check_as_json(cli: Type, folder: Path, code: int) -> None:
    """The same as one document."""
    said = cli("check", "--json", str(folder))
    whole = json.loads(said.out)
    assert (said.code, whole["ok"], bool(whole["faults"]), bool(whole["rules"])) == (
        code,
        not code,
        bool(code),
        not code,
    )
    assert not CONTROL.search(said.out)


def test_schema(cli: Type) -> None:
    """Of rule files, of case files, and the page for people."""
    rules, cases = json.loads(cli("schema").out), json.loads(cli("schema", "--case").out)
    assert rules["$schema"] == cases["$schema"]
    assert "rules" in json.dumps(rules["properties"])
    assert "cases" in json.dumps(cases["properties"])
    assert cli("schema", "--markdown").out == (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    assert cli("schema", "--case", "--markdown").code == 2
