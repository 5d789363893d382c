"""``remediator demo``: three incidents, told as they happen, and judged by the demo itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.daemon import clean_environment
from tests.cli.conftest import Type


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """Ends 0, in a pipe without colours, with the ledger of three incidents last; what it kept can be read."""
    kept = tmp_path / "kept"
    words = [sys.executable, "-m", "remediator", "demo", "--keep", str(kept)]
    said = subprocess.run(words, capture_output=True, text=True, check=False, env=clean_environment(), timeout=110)
    assert said.returncode == 0, said.stderr
    assert "\x1b" not in said.stdout
    *_, ledger = said.stdout.partition("All three incidents ended as they must.")
    for text in ("#1        A2      verdict    recovered", "#2        A4      verdict    unchanged", "#3"):
        assert text in ledger, ledger
    assert [word in ledger for word in ("CLOSED", "hold", "PEOPLE", "told")] == [True] * 4
    assert said.stdout.count("as it must be: ") == 3
    assert said.stdout.splitlines()[-1].endswith(f"remediator explain 3 --state-dir {kept / 'state'}")
    lines = [json.loads(line) for line in (kept / "daemon.log").read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]
    status = subprocess.run(
        [sys.executable, "-m", "remediator", "status", "--json", "--state-dir", str(kept / "state")],
        capture_output=True, text=True, check=True, env=clean_environment(), timeout=60,
    )  # fmt: skip
    assert json.loads(status.stdout)["incidents"] == {"resolved": 2, "escalated": 1}
    status = subprocess.run(
        [sys.executable, "-m", "remediator", "status", "--state-dir", str(kept / "state")],
        capture_output=True, text=True, check=True, env=clean_environment(), timeout=60,
    )  # fmt: skip
    assert status.stdout.startswith("no daemon runs on this ledger here")


def test_a_folder_that_is_there_is_not_used(cli: Type, tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    said = cli("demo", "--keep", str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert f"--keep {tmp_path}: File exists; give a new folder" in said.err
