"""Settings: flags over environment over a file, frozen, every fault in one error.

The table that flags, variables and keys of the file are made of is in ``options``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from remediator.intake.scrub import hide_secrets
from remediator.model.errors import ConfigError
from remediator.model.policy import Policy
from remediator.model.rule import Mode, RateLimit
from remediator.options import OPTIONS, PREFIX, Option
from remediator.values import alertmanagers, targets, web_url, words, written

PACKAGED_RULES = Path(__file__).with_name("default_rules")
AUTHENTICATION = ("webhook_token_file", "webhook_basic_auth_file", "tls_client_ca")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
# What Kubernetes puts into the environment of every pod that runs beside a Service called "remediator".
_SERVICE_LINK = re.compile(
    r"REMEDIATOR(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


_BY_NAME = {option.name: option for option in OPTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, read and checked; one field for each of ``OPTIONS``. Times in seconds."""

    listen: tuple[str, int]
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    webhook_token_file: Path | None
    webhook_basic_auth_file: Path | None
    insecure_no_auth: bool
    database_url: str | None = field(repr=False)
    state_dir: Path
    checkpoint_file: Path | None
    rules: Path
    kubeconfig: Path | None
    context: str | None
    cluster_concurrency: int
    mode: str
    protected: tuple[str, ...]
    protected_namespaces: tuple[str, ...]
    spacing: float
    cluster_burst: RateLimit
    cluster_hourly: RateLimit
    open_per_namespace: int
    open_per_cluster: int
    min_healthy_percent: int
    max_replicas: int
    require_fences: bool
    storm: RateLimit
    storm_percent: int
    storm_quiet: float
    storm_evidence: RateLimit
    blast_namespace_percent: int
    blast_cluster_percent: int
    quarantine: RateLimit
    masking: RateLimit
    recent_deploy: float
    own_workloads: tuple[str, ...]
    require_opt_in: bool
    pause_file: Path
    alertmanager_url: tuple[str, ...]
    alertmanager_receivers: tuple[str, ...]
    alertmanager_token_file: Path | None
    alertmanager_basic_auth_file: Path | None
    alertmanager_ca: Path | None
    alertmanager_settle: float
    reconcile_interval: float
    reconcile_grace: float
    prometheus_url: str | None
    prometheus_token_file: Path | None
    prometheus_basic_auth_file: Path | None
    prometheus_ca: Path | None
    databases: Path | None
    poll_interval: float
    poll_settle: float
    unknown_after: float
    return_quiet: float
    notify_url: str | None = field(repr=False)
    notify_token_file: Path | None
    max_connections: int
    accept_deadline: float
    inbox_limit: int
    match_batch: int
    admit_batch: int
    execute_concurrency: int
    action_lease: float
    drain: float
    keep_evidence: float
    log_format: str
    log_level: str

    @property
    def checkpoints(self) -> Path:
        """Return the file that the daemon keeps checkpoints of the ledger in."""
        return self.checkpoint_file or self.state_dir / "checkpoints.jsonl"

    def describe(self) -> dict[str, str]:
        """Return what is set, as a user would write it, fit for a log: without the credentials that a URL may hold."""
        given = ((option, getattr(self, option.name)) for option in OPTIONS)
        return {option.name: _shown(option, value) for option, value in given if value not in (None, ())}

    def policy(self) -> Policy:
        """Return what holds over all rules."""
        return Policy(
            ceiling=Mode(self.mode),
            protected=self.protected,
            protected_namespaces=self.protected_namespaces,
            spacing_s=int(self.spacing),
            cluster_burst=self.cluster_burst,
            cluster_hourly=self.cluster_hourly,
            open_per_namespace=self.open_per_namespace,
            open_per_cluster=self.open_per_cluster,
            min_healthy_percent=self.min_healthy_percent,
            max_replicas=self.max_replicas,
            storm=self.storm,
            storm_percent=self.storm_percent,
            storm_quiet_s=int(self.storm_quiet),
            storm_evidence=self.storm_evidence,
            blast_namespace_percent=self.blast_namespace_percent,
            blast_cluster_percent=self.blast_cluster_percent,
            quarantine=self.quarantine,
            masking=self.masking,
            recent_deploy_s=int(self.recent_deploy),
            own=self.own_workloads,
            require_opt_in=self.require_opt_in,
        )


def _shown(option: Option, value: object) -> str:
    if option.secret and option.read is web_url:
        # Of a chat's webhook the path is the secret.
        address = urlsplit(str(value))
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}/..."
    return hide_secrets(written(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Settings as far as they can be read.

    A faulty one (``faulty`` holds their names) has its default, so that all the others, and the files that they name,
    can be looked at in the same go, and every fault be told at once.
    """

    settings: Settings
    faulty: frozenset[str]
    problems: tuple[str, ...]

    def sound(self, *names: str) -> bool:
        """Tell whether all of these settings are what the operator wanted."""
        return not self.faulty.intersection(names)


def load_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str] | None = None, *, config: Path | None = None
) -> Settings:
    """Read settings. ``flags`` holds texts (or values) by option name; what is missing or None was not given.

    Raises ConfigError with every fault, each naming its flag, its variable, or its key in the file.
    """
    draft = draft_settings(flags, environ, config=config)
    if draft.problems:
        raise ConfigError(*draft.problems)
    return draft.settings


def draft_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    serving: bool = False,
) -> Draft:
    """Read settings as ``load_settings`` does, but raise nothing. ``serving``: they must allow to listen, too."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    from_file = _file(config, problems) if config is not None else {}
    # Without its file, what else is missing is anybody's guess.
    faulty = {option.name for option in OPTIONS} if problems else set()
    values: dict[str, Any] = {}
    for option in OPTIONS:
        place, raw = _given(option, flags, environ, from_file, config)
        try:
            values[option.name] = _value(option, raw)
        except ValueError as error:
            shown = "its value" if option.secret else repr(raw)[:100]
            problems.append(f"{place}: {shown} {error}")
            faulty.add(option.name)
            values[option.name] = _value(option, option.default)
    values["state_dir"] = values["state_dir"] or _state_dir(environ)
    values["rules"] = values["rules"] or _rules()
    values["pause_file"] = values["pause_file"] or values["state_dir"] / "paused"
    settings = Settings(**{one.name: values[one.name] for one in fields(Settings)})
    problems += _strangers(environ, from_file, config)
    problems += [problem for names, problem in _together(settings, serving=serving) if not faulty.intersection(names)]
    return Draft(settings=settings, faulty=frozenset(faulty), problems=tuple(problems))


def _value(option: Option, raw: Any) -> Any:
    if raw is None or raw == "":
        return () if option.read in (words, targets, alertmanagers) else None
    return option.read(raw) if isinstance(raw, str) else raw


def _unauthenticated(settings: Settings) -> str:
    """Say why it must not be served without authentication where others can reach the port; "" if it may."""
    host, _ = settings.listen
    if settings.webhook_token_file or settings.webhook_basic_auth_file or settings.tls_client_ca:
        return ""
    if not settings.insecure_no_auth:
        return (
            "webhooks need authentication: give --webhook-token-file, --webhook-basic-auth-file or --tls-client-ca;"
            " --insecure-no-auth takes them from anybody on this machine"
        )
    if host not in LOOPBACK:
        return f"--insecure-no-auth: only when listening on loopback, and --listen says {host}"
    return ""


def _given(
    option: Option,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, Any],
    config: Path | None,
) -> tuple[str, Any]:
    if flags.get(option.name) is not None:
        return option.flag, flags[option.name]
    if environ.get(option.variable):
        return option.variable, environ[option.variable]
    if option.name in from_file:
        raw = from_file[option.name]
        return f"{config}:{option.name}", raw if isinstance(raw, str) else _as_text(raw)
    return option.flag, option.default


def _as_text(raw: object) -> str:
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, list):
        return ",".join(str(part) for part in raw)
    return str(raw)


def _file(config: Path, problems: list[str]) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        problems.append(f"--config {config}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"--config {config}: is no TOML: {error}")
    return {}


def _strangers(environ: Mapping[str, str], from_file: Mapping[str, Any], config: Path | None) -> list[str]:
    """Name what was meant for us and is not known: a misspelt setting must not be ignored in silence."""
    known = {option.variable for option in OPTIONS} | {PREFIX + "CONFIG", PREFIX + "PG_BIN"}
    ours = (name for name in environ if name.startswith(PREFIX) and not _SERVICE_LINK.fullmatch(name))
    unknown = sorted(name for name in ours if name not in known and not name.startswith(PREFIX + "TEST_"))
    return [f"{name}: there is no such setting; see remediator serve --help" for name in unknown] + [
        f"{config}:{name}: there is no such setting" for name in sorted(from_file) if name not in _BY_NAME
    ]


def _together(settings: Settings, *, serving: bool) -> list[tuple[tuple[str, ...], str]]:
    """Return the faults that settings have only with each other, each with the settings that it is about."""
    problems: list[tuple[tuple[str, ...], str]] = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        problems.append((("tls_cert", "tls_key"), "--tls-cert and --tls-key: give both or neither"))
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        problems.append((("tls_client_ca", "tls_cert"), "--tls-client-ca: needs --tls-cert and --tls-key"))
    if settings.notify_token_file is not None and settings.notify_url is None:
        problems.append((("notify_token_file", "notify_url"), "--notify-token-file: needs --notify-url"))
    for name in ("alertmanager", "prometheus"):
        problems += _asking(settings, name)
    if serving and (open_door := _unauthenticated(settings)):
        problems.append((("listen", "insecure_no_auth", *AUTHENTICATION), open_door))
    return problems


def _asking(settings: Settings, name: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the faults of what is needed to ask Alertmanager or Prometheus."""
    url, secrets = f"{name}_url", [f"{name}_token_file", f"{name}_basic_auth_file"]
    given = [one for one in secrets if getattr(settings, one) is not None]
    if len(given) > 1:
        yield tuple(secrets), f"--{name}-token-file and --{name}-basic-auth-file: give one of them"
    for one in (*given, f"{name}_ca"):
        if getattr(settings, one) is not None and not getattr(settings, url):
            yield (one, url), f"--{one.replace('_', '-')}: needs --{name}-url"


def _rules() -> Path:
    """Return the folder of rules where none was named. A package that was built carries rules, a work tree is them."""
    here = Path("rules")
    return PACKAGED_RULES if PACKAGED_RULES.is_dir() and not here.exists() else here


def _state_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "state")
    return Path(base) / "remediator"
