"""Who may post: files, rotation, and everything that is not a valid credential."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from remediator.model.errors import ConfigError
from remediator.web.credentials import MAX_LINES, RECHECK_S, Credentials
from tests.fakes.clock import StillClock
from tests.fakes.observer import Notebook
from tests.intake.bodies import alert, body
from tests.web.site import HOOK, Setup, ask, head, post, running

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"


def file(folder: Path, text: str, name: str = "tokens") -> Path:
    """A file with secrets that nobody else may read."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def basic(user: str, password: str) -> str:
    """The header of basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def loaded(tokens: Path | None = None, users: Path | None = None) -> tuple[Credentials, StillClock, Notebook]:
    """Credentials that have been read."""
    clock, notebook = StillClock(), Notebook()
    credentials = Credentials(tokens=tokens, basic=users, monotonic=clock.monotonic, observer=notebook)
    credentials.load()
    return credentials, clock, notebook


def test_tokens_and_their_sources(tmp_path: Path) -> None:
    """Comments and empty lines do not count; a token without a source is Alertmanager's."""
    credentials, _, _ = loaded(file(tmp_path, f"# new one\n{TOKEN}\n\n  eu-west:{OTHER}  \n"))
    assert credentials.source_of(f"Bearer {TOKEN}") == "alertmanager"
    assert credentials.source_of(f"bearer  {OTHER} ") == "eu-west"
    assert credentials.required


def test_users_are_sources(tmp_path: Path) -> None:
    """A password may hold colons and anything that UTF-8 has."""
    credentials, _, _ = loaded(users=file(tmp_path, "am:päss:word:1\nother:12345678\n"))
    assert credentials.source_of(basic("am", "päss:word:1")) == "am"
    assert credentials.source_of(basic("other", "12345678")) == "other"
    assert credentials.source_of(f"Bearer {TOKEN}") is None
    assert credentials.challenge == 'Basic realm="remediator", charset="UTF-8"'


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Token {TOKEN}",
        f"Basic {TOKEN}",
        "Basic !!!",
        "Basic \udcff",
        "Bearer \udcff",
        basic("am", "wrong-one"),
        basic("", ""),
        basic("am", ""),
        basic("AM", "12345678"),
        basic("am:12345678", ""),
        "Bearer " + "x" * 100_000,
    ],
)
def test_what_proves_nothing(tmp_path: Path, header: str | None) -> None:
    """Every other header."""
    credentials, _, _ = loaded(file(tmp_path, TOKEN), file(tmp_path, "am:12345678", "users"))
    assert credentials.source_of(header) is None


def test_without_files_nothing_is_required() -> None:
    """Then nothing is valid either."""
    credentials, _, _ = loaded()
    assert not credentials.required
    assert credentials.source_of(f"Bearer {TOKEN}") is None


def test_rotation(tmp_path: Path) -> None:
    """Old and new are valid at once; removing the old one takes effect within a second, without a restart."""
    path = file(tmp_path, TOKEN)
    credentials, clock, notebook = loaded(path)
    path.write_text(f"{TOKEN}\n{OTHER}\n")
    assert credentials.source_of(f"Bearer {OTHER}") is None
    clock.ahead += RECHECK_S
    assert credentials.source_of(f"Bearer {OTHER}") == "alertmanager"
    assert credentials.source_of(f"Bearer {TOKEN}") == "alertmanager"
    path.write_text(f"{OTHER}\n")
    clock.ahead += RECHECK_S
    assert credentials.source_of(f"Bearer {TOKEN}") is None
    assert notebook.outcomes("credentials") == ["reloaded", "reloaded"]


def test_a_swapped_symlink_is_seen(tmp_path: Path) -> None:
    """A Kubernetes Secret is replaced by turning a link; the size may stay the same."""
    first, second = file(tmp_path, TOKEN, "a"), file(tmp_path, OTHER, "b")
    link = tmp_path / "link"
    link.symlink_to(first)
    credentials, clock, _ = loaded(link)
    (tmp_path / "next").symlink_to(second)
    (tmp_path / "next").rename(link)
    clock.ahead += RECHECK_S
    assert credentials.source_of(f"Bearer {OTHER}") == "alertmanager"


def test_a_file_that_becomes_readable_again_is_read(tmp_path: Path) -> None:
    """Neither its length nor its text has changed, only its rights; that is enough to look again."""
    path = file(tmp_path, TOKEN)
    credentials, clock, notebook = loaded(path)
    path.chmod(0o644)
    clock.ahead += RECHECK_S
    assert credentials.source_of(f"Bearer {TOKEN}") == "alertmanager"
    assert notebook.outcomes("credentials") == ["reloaded", "world_readable"]


@pytest.mark.parametrize("damage", ["", "short\n", None])
def test_a_file_that_goes_bad_keeps_the_last_good_secrets(tmp_path: Path, damage: str | None) -> None:
    """A half-written file must not shut Alertmanager out; it is told, once."""
    path = file(tmp_path, TOKEN)
    credentials, clock, notebook = loaded(path)
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    for _ in range(2):
        clock.ahead += RECHECK_S
        assert credentials.source_of(f"Bearer {TOKEN}") == "alertmanager"
    assert notebook.outcomes("credentials") == ["unreadable"]
    file(tmp_path, OTHER + "\n\n")
    clock.ahead += RECHECK_S
    assert credentials.source_of(f"Bearer {OTHER}") == "alertmanager"


def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    """At the start and when it is read again."""
    path = file(tmp_path, TOKEN)
    path.chmod(0o644)
    _, _, notebook = loaded(path)
    assert notebook.fields("credentials", "world_readable") == {"file": str(path), "advice": "chmod o-r"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no secret"),
        ("# only a comment\n", "holds no secret"),
        ("short\n", ":1: the token is shorter than 16"),
        (f"{TOKEN}\nwith space here x\n", ":2: a bearer token may have"),
        (f"bad source:{TOKEN}\n", ":1: the source before the colon"),
        (f":{TOKEN}\n", ":1: the source before the colon"),
        (f"{TOKEN}\n" * (MAX_LINES + 1), "at most 32"),
        ("x" * 70_000, "at most 65536"),
    ],
)
def test_faulty_token_files(tmp_path: Path, text: str, words: str) -> None:
    """Each fault with its place, and never with the secret."""
    with pytest.raises(ConfigError) as caught:
        loaded(file(tmp_path, text))
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_all_faults_of_all_files_at_once(tmp_path: Path) -> None:
    """One error for everything."""
    users = file(tmp_path, "nocolon\nam:short\nspa ce:12345678\n", "users")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path / "missing", users)
    assert len(caught.value.problems) == 4
    assert caught.value.problems[0].startswith(
        f"--webhook-token-file {tmp_path / 'missing'}: cannot be read: No such file"
    )
    assert caught.value.problems[1].startswith(f"--webhook-basic-auth-file {users}:1: ")
    assert "shorter than 8" in caught.value.problems[2]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes of another kind."""
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe" + TOKEN.encode())
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        loaded(path)


GOOD = body(alert())


async def test_bad_credentials_are_401_and_nothing_is_read(tmp_path: Path) -> None:
    """No row, and the answer says which schemes there are."""
    setup = Setup(tokens=file(tmp_path, TOKEN), basic=file(tmp_path, "am:12345678", "users"))
    async with running(setup) as site:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": basic("am", "wrong-one")}):
            answer = await post(site, GOOD, headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith('Bearer realm="remediator", Basic')
        # The announced body does not come; a server that waited for it would not answer.
        unsent = head("POST", HOOK, {"Content-Length": "5000000"})
        assert (await ask(site, unsent)).status == 401
    assert site.inbox.asked == 0
    assert site.notebook.outcomes("webhook") == ["unauthorized"] * 4


async def test_good_credentials_name_the_source(tmp_path: Path) -> None:
    """What is stored says who sent it."""
    setup = Setup(tokens=file(tmp_path, f"eu:{TOKEN}"), basic=file(tmp_path, "us:12345678", "users"))
    async with running(setup) as site:
        assert (await post(site, GOOD, {"Authorization": f"Bearer {TOKEN}"})).status == 200
        assert (await post(site, GOOD, {"Authorization": basic("us", "12345678")})).json["new"] == 1
    assert sorted(signal.source for signal in site.inbox.facts.values()) == ["eu", "us"]
    assert "off" not in site.notebook.outcomes("credentials")


async def test_no_credentials_at_all_is_said_loudly() -> None:
    """One line at the start."""
    async with running() as site:
        assert site.notebook.outcomes("credentials") == ["off"]


async def test_health_needs_no_credentials(tmp_path: Path) -> None:
    """The kubelet and Prometheus have none."""
    async with running(Setup(tokens=file(tmp_path, TOKEN))) as site:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await ask(site, head("GET", path))).status == 200
