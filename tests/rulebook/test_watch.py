"""Reloading: the last good rules stay until better ones are there, whatever happens on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remediator.ports.rules import Rulebook
from remediator.rulebook.faults import RulebookRejected
from remediator.rulebook.watch import ALLOW_REMOVAL, QUIET_MS, LiveRulebook, Reload, ReloadOutcome
from tests.fakes.observer import Notebook
from tests.rulebook.writing import rule_text, write_rules


def names(book: LiveRulebook) -> list[str]:
    """Return the names of the rules in force."""
    return [rule.name for rule in book.current().rules]


@pytest.fixture
def notebook() -> Notebook:
    """What the observer was told."""
    return Notebook()


@pytest.fixture
def book(tmp_path: Path, notebook: Notebook) -> LiveRulebook:
    """A rule book of two rules in a file a.yaml."""
    write_rules(tmp_path / "a.yaml", "one", "two")
    return LiveRulebook([tmp_path], notebook)


def test_it_is_a_rulebook(book: LiveRulebook) -> None:
    """It implements the port."""
    port: Rulebook = book
    assert [rule.name for rule in port.matching({"alertname": "A", "namespace": "backstage"})] == ["one", "two"]
    one = port.named("one")
    assert one is port.current().rules[0]
    assert port.named("three") is None
    assert port.matching({"alertname": "B", "namespace": "backstage"}) == ()


def test_nothing_starts_on_broken_rules(tmp_path: Path, notebook: Notebook) -> None:
    """At the start there is no last good set: every fault is raised."""
    (tmp_path / "a.yaml").write_text("rules: [1, 2]", "utf-8")
    with pytest.raises(RulebookRejected) as rejected:
        LiveRulebook([tmp_path], notebook)
    assert len(rejected.value.faults) == 2
    assert notebook.events == []


async def test_a_good_change_is_swapped_in(book: LiveRulebook, tmp_path: Path, notebook: Notebook) -> None:
    """All of it at once, index and names too; told to the observer."""
    before = book.current()
    write_rules(tmp_path / "b.yaml", "three")
    reload = await book.reload()
    assert (reload.outcome, reload.rules) == (ReloadOutcome.LOADED, book.current())
    assert names(book) == ["one", "two", "three"]
    assert book.named("three") in book.matching({"alertname": "A", "namespace": "backstage"})
    assert book.current().digest != before.digest
    assert notebook.outcomes("rules") == ["loaded", "loaded"]
    assert notebook.fields("rules", "loaded")["rules"] == 3


async def test_the_text_of_the_files_in_force(book: LiveRulebook, tmp_path: Path) -> None:
    """What the ledger keeps is the text of the rules in force, not of what was rejected after them."""
    path = tmp_path / "a.yaml"
    text = path.read_text("utf-8")
    path.write_text("rules: [1]", "utf-8")
    await book.reload()
    assert book.files == {str(path): text}
    write_rules(path, "one", "three")
    await book.reload()
    assert book.files == {str(path): path.read_text("utf-8")}


async def test_no_change_is_no_event(book: LiveRulebook, tmp_path: Path, notebook: Notebook) -> None:
    """A touched file is not a changed one, and the rule set stays the very same object."""
    before = book.current()
    (tmp_path / "a.yaml").touch()
    assert (await book.reload()).outcome is ReloadOutcome.UNCHANGED
    assert book.current() is before
    assert notebook.outcomes("rules") == ["loaded"]


async def test_a_broken_change_leaves_the_last_good_rules(
    book: LiveRulebook, tmp_path: Path, notebook: Notebook
) -> None:
    """Every fault is told, once, until the files change again; repair brings the rules in force."""
    before = book.current()
    good = (tmp_path / "a.yaml").read_text("utf-8")
    (tmp_path / "a.yaml").write_text(good.replace("P3", "P9"), "utf-8")
    reload = await book.reload()
    assert reload.outcome is ReloadOutcome.REJECTED
    assert book.current() is before
    assert len(book.faults) == 2
    assert all("'P9' is not possible here" in fault for fault in notebook.fields("rules", "rejected")["faults"])
    again = await book.reload()
    assert (again.outcome, again.faults) == (ReloadOutcome.UNCHANGED, book.faults)
    assert notebook.outcomes("rules") == ["loaded", "rejected"]
    (tmp_path / "a.yaml").write_text(good, "utf-8")
    assert (await book.reload()).outcome is ReloadOutcome.LOADED
    assert not book.faults


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"rules:\n  - name: on", b"\x00" * 100, b"[" * 10_000])
async def test_half_files_and_rubbish(book: LiveRulebook, tmp_path: Path, content: bytes) -> None:
    """Whatever a writer leaves behind: the rules in force go on."""
    before = book.current()
    (tmp_path / "a.yaml").write_bytes(content)
    assert (await book.reload()).outcome is ReloadOutcome.REJECTED
    assert book.current() is before


async def test_a_directory_that_goes_away(book: LiveRulebook, tmp_path: Path) -> None:
    """An unmounted directory is a fault with its path, not the end of all rules."""
    (tmp_path / "a.yaml").unlink()
    assert (await book.reload()).outcome is ReloadOutcome.REJECTED
    assert "there is no rule file" in str(book.faults[0])
    tmp_path.rmdir()
    assert (await book.reload()).outcome is ReloadOutcome.REJECTED
    assert "No such file or directory" in str(book.faults[0])
    assert names(book) == ["one", "two"]


async def test_a_failing_case_is_a_broken_change(book: LiveRulebook, tmp_path: Path) -> None:
    """Cases are tried before the swap."""
    case = "cases:\n  - {name: c, labels: {alertname: A, namespace: backstage}, expect: {rules: [one]}}\n"
    (tmp_path / "a.cases.yaml").write_text(case, "utf-8")
    reload = await book.reload()
    assert reload.outcome is ReloadOutcome.REJECTED
    assert "case 'c': expected one to match, and one, two did" in str(reload.faults[0])


async def test_losing_most_rules_needs_a_word(tmp_path: Path, notebook: Notebook) -> None:
    """More than half of the rules gone at once is refused, and the message says how to allow it."""
    write_rules(tmp_path / "a.yaml", "one", "two", "three", "four")
    book = LiveRulebook([tmp_path], notebook)
    write_rules(tmp_path / "a.yaml", "one", "five", "six", "seven")
    reload = await book.reload()
    assert reload.outcome is ReloadOutcome.REJECTED
    [fault] = reload.faults
    assert str(fault) == (
        f"{tmp_path}: 3 of 4 rules would go at once (two, three, four); if that is meant,"
        f" put a file {ALLOW_REMOVAL} into this directory, or restart"
    )
    assert names(book) == ["one", "two", "three", "four"]
    (tmp_path / ALLOW_REMOVAL).touch()
    assert (await book.reload()).outcome is ReloadOutcome.LOADED
    assert names(book) == ["one", "five", "six", "seven"]


async def test_losing_half_of_the_rules_is_ordinary(book: LiveRulebook, tmp_path: Path) -> None:
    """One of two may go."""
    write_rules(tmp_path / "a.yaml", "two")
    assert (await book.reload()).outcome is ReloadOutcome.LOADED
    assert names(book) == ["two"]


async def test_long_lists_are_cut_in_messages(tmp_path: Path, notebook: Notebook) -> None:
    """Neither a message nor an event grows with the number of rules."""
    write_rules(tmp_path / "a.yaml", *(f"rule-{number}" for number in range(30)))
    book = LiveRulebook([tmp_path], notebook)
    write_rules(tmp_path / "a.yaml", "other")
    assert "(rule-0, rule-1, rule-2, rule-3, rule-4, ...)" in str((await book.reload()).faults[0])
    (tmp_path / "a.yaml").write_text("rules: [" + "1, " * 100 + "]", "utf-8")
    await book.reload()
    fields = notebook.fields("rules", "rejected")
    assert (len(fields["faults"]), fields["faults_in_all"]) == (20, 100)


async def test_the_ledger_is_told(tmp_path: Path, notebook: Notebook) -> None:
    """The callback is awaited after each reload that led to something, and sees what is in force."""
    told: list[tuple[ReloadOutcome, int, int]] = []

    async def write_down(reload: Reload) -> None:
        told.append((reload.outcome, len(reload.rules.rules), len(reload.faults)))

    write_rules(tmp_path / "a.yaml", "one")
    book = LiveRulebook([tmp_path / "a.yaml"], notebook, write_down)
    write_rules(tmp_path / "a.yaml", "one", "two")
    await book.reload()
    await book.reload()
    (tmp_path / "a.yaml").write_text("rules: [1]", "utf-8")
    await book.reload()
    assert told == [(ReloadOutcome.LOADED, 2, 0), (ReloadOutcome.REJECTED, 2, 1)]


async def test_readers_never_see_a_mixture(book: LiveRulebook, tmp_path: Path) -> None:
    """While rules are reloaded over and over, what a reader gets is one set: rules, names and index agree."""
    done = asyncio.Event()
    looks = 0

    async def read() -> None:
        nonlocal looks
        while not done.is_set():
            rules = book.current().rules
            assert book.matching({"alertname": "A", "namespace": "backstage"}) == rules
            assert all(book.named(rule.name) is rule for rule in rules)
            looks += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for number in range(8):
            write_rules(tmp_path / "b.yaml", f"new-{number}")
            await book.reload()
        done.set()
    assert looks >= 8


async def expect_soon(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fail after fifteen seconds."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(book: LiveRulebook) -> AsyncIterator[asyncio.Event]:
    """Watch in a task; stop it at the end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(book.watch(stop))
        yield stop
        stop.set()
        async with asyncio.timeout(5):
            await task


async def test_a_change_is_noticed(book: LiveRulebook, tmp_path: Path) -> None:
    """A file that is written, one that is added, one that is replaced by renaming."""
    async with watching(book):
        write_rules(tmp_path / "a.yaml", "one", "two", "three")
        await expect_soon(lambda: names(book) == ["one", "two", "three"])
        write_rules(tmp_path / "b.yaml", "four")
        await expect_soon(lambda: names(book) == ["one", "two", "three", "four"])
        write_rules(tmp_path / "new.tmp", "five")
        (tmp_path / "new.tmp").rename(tmp_path / "b.yaml")
        await expect_soon(lambda: names(book) == ["one", "two", "three", "five"])


def mount(folder: Path, version: str, *rules: str) -> None:
    """Do to a folder what the kubelet does to a mounted ConfigMap: a new version, swapped in by a symbolic link."""
    (folder / version).mkdir()
    write_rules(folder / version / "a.yaml", *rules)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    if not (folder / "a.yaml").is_symlink():
        (folder / "a.yaml").symlink_to("..data/a.yaml")


async def test_config_maps(tmp_path: Path, notebook: Notebook) -> None:
    """Every swap of ``..data`` is noticed, not only the first."""
    mount(tmp_path, "..v1", "one")
    book = LiveRulebook([tmp_path], notebook)
    async with watching(book):
        for version in range(2, 5):
            mount(tmp_path, f"..v{version}", "one", f"v{version}")
            await expect_soon(lambda: names(book) == ["one", f"v{version}"])  # noqa: B023 - awaited within the same turn


PIECE_S = 0.05
"""Seconds that a slow writer takes for each piece: less than the quiet time after which a file is read."""


async def write_slowly(path: Path, *texts: str) -> float:
    """Write a file in pieces; return the longest time between two of them, in seconds."""
    clock = asyncio.get_running_loop()
    last, longest = clock.time(), 0.0
    with path.open("w", encoding="utf-8") as file:
        for text in texts:
            file.write(text)
            file.flush()
            longest, last = max(longest, clock.time() - last), clock.time()
            while clock.time() - last < PIECE_S:
                await asyncio.sleep(PIECE_S / 5)
    return longest


async def test_a_file_that_is_written_slowly(book: LiveRulebook, tmp_path: Path, notebook: Notebook) -> None:
    """A file written in pieces is read once it is quiet: its first half is a rule set too, and never comes in force."""
    async with watching(book):
        for number in range(5):
            write_rules(tmp_path / "a.yaml", "one", f"two-{number}")
            await expect_soon(lambda: names(book) == ["one", f"two-{number}"])  # noqa: B023 - awaited within the same turn
            before = len(notebook.events)
            pieces = ("rules:\n" + rule_text("one"), rule_text(f"two-{number}"), rule_text("three"))
            pause = await write_slowly(tmp_path / "a.yaml", *pieces)
            await expect_soon(lambda: len(book.current().rules) == 3)
            if pause < QUIET_MS / 1000 / 2:
                assert len(notebook.events) == before + 1
                return
    pytest.skip("this machine is too busy to write three lines within a tenth of a second")


async def test_a_broken_file_while_watching(book: LiveRulebook, tmp_path: Path, notebook: Notebook) -> None:
    """The watch outlives a broken file and notices its repair."""
    async with watching(book):
        (tmp_path / "a.yaml").write_text("rules: [", "utf-8")
        await expect_soon(lambda: notebook.outcomes("rules")[-1] == "rejected")
        assert names(book) == ["one", "two"]
        write_rules(tmp_path / "a.yaml", "one", "three")
        await expect_soon(lambda: names(book) == ["one", "three"])


async def test_cancelling_the_watch_does_not_stop_others(book: LiveRulebook, tmp_path: Path) -> None:
    """Cancelled, the watch ends; the signal of whoever else listens to it stays unset."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(book.watch(stop))
        write_rules(tmp_path / "a.yaml", "one", "two", "three")
        await expect_soon(lambda: len(names(book)) == 3)
        task.cancel()
    assert task.cancelled()
    assert not stop.is_set()
