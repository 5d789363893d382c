"""Checkpoints of the ledger in a file of their own: one JSON object a line, only ever added to.

The file is the ledger's witness, so it is worth keeping where whoever can change the database cannot reach it: ship it,
or the daemon's log, which has the same words, to another machine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from remediator.model.errors import PortError
from remediator.model.seal import Checkpoint

_TAIL_BYTES = 64 * 1024
_PRIVATE = 0o600
_HEX_DIGITS = 64
_LONGEST_LINE = 64 * 1024

_decoder = msgspec.json.Decoder(Checkpoint)


class CheckpointFile:
    """Implements ports.seals.Anchors."""

    def __init__(self, path: Path) -> None:
        """Keep checkpoints in ``path``, which is made when the first one comes."""
        self._path = path

    async def last(self) -> Checkpoint | None:
        """Return the newest checkpoint, None if there is no file yet, or nothing in it."""
        return await asyncio.to_thread(self._last)

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Add a line, and return when it is on the disk."""
        await asyncio.to_thread(self._keep, msgspec.json.encode(checkpoint) + b"\n")

    def _last(self) -> Checkpoint | None:
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                found = [checkpoint for line in file if (checkpoint := read_line(line)) is not None]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return found[-1] if found else None

    def _keep(self, line: bytes) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _PRIVATE)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> PortError:
        return PortError("file", f"{self._path}: checkpoints cannot be kept here: {error.strerror}", retryable=True)


def read_checkpoints(path: Path) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a file: one of ours, or a log of the daemon in JSON. Other lines are passed over.

    Raises PortError where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                if (checkpoint := read_line(line)) is not None:
                    yield checkpoint
    except OSError as error:
        raise PortError("file", f"{path}: cannot be read: {error.strerror}") from error


def read_line(line: bytes) -> Checkpoint | None:
    """Return the checkpoint in a line of JSON; None where it holds none (half a line, something else)."""
    try:
        checkpoint = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    whole = len(checkpoint.hash) == _HEX_DIGITS and checkpoint.sealed_at.tzinfo is not None
    return checkpoint if whole else None
