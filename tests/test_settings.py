"""Settings: three places, one order, every fault at once, and no secret shown."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from remediator.cli.settings_page import reference
from remediator.model.errors import ConfigError
from remediator.model.policy import Policy
from remediator.model.rule import Mode, RateLimit
from remediator.options import OPTIONS
from remediator.settings import Draft, Settings, draft_settings, load_settings

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - read, not bound
HOME = {"HOME": "/users/somebody"}


def problems(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **more: Any) -> list[str]:
    """The faults of a configuration that cannot be loaded."""
    with pytest.raises(ConfigError) as caught:
        load_settings(flags or {}, {**HOME, **(environ or {})}, **more)
    return list(caught.value.problems)


def serving(flags: dict[str, Any], **more: Any) -> Draft:
    """A draft of the settings of a daemon that is to listen."""
    return draft_settings(flags, HOME, serving=True, **more)


def file(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "remediator.toml"
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_policy() -> None:
    """Nothing given: loopback, and the numbers of the guardrails."""
    settings = load_settings({}, HOME)
    assert settings.listen == ("127.0.0.1", 9095)
    assert settings.policy() == Policy()
    assert settings.database_url is None
    assert settings.state_dir == Path("/users/somebody/.local/state/remediator")
    assert settings.insecure_no_auth is False


def test_every_option_is_a_field_and_every_field_an_option() -> None:
    """The table and the type are one."""
    assert [option.name for option in OPTIONS] == [field.name for field in fields(Settings)]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_can_be_read(option: Any) -> None:
    """A default is written as an operator would write it, so it reads like one."""
    if option.default:
        option.read(option.default)
    assert option.flag == f"--{option.name.replace('_', '-')}"
    assert option.help


def test_a_flag_wins_over_the_variable_and_the_variable_over_the_file(tmp_path: Path) -> None:
    """The nearest to the operator counts."""
    config = file(tmp_path, 'mode = "observe"\nmax_replicas = 7\nlog_level = "debug"\n')
    environ = {**HOME, "REMEDIATOR_MODE": "ask", "REMEDIATOR_MAX_REPLICAS": "8"}
    settings = load_settings({"max_replicas": "9", "mode": None}, environ, config=config)
    assert (settings.max_replicas, settings.mode, settings.log_level) == (9, "ask", "debug")
    assert settings.policy().ceiling is Mode.ASK


def test_the_file_may_use_toml_types(tmp_path: Path) -> None:
    """Numbers, truth values and arrays need no quotes."""
    text = (
        'insecure_no_auth = true\nprotected = ["daemonset/b/c", "*/e/*"]\n'
        'min_healthy_percent = 60\ncluster_burst = "3/90s"\n'
    )
    settings = load_settings({}, HOME, config=file(tmp_path, text))
    assert settings.insecure_no_auth
    assert settings.protected == ("daemonset/b/c", "*/e/*")
    assert settings.min_healthy_percent == 60
    assert settings.policy().cluster_burst == RateLimit(count=3, window_s=90)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{EVERYWHERE}:80", (EVERYWHERE, 80)),
        ("[::1]:0", ("::1", 0)),
        (":9095", (EVERYWHERE, 9095)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    """Host and port."""
    assert load_settings({"listen": text}, HOME).listen == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("listen", "9095", "write 127.0.0.1:9095"),
        ("listen", "localhost:http", "write 127.0.0.1:9095"),
        ("listen", "localhost:65536", "write 127.0.0.1:9095"),
        ("database_url", "mysql://u:hunter2@h/d", "write postgresql://"),
        ("notify_url", "ftp://u:hunter2@h", "no http or https URL"),
        ("notify_url", "https://", "no http or https URL"),
        ("mode", "on", "one of observe, ask, enforce"),
        ("log_format", "xml", "one of auto, json, console"),
        ("spacing", "10", "write 90s, 10m, 1h30m or 90d"),
        ("spacing", "10m5h", "write 90s, 10m, 1h30m or 90d"),
        ("accept_deadline", "10s", "must be between 0.1s and 9s"),
        ("drain", "1h", "must be between 1s and 10m"),
        ("cluster_burst", "6", "write 6/10m"),
        ("cluster_burst", "0/10m", "at least one"),
        ("cluster_hourly", "6/0s", "at least one"),
        ("cluster_hourly", "6/x", "write 90s"),
        ("max_replicas", "0", "from 1 to 10000"),
        ("max_replicas", "many", "from 1 to 10000"),
        ("max_replicas", "9" * 5000, "from 1 to 10000"),
        ("min_healthy_percent", "101", "from 0 to 100"),
        ("insecure_no_auth", "maybe", "true or false"),
        ("protected", "deployment/a/b,backstage", "'backstage', which no target fits; write deployment/"),
        ("protected", "deployment/backstage", "which no target fits"),
        ("protected", "deployment/backstage/", "which no target fits"),
        ("protected", "pod/backstage/db", "which no target fits"),
        ("protected", "backstage/*", "which no target fits"),
        ("protected", "*/*/*/*", "which no target fits"),
        ("own_workloads", "remediator", "which no target fits"),
        ("protected_namespaces", "deployment/ops/db", "which is no namespace"),
        ("state_dir", "a\0b", "is no path"),
        ("alertmanager_url", "am:9093", "no http or https URL"),
        ("alertmanager_url", "http://am,prod=ftp://am", "no http or https URL"),
        ("alertmanager_url", "http://ada:hunter2@am", "give them in a file"),
        ("alertmanager_url", "http://am?x=hunter2", "nothing may stand behind the path"),
        ("alertmanager_url", "http://am,alertmanager=http://am/", "names the same Alertmanager twice"),
        ("prometheus_url", "http://ada:hunter2@prometheus", "give them in a file"),
        ("reconcile_interval", "10m", "must be between 1s and 5m"),
    ],
)
def test_what_cannot_be_read(name: str, text: str, words: str) -> None:
    """Each says which flag, or variable, and how to write it; a secret is not repeated."""
    option = next(option for option in OPTIONS if option.name == name)
    (by_flag,) = problems({name: text})
    assert by_flag.startswith(f"{option.flag}: ")
    assert words in by_flag
    assert "hunter2" not in by_flag
    assert len(by_flag) < 300
    if "\0" not in text:
        (by_variable,) = problems(environ={option.variable: text})
        assert by_variable.startswith(f"{option.variable}: ")


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "deployment/backstage/db",
            "StatefulSet/backstage/db",
            "deployment/monitoring/*",
            "*/monitoring/*",
            "*",
            "d*",
        ),
        *("deployment/mon*", "*postgres*", "[ds]*/backstage/db", "d?????ment/a/b", "deploymen*/a/b"),
    ],
)
def test_patterns_that_a_target_may_fit(pattern: str) -> None:
    """As the guard compares them: a kind, a namespace, a name, and what stands for any of it."""
    assert load_settings({"protected": pattern, "own_workloads": pattern}, HOME).policy().own == (pattern,)


def test_alertmanagers_and_their_sources() -> None:
    """Without a name of its own, one has that of senders without one; a slash at the end does not matter."""
    text = "http://am-0:9093/,https://am.example/prefix/, prod=http://am.prod:9093"
    settings = load_settings({"alertmanager_url": text}, HOME)
    assert settings.alertmanager_url == (
        "alertmanager=http://am-0:9093",
        "alertmanager=https://am.example/prefix",
        "prod=http://am.prod:9093",
    )
    again = load_settings({"alertmanager_url": settings.describe()["alertmanager_url"]}, HOME)
    assert again.alertmanager_url == settings.alertmanager_url


def test_nothing_can_mean_unlimited() -> None:
    """No number of the guardrails can be 0, negative, infinite or empty of meaning."""
    for name in ("cluster_burst", "cluster_hourly", "open_per_namespace", "open_per_cluster", "inbox_limit", "drain"):
        for text in ("0", "-1", "inf", "unlimited", "none", "0s", "0/0s"):
            assert problems({name: text})


def test_all_faults_at_once(tmp_path: Path) -> None:
    """From all three places, each with its own."""
    config = file(tmp_path, 'max_replicas = "x"\nspacng = 3\n')
    found = problems({"mode": "on"}, {"REMEDIATOR_DRAIN": "x", "REMEDIATOR_MOED": "ask"}, config=config)
    assert [problem.split(": ")[0] for problem in found] == [
        "--mode",
        f"{config}:max_replicas",
        "REMEDIATOR_DRAIN",
        "REMEDIATOR_MOED",
        f"{config}:spacng",
    ]


def test_variables_that_kubernetes_makes_are_let_be() -> None:
    """A Service named remediator puts these into every pod of its namespace, ours too."""
    links = {
        "REMEDIATOR_PORT": "tcp://10.0.0.1:9095",
        "REMEDIATOR_SERVICE_HOST": "10.0.0.1",
        "REMEDIATOR_SERVICE_PORT": "9095",
        "REMEDIATOR_SERVICE_PORT_HTTP": "9095",
        "REMEDIATOR_PORT_9095_TCP": "tcp://10.0.0.1:9095",
        "REMEDIATOR_PORT_9095_TCP_ADDR": "10.0.0.1",
        "REMEDIATOR_PORT_9095_TCP_PROTO": "tcp",
        "REMEDIATOR_POSTGRES_SERVICE_HOST": "10.0.0.2",
        "REMEDIATOR_POSTGRES_PORT_5432_TCP_PORT": "5432",
    }
    assert load_settings({}, {**HOME, **links}).listen == ("127.0.0.1", 9095)
    assert problems(environ={"REMEDIATOR_PORTS": "1"})


@pytest.mark.parametrize(
    ("text", "words"), [("mode = ", "is no TOML"), ("\udcff", "is no TOML"), (None, "cannot be read: No such file")]
)
def test_files_that_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
    """One fault with the name of the file."""
    path = tmp_path / "remediator.toml"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (problem,) = problems(config=path)
    assert problem.startswith(f"--config {path}: ")
    assert words in problem


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"tls_cert": "/c"}, "give both or neither"),
        ({"tls_key": "/k"}, "give both or neither"),
        ({"tls_client_ca": "/a"}, "needs --tls-cert"),
        ({"notify_token_file": "/t"}, "needs --notify-url"),
        ({"alertmanager_token_file": "/t"}, "--alertmanager-token-file: needs --alertmanager-url"),
        ({"alertmanager_ca": "/c"}, "--alertmanager-ca: needs --alertmanager-url"),
        (
            {"alertmanager_url": "http://am", "alertmanager_token_file": "/t", "alertmanager_basic_auth_file": "/b"},
            "give one of them",
        ),
        ({"prometheus_basic_auth_file": "/b"}, "--prometheus-basic-auth-file: needs --prometheus-url"),
    ],
)
def test_settings_that_need_each_other(flags: dict[str, Any], words: str) -> None:
    """Half of a pair is a mistake."""
    (problem,) = problems(flags)
    assert words in problem


def test_settings_are_described_as_they_are_written() -> None:
    """What the log shows at the start can be typed again, and means the same."""
    flags = {
        "listen": "[::1]:9095",
        "spacing": "90s",
        "accept_deadline": "0.5s",
        "drain": "1m30s",
        "action_lease": "10m",
        "cluster_burst": "6/10m",
        "cluster_hourly": "7/1h30m",
        "protected": "deployment/a/*, deployment/b/c",
        "insecure_no_auth": "yes",
        "rules": "/etc/rules",
    }
    settings = load_settings(flags, HOME)
    described = settings.describe()
    assert load_settings(described, HOME) == settings
    wanted = ["[::1]:9095", "90s", "0.5s", "90s", "10m", "6/10m", "7/90m", "deployment/a/*,deployment/b/c", "true"]
    assert [described[name] for name in flags][:-1] == wanted
    assert load_settings({}, HOME).describe()["spacing"] == "10s"
    assert load_settings(load_settings({}, HOME).describe(), HOME) == load_settings({}, HOME)
    assert load_settings({"spacing": "0s"}, HOME).describe()["spacing"] == "0s"


def test_secrets_are_not_shown() -> None:
    """Neither by repr nor in what is logged at the start; what is not secret of a URL is."""
    flags = {
        "database_url": "postgresql://me:hunter2@db:5432/remediator?password=hunter2",
        "notify_url": "https://me:hunter2@hooks.example/path",
    }
    settings = load_settings(flags, HOME)
    assert settings.database_url is not None
    assert "hunter2" in settings.database_url
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.describe())
    assert "db:5432/remediator" in settings.describe()["database_url"]
    assert settings.describe()["max_replicas"] == "20"
    assert "tls_cert" not in settings.describe()


def test_the_address_of_a_chat_is_not_described() -> None:
    """Whoever knows the path of its webhook can write there; which host it is may be known."""
    settings = load_settings(
        {"notify_url": "https://user:hunter2@chat.example.com:8443/T0/B0/hunter3?key=hunter4"}, HOME
    )
    assert settings.describe()["notify_url"] == "https://chat.example.com:8443/..."


@pytest.mark.parametrize("name", ["webhook_token_file", "webhook_basic_auth_file"])
def test_serving_with_authentication(name: str) -> None:
    """Anywhere."""
    draft = serving({name: "/secrets/file", "listen": "0.0.0.0:9095"})
    assert draft.problems == ()
    assert getattr(draft.settings, name) == Path("/secrets/file")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_serving_without_authentication_on_loopback(host: str) -> None:
    """Only when it is asked for."""
    (problem,) = serving({"listen": f"{host}:1"}).problems
    assert "webhooks need authentication" in problem
    assert serving({"listen": f"{host}:1", "insecure_no_auth": "true"}).problems == ()


@pytest.mark.parametrize("host", [EVERYWHERE, "", "[::]", "10.0.0.1", "example.com"])
def test_serving_without_authentication_elsewhere(host: str) -> None:
    """Is refused, whatever is asked for."""
    (problem,) = serving({"listen": f"{host}:1", "insecure_no_auth": "true"}).problems
    assert "only when listening on loopback" in problem


def test_a_faulty_setting_leads_to_no_fault_that_is_none(tmp_path: Path) -> None:
    """It has its default in the draft, and nothing is said about what depends on it."""
    draft = serving({"listen": "here", "tls_cert": "", "tls_key": "a\0b", "tls_client_ca": "/ca", "notify_url": "?"})
    assert draft.faulty == {"listen", "tls_key", "notify_url"}
    assert len(draft.problems) == 4
    assert draft.problems[3] == "--tls-client-ca: needs --tls-cert and --tls-key"
    assert draft.settings.listen == ("127.0.0.1", 9095)
    assert (draft.sound("rules", "drain"), draft.sound("drain", "listen")) == (True, False)
    missing = serving({"notify_token_file": "/t"}, config=tmp_path / "missing.toml")
    assert len(missing.problems) == 1
    assert not missing.sound("rules")


def test_rules_that_nobody_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in this folder; what an installation does that carries rules is tested with a built one."""
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, HOME).rules == Path("rules")
    assert load_settings({"rules": "mine"}, HOME).rules == Path("mine")


def test_the_state_folder() -> None:
    """Where the desktop's rules put it, or where it is told to be."""
    assert load_settings({}, {"XDG_STATE_HOME": "/state"}).state_dir == Path("/state/remediator")
    assert load_settings({"state_dir": "/elsewhere"}, HOME).state_dir == Path("/elsewhere")


def test_the_page_is_made_from_the_table() -> None:
    """docs/reference/settings.md says what the code says."""
    assert PAGE.read_text(encoding="utf-8") == reference()
