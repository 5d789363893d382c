"""What the benchmark reads from /proc, how it joins writes to alerts, its stub and its command line."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from bench import proc
from bench.__main__ import COMMANDS, arguments, main
from bench.acting import judge
from bench.blocking import LARGEST_BODY, alerts_in
from bench.bodies import Series, body, workload
from bench.lines import program
from bench.load import Load, Plan, Sent
from bench.matching import alerts, rules
from bench.replicas import Round
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


def test_memory_at_its_peak_is_no_less_than_now() -> None:
    """Of ourselves; of a process that is gone it is nothing, and the machine's time passes."""
    busy, idle = proc.machine_s()
    assert proc.peak_mb(os.getpid()) >= proc.rss_mb([os.getpid()]) > 1
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert proc.peak_mb(child.pid) == 0
    assert sum(proc.machine_s()) >= busy + idle > 0


def test_shares_and_costs_of_replicas() -> None:
    """Six seconds of CPU over two daemons' work on a machine that was busy for eight of ten."""
    outcome = judge(Sent(due=[0], done=[1], status=[200]), [(path_of(0), 5_000_000)], cpu_us=1.0, rss_mb=0.0)
    found = Round(outcome=outcome, cpu_s={"daemons": 4.0, "stub": 2.0}, machine_s=(8.0, 2.0))
    assert found.shares == (60.0, 20.0)
    assert found.cost_us == {"daemons": 4_000_000.0, "stub": 2_000_000.0}


async def test_a_stub_that_is_late(tmp_path: Path) -> None:
    """It answers after its delay, and says when requests came; the clock is that of the machine."""
    async with program("stub", [str(tmp_path / "kubeconfig"), "0.05"], tmp_path / "log") as stub:
        async with aiohttp.ClientSession() as http:
            began = asyncio.get_running_loop().time()
            async with http.get(f"{stub.ready['url']}/apis/apps/v1/namespaces/a/deployments/b") as answer:
                assert (await answer.json())["metadata"]["name"] == "b"
            assert asyncio.get_running_loop().time() - began >= 0.05
        assert len(await stub.ask("times")) == 1
        assert await stub.ask("dump") == []


def test_the_largest_body_is_as_large_as_allowed() -> None:
    """And is taken whole."""
    count = alerts_in(LARGEST_BODY)
    text = body(Series(run="a4r19", starts_at=datetime(2026, 3, 1, tzinfo=UTC), per_body=count), 0)
    assert 0.93 * LARGEST_BODY < len(text) <= LARGEST_BODY


def test_a_plan_may_begin_later_and_be_odd() -> None:
    """Two loads share the alerts of one run, and a line break at the end has a body read exactly."""
    plan = Plan(port=1, run="a", starts_at=datetime(2026, 3, 1, tzinfo=UTC), bodies=2, first=3, odd=True)
    requests = Load(plan).requests
    assert [workload(number)[1].encode() in requests[number - 3] for number in (3, 4)] == [True, True]
    assert all(request.endswith(b"}\n") for request in requests)


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
@pytest.mark.parametrize("what", ["intake", "actions", "memory", "replicas"])
def test_a_quick_run_loses_nothing(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole benchmark in small, real daemon and PostgreSQL: exit 0 means nothing lost, doubled or left undone."""
    assert main([what, "--quick", "--dir", str(tmp_path / "bench")]) == 0
    out = capsys.readouterr().out
    assert "(goal " in out
