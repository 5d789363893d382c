"""Rules that are checked in another process are the same rules, with the same faults, and its end is no end of ours."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from remediator.rulebook.apart import Check, NotChecked
from remediator.rulebook.faults import Fault, Place, RulebookRejected
from remediator.rulebook.load import assemble
from remediator.rulebook.sources import Source, read_sources
from remediator.rulebook.watch import LiveRulebook, ReloadOutcome
from tests.fakes.observer import Notebook
from tests.rulebook.writing import write_rules

ROOT = Path(__file__).parents[2]


def test_the_default_rules_come_back_as_they_are() -> None:
    """Rules with their digest, warnings and cases: nothing is lost or changed on the way."""
    sources, unread = read_sources([ROOT / "rules"])
    assert Check().run(sources, unread) == assemble(sources, unread)


def test_every_fault_comes_back_with_its_place() -> None:
    """What could not be read is among them."""
    sources, _ = read_sources([ROOT / "tests" / "data" / "broken-rules"])
    unread = [Fault(Place("gone.yaml"), "this cannot be read")]
    with pytest.raises(RulebookRejected) as here:
        assemble(sources, unread)
    with pytest.raises(RulebookRejected) as apart:
        Check().run(sources, unread)
    assert apart.value.faults == here.value.faults
    assert unread[0] in apart.value.faults


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Its bytes are spelt in what people read."""
    path = tmp_path / os.fsdecode(b"bad\xff.yaml")
    path.write_text("rules: [1]", "utf-8")
    sources, unread = read_sources([tmp_path])
    with pytest.raises(RulebookRejected, match=r"bad\\xff\.yaml:1:9: an entry is a mapping"):
        Check().run(sources, unread)
    write_rules(path, "one")
    sources, unread = read_sources([tmp_path])
    assert Check().run(sources, unread).rules.digest == assemble(sources, unread).rules.digest


def script(folder: Path, text: str) -> str:
    """Write a program that stands in for Python; return its path."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cat >&2; echo >&2; echo MemoryError >&2; exit 1", "the process for it ended with 1 (MemoryError)"),
        ("kill -9 $$", "the process for it ended with -9 (is there memory enough?)"),
        ("exec sleep 60", "it took more than 0.2 s; is there CPU to spare?"),
    ],
)
def test_a_process_that_gives_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    """It dies, is killed or hangs: a fault that says so."""
    monkeypatch.setattr(sys, "executable", script(tmp_path, text))
    seconds = 0.2 if "sleep" in text else 30
    with pytest.raises(NotChecked) as failed:
        Check().run([Source(file="a.yaml", raw=b"rules: [1]")], longest_s=seconds)
    assert str(failed.value) == f"rules: they could not be checked: {told}"


def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault as well."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(NotChecked, match=r"no process could be started for it \(No such file or directory\)"):
        Check().run([])


def alive(process: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_does_not_outlive_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stops in the middle of a check leaves no process behind."""
    write_rules(tmp_path / "a.yaml", "one")
    book = LiveRulebook([tmp_path], Notebook())
    write_rules(tmp_path / "a.yaml", "two")
    note = tmp_path / "pid"
    text = f"echo $$ > {note}.new; mv {note}.new {note}; exec sleep 60"
    with monkeypatch.context() as slow:
        slow.setattr(sys, "executable", script(tmp_path, text))
        async with asyncio.TaskGroup() as tasks:
            reload = tasks.create_task(book.reload())
            async with asyncio.timeout(15):
                while not note.exists():
                    await asyncio.sleep(0.01)
            reload.cancel()
    child = int(note.read_text("utf-8"))
    async with asyncio.timeout(15):
        while alive(child):
            await asyncio.sleep(0.01)
    assert not alive(child)


async def test_what_could_not_be_checked_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good rules stay, it is told once, and the files need not change for another try."""
    notebook = Notebook()
    write_rules(tmp_path / "a.yaml", "one")
    book = LiveRulebook([tmp_path], notebook)
    write_rules(tmp_path / "a.yaml", "one", "two")
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nonexistent/python")
        assert (await book.reload()).outcome is ReloadOutcome.REJECTED
        assert (await book.reload()).outcome is ReloadOutcome.UNCHANGED
        assert "could not be checked" in str(book.faults[0])
        assert [rule.name for rule in book.current().rules] == ["one"]
    assert (await book.reload()).outcome is ReloadOutcome.LOADED
    assert [rule.name for rule in book.current().rules] == ["one", "two"]
    assert notebook.outcomes("rules") == ["loaded", "rejected", "loaded"]


async def test_going_back_to_the_old_files_ends_the_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are what is in force again leave no fault behind."""
    write_rules(tmp_path / "a.yaml", "one")
    book = LiveRulebook([tmp_path], Notebook())
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nonexistent/python")
        write_rules(tmp_path / "a.yaml", "one", "two")
        await book.reload()
    write_rules(tmp_path / "a.yaml", "one")
    assert (await book.reload()).outcome is ReloadOutcome.LOADED
    assert book.faults == ()


async def test_the_daemon_needs_no_yaml_of_its_own() -> None:
    """What only reading rule files needs is not imported: that is what keeps the daemon small."""
    told = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import sys, remediator.wiring; print(*sys.modules)"), stdout=asyncio.subprocess.PIPE
    )
    modules = (await told.communicate())[0].decode().split()
    assert not {"pydantic", "yaml", "promql_parser", "kubernetes_asyncio"} & set(modules)
    assert "remediator.rulebook.watch" in modules
