"""The reference page of the commands, made from their parsers: ``python -m remediator.cli.commands_page``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from remediator.cli.exits import MEANINGS
from remediator.cli.main import COMMANDS, full_parser

_HEAD = """# Commands

<!-- Made by `python -m remediator.cli.commands_page`; a test compares. Change the code, then make it anew. -->

`remediator COMMAND`. Commands that read the ledger find it by themselves on the machine of the daemon; elsewhere they
are told by `--database-url`. On a terminal they are coloured and folded to its width, in a pipe plain, with a line for
each entry (`NO_COLOR` and `FORCE_COLOR` decide otherwise about colours); control characters in labels are shown spelt,
`--json` holds them as `\\uXXXX`.
"""
_SERVE = """
Each setting is a flag, an environment variable and a key of the file: [settings](settings.md).

| argument | what it is |
|---|---|
| `--config FILE` | TOML file with settings; flags and variables win |
"""
_DOCTOR = """
It takes the settings of `serve`, looks at what they name, and writes nothing:
[how to read it](../how-to/doctor.md).

| argument | what it is |
|---|---|
| `--config FILE` | TOML file with settings; flags and variables win |
| `--json` | the findings as one JSON object |
"""


def reference() -> str:
    """Return the page."""
    parsers = _commands(full_parser())
    sections = (_section(name, parsers[name]) for name in COMMANDS)
    return "\n".join([_HEAD, *sections, _exit_codes()])


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    title = f"## {name}\n\n{parser.description or ''}\n"
    if name == "serve":
        return f"{title}{_SERVE}"
    if name == "doctor":
        return f"{title}{_DOCTOR}"
    if inner := _commands(parser):
        return "\n".join([title, *(_section(f"{name} {word}", command) for word, command in inner.items())])
    rows = [f"| {_words(action)} | {_purpose(action).replace('|', chr(92) + '|')} |\n" for action in _arguments(parser)]
    return "".join([title, "\n| argument | what it is |\n|---|---|\n", *rows])


def _words(action: argparse.Action) -> str:
    """Return an argument as it is typed: ``--lines N, -n N``, or the name of what stands at its place."""
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    if action.option_strings:
        return ", ".join(f"`{word}{value}`" for word in action.option_strings)
    more = "..." if action.nargs == "+" else ""
    return f"`{action.metavar}{more}`".replace("|", "\\|")


def _purpose(action: argparse.Action) -> str:
    """Return the help as argparse would print it: with the values of what stands for them in it."""
    return (action.help or "") % vars(action)


def _exit_codes() -> str:
    rows = [f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items()]
    return "".join(["## Exit codes\n\n| code | meaning |\n|---|---|\n", *rows])


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands by name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - there is no public name for it
            found.update(action.choices)
    return found


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in _actions(parser) if action.dest != "help")


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse tells what it knows nowhere else


if __name__ == "__main__":
    sys.stdout.write(reference())
