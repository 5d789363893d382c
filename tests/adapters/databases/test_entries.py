"""The file of databases: what it says, and every fault of it at once, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.adapters.databases.entries import read_entries
from remediator.adapters.databases.session import CannotOpen, Door, read_password
from remediator.model.errors import ClusterError, ConfigError

GOOD = """
# the portal's own
[[database]]
name = "backstage"
workload = "deployment/backstage/postgres"
host = "postgres.backstage.svc"
database = "backstage"
user = "remediator_db"
password_file = "backstage.password"
memory = "4GiB"

[[database]]
name = "portal"
workload = "statefulset/dev-portal/postgres"
host = "10.0.0.7"
port = 6543
database = "portal"
user = "remediator_db"
password_secret = "dev-portal/remediator-db/password"
tls = "off"
"""


def faults(folder: Path, text: str) -> tuple[str, ...]:
    """Return what is wrong with a file."""
    path = folder / "databases.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_entries(path)
    return caught.value.problems


def test_a_good_file(tmp_path: Path) -> None:
    """Defaults are filled in, files are looked for beside it, sizes are bytes."""
    path = tmp_path / "databases.toml"
    path.write_text(GOOD)
    backstage, portal = read_entries(path)
    assert (backstage.port, backstage.tls, backstage.memory) == (5432, "verify", 4 * 2**30)
    assert backstage.password_file == tmp_path / "backstage.password"
    assert (portal.port, portal.tls, portal.secret) == (6543, "off", "dev-portal/remediator-db/password")


def test_every_fault_at_once(tmp_path: Path) -> None:
    """Each with file and line: of the key that it is about, or of the entry."""
    text = GOOD.replace('name = "portal"', 'name = "backstage"').replace("port = 6543", "port = 0")
    text = text.replace('user = "remediator_db"\npassword_secret', 'password = "hunter2"\npassword_secret')
    problems = faults(tmp_path, text)
    where = f"{tmp_path / 'databases.toml'}:"
    assert len(problems) == 4
    assert any(one.startswith(f"{where}13: name backstage stands twice") for one in problems)
    assert any(one.startswith(f"{where}16: port: must be a port") for one in problems)
    assert any(one.startswith(f"{where}18: there is no such key: password; a password is never") for one in problems)
    assert any(one.startswith(f"{where}12: user is missing") for one in problems)
    assert "hunter2" not in " ".join(problems)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[database]\n", ":1: is no TOML"),
        ("[database]\nname = 'a'\n", ":1: write [[database]], with two brackets"),
        ("databases = []\n", ":1: there is no such key: databases"),
        (GOOD.replace('password_file = "backstage.password"\n', ""), ":3: give one of password_file"),
        (GOOD.replace('tls = "off"', 'tls = "off"\nca = "x"'), ":21: ca: only with tls"),
        (GOOD.replace("4GiB", "lots"), ":10: memory: must be a size like 4GiB"),
        (GOOD.replace("deployment/backstage/postgres", "postgres"), ":5: workload: must be what it runs in"),
    ],
)
def test_a_fault(tmp_path: Path, text: str, words: str) -> None:
    """Says where it is and what is expected there."""
    assert any(words in one for one in faults(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is named, with the setting that names it."""
    with pytest.raises(ConfigError, match=r"databases\.toml: cannot be read"):
        read_entries(tmp_path / "databases.toml")


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe"])
def test_a_password_file_with_no_password(tmp_path: Path, content: bytes) -> None:
    """One password and nothing else."""
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="must hold one password"):
        read_password(path)


async def test_secrets_are_read_by_reference(tmp_path: Path) -> None:
    """A Secret is asked for by its three names; where it cannot be read nothing is sent, and its name is told."""
    path = tmp_path / "databases.toml"
    path.write_text(GOOD)
    _, portal = read_entries(path)
    asked = []

    async def refused(namespace: str, name: str, key: str) -> str:
        asked.append((namespace, name, key))
        raise ClusterError("forbidden", "you may not")

    with pytest.raises(CannotOpen, match="dev-portal/remediator-db cannot be read: you may not"):
        async with Door(read_secret=refused).open(portal):
            pass
    assert asked == [("dev-portal", "remediator-db", "password")]
    with pytest.raises(CannotOpen, match="there is no cluster"):
        async with Door().open(portal):
            pass
