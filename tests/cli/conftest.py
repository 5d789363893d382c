"""A ledger with a story in it, and a way to type commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from remediator.cli.main import main
from tests.cli.story import tell
from tests.database_server import DatabaseServer


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of the standard output."""
        return self.out.splitlines()


Type = Callable[..., Said]


@pytest.fixture(scope="session")
def story(postgres_server: DatabaseServer) -> Iterator[str]:
    """The connection string of the ledger that ``tests.cli.story`` tells."""
    dsn = postgres_server.create("story")
    asyncio.run(tell(dsn))
    yield dsn
    postgres_server.drop("story")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command; its output goes into a pipe, as it were, and no setting comes from outside."""
    for name in [name for name in os.environ if name.startswith("REMEDIATOR_")]:
        monkeypatch.delenv(name)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def type_command(*words: str) -> Said:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Said(int(code), out, err)

    return type_command


@pytest.fixture
def ask(cli: Type, story: str) -> Type:
    """Type a command about the story."""
    return lambda *words: cli(*words, "--database-url", story)
