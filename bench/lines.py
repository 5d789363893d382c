"""Programs of the benchmark that are processes of their own: they speak lines of JSON with the one that started them.

A program prints one line when it is ready, answers each line that it reads by one line, and ends when its input ends:
so none outlives the benchmark, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

LONGEST_LINE = 256 * 2**20
READY_S = 60.0
END_S = 20.0

Answer = Callable[[], Awaitable[Any]]


class BenchFailedError(Exception):
    """The benchmark cannot go on; the message says why."""


def environment() -> dict[str, str]:
    """Return the environment for programs: without settings of ours, and with compiled modules kept as usual."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REMEDIATOR_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept.pop("KUBECONFIG", None)
    return kept


def made(folder: Path) -> Path:
    """Make a new folder and return it."""
    folder.mkdir()
    return folder


def tail(log: Path) -> str:
    """Return the last words of a log file."""
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


@dataclass(frozen=True, slots=True)
class Program:
    """The other end of a program that runs."""

    process: asyncio.subprocess.Process
    log: Path
    ready: dict[str, Any]

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    async def ask(self, word: str, seconds: float = READY_S) -> Any:
        """Send a word and return the answer; BenchFailedError where none comes within ``seconds``."""
        assert self.process.stdin is not None  # noqa: S101 - both are pipes
        self.process.stdin.write(word.encode() + b"\n")
        await self.process.stdin.drain()
        return await _line(self.process, self.log, seconds)


@asynccontextmanager
async def program(module: str, arguments: Sequence[str], log: Path) -> AsyncIterator[Program]:
    """Run ``python -m bench.<module>``; its errors go to ``log``. Ready when this yields, ended when the block ends."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"bench.{module}", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LONGEST_LINE,
            env=environment(),
            cwd=Path(__file__).parent.parent,
        )
    try:
        yield Program(process, log, await _line(process, log, READY_S))
    finally:
        await _end(process)


async def _line(process: asyncio.subprocess.Process, log: Path, seconds: float) -> Any:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise BenchFailedError(f"a part of the benchmark did not answer within {seconds:.0f} s: {tail(log)}") from error
    if not line:
        raise BenchFailedError(f"a part of the benchmark ended: {tail(log)}")
    return msgspec.json.decode(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def answer_lines(ready: object, answers: Mapping[str, Answer]) -> None:
    """Be the program: say that it is ready, then answer words until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(ready)
    while line := await reader.readline():
        _say(await answers[line.decode().strip()]())


def _say(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()
