"""The fingerprint is Alertmanager's own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediator.intake.fingerprint import fingerprint, is_fingerprint

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CASES = [
    {"alertname": "A"},
    {"alertname": "KubePodCrashLooping", "namespace": "backstage", "pod": "backstage-7d9c-x2x"},
    {"alertname": "Ünïcödé", "summary": "日本語 🎉", "a": "b", "B": "c", "_z": "0"},
    {"alertname": "A", "path": 'C:\\x"y"\n\t', "Z": "1", "a0": "2", "a_": "3", "aA": "4"},
]


def test_nothing_has_the_hash_of_nothing() -> None:
    """The offset of FNV-1a, and empty values count as absent."""
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"a": "b", "c": ""}) == fingerprint({"a": "b"})


def test_order_does_not_matter_and_borders_do() -> None:
    """Names are sorted; a name cannot run into its value."""
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"ab": "c"}) != fingerprint({"a": "bc"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0123456789abcdef", True), ("0123456789ABCDEF", False), ("0123", False), ("", False), ("x" * 16, False)],
)
def test_what_a_fingerprint_looks_like(text: str, expected: bool) -> None:
    """Sixteen lower-case hex digits."""
    assert is_fingerprint(text) is expected


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, data: bytes | None = None) -> bytes:
    """Ask a server on this machine; raises URLError."""
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - http on this machine
        return bytes(answer.read())


@pytest.fixture
def alertmanager() -> Iterator[str]:
    """A real Alertmanager on this machine."""
    assert PROGRAM is not None
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "am.yml"
        config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        options = [f"--config.file={config}", f"--storage.path={folder}", "--cluster.listen-address="]
        address = f"--web.listen-address=127.0.0.1:{port}"
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, *options, address], stdout=log, stderr=log, env=dict(os.environ))
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    fetch(f"http://127.0.0.1:{port}/-/ready")
                    break
                except urllib.error.URLError:
                    assert time.monotonic() < deadline, (Path(folder) / "log").read_text()
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.alertmanager
@pytest.mark.skipif(PROGRAM is None, reason="needs alertmanager (Debian: prometheus-alertmanager)")
def test_alertmanager_gives_the_same(alertmanager: str) -> None:
    """The real program and our hash agree, also beyond ASCII."""
    fetch(f"{alertmanager}/api/v2/alerts", json.dumps([{"labels": labels} for labels in CASES]).encode())
    known = json.loads(fetch(f"{alertmanager}/api/v2/alerts"))
    assert len(known) == len(CASES)
    for found in known:
        assert fingerprint(found["labels"]) == found["fingerprint"]
