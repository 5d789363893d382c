"""The rules in force, kept fresh: a change on disk is parsed, checked and tried as a whole, then swapped in.

The work is done in another process (``apart``), so that the daemon goes on meanwhile and keeps nothing of it.

Directories are watched, never files: a mounted ConfigMap swaps the symbolic link ``..data``, and a watch on a file goes
deaf after the first swap. What happened is decided by comparing digests, so a missed or a needless event does no harm.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from watchfiles import awatch

from remediator.core.match import RuleIndex
from remediator.model.rule import Rule, RuleSet
from remediator.model.signal import Labels
from remediator.ports.observer import Observer, StageEvent
from remediator.rulebook.apart import Check, NotChecked
from remediator.rulebook.faults import Fault, Place, RulebookRejected
from remediator.rulebook.loaded import Loaded
from remediator.rulebook.sources import Source, folders_of, is_there, read_sources

ALLOW_REMOVAL = ".allow-removal"
"""A file of this name in the directory allows a reload to drop more than half of the rules."""

QUIET_MS = 200
"""A file that is still being written is not read: nothing may have changed for so long."""
LONGEST_MS = 2_000
"""A directory in which something changes all the time is read after so long all the same."""
LOOK_ANYWAY_MS = 2_000
"""Without any event the files are compared this often: network file systems send none, and nobody listens yet when the
rules have just been loaded."""
MOST_SHOWN = 20
"""Faults of one event; all of them stand in the log of ``remediator check``."""


class StopSignal(Protocol):
    """Tells when to stop; ``asyncio.Event`` is one."""

    def is_set(self) -> bool:
        """Tell whether to stop now."""
        ...


class _Ending(asyncio.Event):
    """Ends the watch when the caller's signal is set.

    The library sets the event that it is given when it is cancelled; that must not reach whoever else listens to the
    caller's signal.
    """

    def __init__(self, stop: StopSignal) -> None:
        """Listen to ``stop``, and never set it."""
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        """Tell whether to stop now."""
        return super().is_set() or self._stop.is_set()


class ReloadOutcome(StrEnum):
    """A closed set: what a look at the files led to."""

    LOADED = "loaded"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """One look at the files. ``rules`` are those in force after it; ``faults`` tell why others are not."""

    outcome: ReloadOutcome
    rules: RuleSet
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


Told = Callable[[Reload], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Held:
    """Everything that belongs to one rule set; replaced as a whole."""

    loaded: Loaded
    index: RuleIndex
    by_name: dict[str, Rule]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was on disk at one moment."""

    sources: tuple[Source, ...]
    unread: tuple[Fault, ...]
    may_remove: bool
    digest: str


def _digest(sources: Iterable[Source], unread: Iterable[Fault], *, may_remove: bool) -> str:
    """Return what differs whenever anything that counts differs."""
    total = hashlib.sha256(str(may_remove).encode())
    for source in sources:
        total.update(f"{source.file}\n{len(source.raw)}\n".encode("utf-8", "surrogateescape") + source.raw)
    for fault in unread:
        total.update(str(fault).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


class LiveRulebook:
    """The last good rule set. Implements the port ``Rulebook``; ``watch`` keeps it fresh."""

    def __init__(self, paths: Sequence[Path], observer: Observer, told: Told | None = None) -> None:
        """Load ``paths`` (files or directories), or raise RulebookRejected: nothing starts on half of its rules.

        ``told`` is awaited after every reload that led to something, for the ledger.
        """
        self._paths = tuple(paths)
        self._observer = observer
        self._told = told
        self._folders = folders_of(self._paths)
        self._one_at_a_time = asyncio.Lock()
        seen = self._look()
        self._seen = seen.digest
        self._held = _hold(Check().run(seen.sources, seen.unread), seen.sources)
        self._faults: tuple[Fault, ...] = ()
        self._tell(Reload(outcome=ReloadOutcome.LOADED, rules=self.current(), warnings=self.loaded.warnings))

    @property
    def loaded(self) -> Loaded:
        """What is in force, with its warnings and cases."""
        return self._held.loaded

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Why the files on disk are not what is in force; empty where they are."""
        return self._faults

    @property
    def files(self) -> dict[str, str]:
        """The text of every file in force, by its path, so that the rule set can be kept for ever."""
        return self._held.files

    def current(self) -> RuleSet:
        """Return the rule set in force."""
        return self._held.loaded.rules

    def named(self, name: str) -> Rule | None:
        """Return the rule of that name, or None."""
        return self._held.by_name.get(name)

    def namespaces(self) -> frozenset[str]:
        """Return every namespace in which a rule may act."""
        return frozenset(namespace for rule in self.current().rules for namespace in rule.target.namespaces)

    def matching(self, labels: Labels) -> tuple[Rule, ...]:
        """Return the rules whose matchers all hold, in file order."""
        return self._held.index.matching(labels)

    async def reload(self) -> Reload:
        """Look at the files and swap the rules if they changed and are good."""
        async with self._one_at_a_time:
            return await self._reload()

    async def _reload(self) -> Reload:
        seen = await asyncio.to_thread(self._look)
        if seen.digest == self._seen:
            return Reload(outcome=ReloadOutcome.UNCHANGED, rules=self.current(), faults=self._faults)
        check = Check()
        try:
            held = await asyncio.to_thread(self._try, check, seen)
        except RulebookRejected as rejected:
            unknown = isinstance(rejected, NotChecked)
            if unknown and rejected.faults == self._faults:
                return Reload(outcome=ReloadOutcome.UNCHANGED, rules=self.current(), faults=self._faults)
            # What could not be checked is tried again at the next look, and told once.
            self._seen, self._faults = "" if unknown else seen.digest, rejected.faults
            reload = Reload(outcome=ReloadOutcome.REJECTED, rules=self.current(), faults=self._faults)
        else:
            self._seen, self._held, self._faults = seen.digest, held, ()
            reload = Reload(outcome=ReloadOutcome.LOADED, rules=self.current(), warnings=self.loaded.warnings)
        finally:
            check.stop()
        self._tell(reload)
        if self._told is not None:
            await self._told(reload)
        return reload

    async def watch(self, stop: StopSignal) -> None:
        """Reload at every change until ``stop`` is set (noticed within a second). Runs in a task of the caller."""
        changes = awatch(
            *self._folders,
            watch_filter=None,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            rust_timeout=LOOK_ANYWAY_MS,
            yield_on_timeout=True,
            recursive=False,
            stop_event=_Ending(stop),
        )
        async for _ in changes:
            await self.reload()

    def _look(self) -> _Seen:
        sources, unread = read_sources(self._paths)
        may_remove = any(is_there(folder / ALLOW_REMOVAL) for folder in self._folders)
        return _Seen(sources, unread, may_remove, _digest(sources, unread, may_remove=may_remove))

    def _try(self, check: Check, seen: _Seen) -> _Held:
        """Return what can be put in force; raise RulebookRejected."""
        loaded = check.run(seen.sources, seen.unread)
        if not seen.may_remove:
            fault = self._removal_fault(loaded.rules)
            if fault is not None:
                raise RulebookRejected([fault])
        return _hold(loaded, seen.sources)

    def _removal_fault(self, new: RuleSet) -> Fault | None:
        """Refuse to lose most of the rules: that is what a bad deployment of the rule files looks like."""
        old = self.current().rules
        kept = {rule.name for rule in new.rules}
        gone = [rule.name for rule in old if rule.name not in kept]
        if 2 * len(gone) <= len(old):
            return None
        shown = ", ".join(gone[:5]) + (", ..." if len(gone) > len(gone[:5]) else "")
        message = (
            f"{len(gone)} of {len(old)} rules would go at once ({shown}); if that is meant,"
            f" put a file {ALLOW_REMOVAL} into this directory, or restart"
        )
        return Fault(Place(str(self._folders[0])), message)

    def _tell(self, reload: Reload) -> None:
        """Tell log and metrics."""
        fields = {
            "digest": reload.rules.digest,
            "rules": len(reload.rules.rules),
            "faults": [str(fault) for fault in reload.faults[:MOST_SHOWN]],
            "faults_in_all": len(reload.faults),
            "warnings": [str(warning) for warning in reload.warnings[:MOST_SHOWN]],
        }
        self._observer.tell(StageEvent(stage="rules", outcome=reload.outcome.value, fields=fields))


def _hold(loaded: Loaded, sources: Sequence[Source]) -> _Held:
    rules = loaded.rules.rules
    files = {str(source.file): source.raw.decode("utf-8", "replace") for source in sources}
    return _Held(loaded, RuleIndex.build(rules), {rule.name: rule for rule in rules}, files)
