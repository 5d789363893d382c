"""What the benchmark reads from /proc, how it joins writes to alerts, its stub and its command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import proc
from bench.__main__ import COMMANDS, arguments, main
from bench.acting import judge
from bench.bodies import workload
from bench.load import Sent
from bench.matching import alerts, rules
from bench.stub import merge
from remediator.core.match import RuleIndex


def test_a_tree_holds_its_children_and_counts_their_time() -> None:
    """A child that runs is in the tree, with memory of its own; what it burnt before it ended still counts."""
    burn = "n = 0\nwhile n < 3_000_000: n += 1\nprint(flush=True)\ninput()"
    before = proc.cpu_s([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in proc.tree(os.getpid())
        assert proc.rss_mb([child.pid]) > 1
        running = proc.cpu_s([child.pid])
        child.stdin.write(b"\n")
    assert running > 0
    assert proc.cpu_s([os.getpid()]) - before >= running - 0.02


def test_a_process_that_is_gone_costs_nothing() -> None:
    """It may end between two looks."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert (proc.cpu_s([child.pid]), proc.rss_mb([child.pid])) == (0, 0)


def path_of(number: int) -> str:
    """The path of the write that alert ``number`` must cause."""
    namespace, name = workload(number)
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def test_writes_are_joined_to_the_alerts_that_they_answer() -> None:
    """The first write counts for the time, a second is a duplicate, and what was taken and not done is missing."""
    sent = Sent(due=[0, 10_000_000, 20_000_000], done=[1_000_000, 12_000_000, 0], status=[200, 200, 0])
    writes = [(path_of(0), 5_000_000), (path_of(0), 9_000_000)]
    found = judge(sent, writes, cpu_us=1.0, rss_mb=2.0)
    assert (found.action_ms, found.ack_ms) == ([5.0], [1.0, 2.0])
    assert (found.duplicates, found.missing, found.refused) == (1, 1, 1)
    assert found.rate == pytest.approx(200.0)


def test_the_stub_merges_as_the_api_does() -> None:
    """Mappings are merged, null removes, everything else replaces."""
    below = {"a": {"b": 1, "c": [1]}, "d": 1}
    merge(below, {"a": {"c": [2], "b": None, "e": {"f": 1}}, "d": {"g": 1}})
    assert below == {"a": {"c": [2], "e": {"f": 1}}, "d": {"g": 1}}


def test_matching_measures_what_it_says() -> None:
    """Known alerts match one rule each however many rules there are, unknown ones none."""
    for count in (10, 200):
        index = RuleIndex.build(rules(count))
        assert {len(index.matching(labels)) for labels in alerts(10)} == {1}
        assert {len(index.matching(labels)) for labels in alerts(0)} == {0}


def test_the_help_names_every_benchmark() -> None:
    """And says what the exit codes mean."""
    text = arguments().format_help()
    assert all(f"  {name} " in text for name in (*COMMANDS, "all"))
    assert "Exit codes" in text


@pytest.mark.parametrize("words", [[], ["nonsense"], ["match", "--rounds", "0"], ["match", "--rounds", "many"]])
def test_a_wrong_command_line_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what was expected."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m bench" in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Databases and logs of another run are not mixed with this one's."""
    with pytest.raises(SystemExit):
        main(["match", "--dir", str(tmp_path)])
    assert "give a new folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("what", ["intake", "actions"])
def test_a_quick_run_loses_nothing(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole benchmark in small, real daemon and PostgreSQL: exit 0 means nothing lost, doubled or left undone."""
    assert main([what, "--quick", "--dir", str(tmp_path / "bench")]) == 0
    out = capsys.readouterr().out
    assert "limit" in out
    assert "goal >=" in out
