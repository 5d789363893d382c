"""Rule files are checked in a process of their own, which ends when it has answered.

Ten thousand rules take seconds of Python and a hundred megabytes. In the daemon's own process that would hold up
everything else again and again, and the memory, like that of the libraries that only reading files needs, would never
be given back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from remediator.model.rule import Rule, RuleSet
from remediator.rulebook.faults import Fault, Place, RulebookRejected
from remediator.rulebook.loaded import CaseResult, Loaded
from remediator.rulebook.sources import Source, digest_of, read_sources

LONGEST_S = 300.0
"""Seconds that a check may take. The largest set of rules takes seconds; a machine without CPU to spare, minutes."""
_TOLD = 2000
# Whatever way this process found its modules, the other one finds the same.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from remediator.rulebook.apart import main; main()"


class _Question(msgspec.Struct, frozen=True, kw_only=True):
    """The files, and what could not be read. Names are bytes, because some file systems have names that are no text."""

    sources: tuple[tuple[bytes, bytes], ...]
    unread: tuple[tuple[bytes, str], ...]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Each rule is a message of its own: to read all of them at once would hold up everybody else."""

    rules: tuple[msgspec.Raw, ...] = ()
    warnings: tuple[Fault, ...] = ()
    cases: tuple[CaseResult, ...] = ()
    faults: tuple[Fault, ...] = ()


def main() -> None:
    """Be the process: one question from standard input, one answer to standard output."""
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))


def answer(question: bytes) -> bytes:
    """Answer a question, both in the form in which they travel."""
    from remediator.rulebook.load import assemble

    asked = msgspec.msgpack.decode(question, type=_Question)
    sources = [Source(file=_shown(name), raw=raw) for name, raw in asked.sources]
    try:
        loaded = assemble(sources, [Fault(Place(_shown(name)), message) for name, message in asked.unread])
    except RulebookRejected as rejected:
        return msgspec.msgpack.encode(_Answer(faults=rejected.faults))
    rules = tuple(msgspec.Raw(msgspec.msgpack.encode(rule)) for rule in loaded.rules.rules)
    return msgspec.msgpack.encode(_Answer(rules=rules, warnings=loaded.warnings, cases=loaded.cases))


class NotChecked(RulebookRejected):
    """The other process gave no answer: nothing is known about the rules, and trying again may help."""

    def __init__(self, message: str) -> None:
        """Keep what happened; no line of a file is to blame."""
        super().__init__([Fault(Place("rules"), f"they could not be checked: {message}")])


class Check:
    """One check in another process. ``run`` waits for it; ``stop`` ends it, from another thread too."""

    def __init__(self) -> None:
        """Have nothing under way."""
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, sources: Sequence[Source], unread: Iterable[Fault] = (), *, longest_s: float = LONGEST_S) -> Loaded:
        """Make one rule set of what was read, as ``load.assemble`` does; raise RulebookRejected.

        Raises NotChecked where the process cannot be started, does not end within ``longest_s`` seconds, or dies.
        """
        files = tuple((os.fsencode(source.file), source.raw) for source in sources)
        faults = tuple((os.fsencode(fault.place.file), fault.message) for fault in unread)
        told = self._ask(msgspec.msgpack.encode(_Question(sources=files, unread=faults)), longest_s)
        return _loaded(told, sources)

    def stop(self) -> None:
        """End it, if it still runs: whoever waits for it gets NotChecked."""
        self._stopped = True
        if self._child is not None:
            self._child.kill()

    def _ask(self, question: bytes, longest_s: float) -> bytes:
        pipe = subprocess.PIPE
        # In a session of its own: Ctrl-C at our terminal is for us, and we end it.
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *sys.path],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
        except OSError as error:
            raise NotChecked(f"no process could be started for it ({error.strerror})") from error
        with self._child as child:
            if self._stopped:
                child.kill()
            try:
                told, complaint = child.communicate(question, longest_s)
            except subprocess.TimeoutExpired as error:
                raise NotChecked(f"it took more than {longest_s:g} s; is there CPU to spare?") from error
            finally:
                child.kill()
        if child.returncode != 0:
            last = complaint.decode("utf-8", "replace")[-_TOLD:].strip().rpartition("\n")[2]
            raise NotChecked(f"the process for it ended with {child.returncode} ({last or 'is there memory enough?'})")
        return told


def check_files(paths: Sequence[Path]) -> Loaded:
    """Check the files and directories named, in another process; raise RulebookRejected with every fault."""
    return Check().run(*read_sources(paths))


def _loaded(told: bytes, sources: Sequence[Source]) -> Loaded:
    answered = msgspec.msgpack.decode(told, type=_Answer)
    if answered.faults:
        raise RulebookRejected(answered.faults)
    decoder = msgspec.msgpack.Decoder(Rule)
    rules = RuleSet(rules=tuple(decoder.decode(rule) for rule in answered.rules), digest=digest_of(sources))
    return Loaded(rules=rules, warnings=answered.warnings, cases=answered.cases)


def _shown(name: bytes) -> str:
    """Return a file's name as text; bytes that are none are spelt."""
    return name.decode("utf-8", "backslashreplace")
