"""A daemon that cannot do its work does not start: every fault in one go, no traceback, an exit code that tells."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import RULES, clean_environment, free_port

LIMIT_S = 30.0
FAULTY, FAILED = 2, 1


class Attempt:
    """A start that is expected to fail."""

    def __init__(self, folder: Path, database: str) -> None:
        """Begin with flags that would work."""
        self.token = folder / "token"
        self.token.write_text("a-token-of-more-than-sixteen-characters\n", encoding="utf-8")
        self.token.chmod(0o600)
        self.flags = {
            "--listen": "127.0.0.1:0",
            "--rules": str(RULES),
            "--state-dir": str(folder / "state"),
            "--webhook-token-file": str(self.token),
            "--database-url": database,
            "--log-format": "json",
        }

    async def fail(
        self, code: int, environment: dict[str, str] | None = None, cwd: Path | None = None, **flags: str | None
    ) -> str:
        """Start with these flags instead (None: without) and return what was said on the standard error."""
        given = self.flags | {"--" + name.replace("_", "-"): value for name, value in flags.items()}
        words = [word for name, value in given.items() if value is not None for word in (name, value) if word]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "remediator", "serve", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(**(environment or {})),
            cwd=cwd,
        )
        async with asyncio.timeout(LIMIT_S):
            said, complaint = (text.decode() for text in await process.communicate())
        assert process.returncode == code, complaint
        assert said == ""
        assert "Traceback" not in complaint, complaint
        return complaint


@pytest.fixture
def attempt(tmp_path: Path, database: str) -> Attempt:
    """A start that would work, on a database of the tests."""
    return Attempt(tmp_path, database)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def test_a_wrong_connection_string_is_named_without_its_password(attempt: Attempt) -> None:
    """What is no connection string may hold a password all the same."""
    complaint = await attempt.fail(FAULTY, database_url="mysql://user:hunter2@db/remediator")
    assert "--database-url" in complaint
    assert "postgresql://user@host:5432/database" in complaint
    assert "hunter2" not in complaint


async def test_nobody_at_the_database_s_address(attempt: Attempt) -> None:
    """The database may come back: another exit code than that of a mistake, and the reason."""
    complaint = await attempt.fail(FAILED, database_url=f"postgresql://remediator:hunter2@127.0.0.1:{free_port()}/x")
    assert "database" in complaint
    assert "hunter2" not in complaint


async def test_a_port_in_use(attempt: Attempt, taken: int) -> None:
    """Told with the address and what can be done."""
    complaint = await attempt.fail(FAULTY, listen=f"127.0.0.1:{taken}")
    assert f"127.0.0.1:{taken}" in complaint
    assert "in use" in complaint


@pytest.mark.parametrize("what", ["missing", "folder", "empty"])
async def test_an_unusable_token_file(attempt: Attempt, tmp_path: Path, what: str) -> None:
    """Nobody could be let in, so nothing starts; the file is named."""
    file = tmp_path / what
    if what == "folder":
        file.mkdir()
    elif what == "empty":
        file.touch(mode=0o600)
    complaint = await attempt.fail(FAULTY, webhook_token_file=str(file))
    assert str(file) in complaint


async def test_a_missing_rules_folder(attempt: Attempt, tmp_path: Path) -> None:
    """Named, with what to do."""
    complaint = await attempt.fail(FAULTY, rules=str(tmp_path / "nowhere"))
    assert f"--rules {tmp_path / 'nowhere'}: cannot be read (No such file or directory); name the folder" in complaint


async def test_no_rules_at_all(attempt: Attempt, tmp_path: Path) -> None:
    """Neither named nor in this folder, and none came with this installation: the flag is named."""
    complaint = await attempt.fail(FAULTY, cwd=tmp_path, rules=None)
    assert "--rules rules: cannot be read (No such file or directory); name the folder" in complaint


async def test_every_fault_of_the_rules_is_told(attempt: Attempt) -> None:
    """Each with its place, as `remediator check` says them."""
    broken = Path(__file__).parent.parent / "data" / "broken-rules"
    complaint = await attempt.fail(FAULTY, rules=str(broken))
    assert len(re.findall(r"broken-rules/[\w.-]+:\d+:\d+: ", complaint)) > 50


async def test_no_authentication(attempt: Attempt) -> None:
    """Neither by forgetting it, nor by switching it off where others can reach the port."""
    assert "--webhook-token-file" in await attempt.fail(FAULTY, webhook_token_file=None)
    complaint = await attempt.fail(FAULTY, webhook_token_file=None, insecure_no_auth="", listen="0.0.0.0:0")
    assert "--insecure-no-auth: only when listening on loopback" in complaint


async def test_several_faults_are_told_at_once(attempt: Attempt, tmp_path: Path) -> None:
    """Bad values, a misspelt variable, and what only together is wrong: one start tells all of them."""
    complaint = await attempt.fail(
        FAULTY,
        environment={"REMEDIATOR_DRIAN": "25s"},
        drain="soon",
        spacing="never",
        cluster_burst="many",
        inbox_limit="0",
        mode="yolo",
    )
    for name in ("--drain", "--spacing", "--cluster-burst", "--inbox-limit", "--mode", "REMEDIATOR_DRIAN"):
        assert name in complaint
    assert complaint.startswith("remediator: cannot start:\n")


async def test_faults_of_files_are_told_at_once(attempt: Attempt, tmp_path: Path) -> None:
    """Rules, tokens, certificates and authentication are each another file's matter, and still one list."""
    complaint = await attempt.fail(
        FAULTY,
        rules=str(tmp_path / "no-rules"),
        webhook_token_file=str(tmp_path / "no-token"),
        tls_cert=str(tmp_path / "no-cert"),
        tls_key=str(tmp_path / "no-key"),
        kubeconfig=str(tmp_path / "no-kubeconfig"),
    )
    for name in ("no-rules", "no-token", "no-cert", "no-kubeconfig"):
        assert str(tmp_path / name) in complaint
    assert len(complaint.splitlines()) >= 4


async def test_faults_of_settings_and_of_files_are_told_in_one_go(attempt: Attempt, tmp_path: Path) -> None:
    """Nobody mends the flags only to be told about the files; what is faulty leads to no fault that is none."""
    (tmp_path / "notify-token").write_text("two words\n", encoding="utf-8")
    complaint = await attempt.fail(
        FAULTY,
        environment={"REMEDIATOR_DRIAN": "25s"},
        drain="soon",
        listen="here",
        database_url="mysql://db",
        notify_url="https://people.example.com",
        notify_token_file=str(tmp_path / "notify-token"),
        webhook_token_file=str(tmp_path / "no-token"),
        rules=str(tmp_path / "no-rules"),
        kubeconfig=str(tmp_path / "no-kubeconfig"),
    )
    head, *faults = complaint.splitlines()
    assert head == "remediator: cannot start:"
    assert sorted(re.match(r"  ([^ :]*)", fault)[1] for fault in faults if fault.startswith("  ")) == sorted(  # type: ignore[index]
        [
            *("--drain", "--listen", "--database-url", "REMEDIATOR_DRIAN", "--notify-token-file"),
            *("--rules", "--kubeconfig", "--webhook-token-file"),
        ]
    )


async def test_two_daemons_in_one_state_folder(attempt: Attempt, tmp_path: Path) -> None:
    """The embedded database has one owner; the second is told whose it is."""
    first = Attempt(tmp_path, "")
    first.flags.pop("--database-url")
    words = [word for pair in first.flags.items() for word in pair]
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", "serve", *words),
        stderr=asyncio.subprocess.DEVNULL,
        env=clean_environment(),
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            while not (tmp_path / "state" / "daemon.json").exists():
                assert owner.returncode is None
                await asyncio.sleep(0.05)
        complaint = await attempt.fail(FAULTY, database_url=None)
        assert f"in use by another remediator (process {owner.pid})" in complaint
    finally:
        owner.terminate()
        assert await owner.wait() == 0
