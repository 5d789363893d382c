"""The table of settings: flags, variables, keys of the file and docs/reference/settings.md are made of it."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.model.policy import Policy
from remediator.values import (
    Read,
    address,
    alertmanagers,
    choice,
    listen,
    namespaces,
    path,
    postgres_url,
    rate,
    seconds,
    targets,
    web_url,
    whole,
    words,
    written,
    yes,
)

PREFIX = "REMEDIATOR_"
_DEFAULTS = Policy()


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: its reader, its default as text ("": none), its help, and whether its value may hold a secret."""

    name: str
    read: Read
    default: str
    help: str
    secret: bool = False

    @property
    def flag(self) -> str:
        """Return ``--webhook-token-file``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Return ``REMEDIATOR_WEBHOOK_TOKEN_FILE``."""
        return PREFIX + self.name.upper()


OPTIONS: tuple[Option, ...] = (
    Option(
        "listen", listen, "127.0.0.1:9095", "address and port for webhooks, health and metrics (port 0: any free one)"
    ),
    Option("tls_cert", path, "", "PEM certificate chain to serve HTTPS with; needs --tls-key"),
    Option("tls_key", path, "", "PEM key of the certificate"),
    Option("tls_client_ca", path, "", "PEM authority: webhooks then need a client certificate signed by it"),
    Option("webhook_token_file", path, "", "file with one or two bearer tokens that senders of webhooks may use"),
    Option("webhook_basic_auth_file", path, "", "file with one or two lines user:password for basic authentication"),
    Option("insecure_no_auth", yes, "false", "take webhooks from anybody; only when listening on loopback"),
    Option(
        "database_url", postgres_url, "", "PostgreSQL server for our state; without it, an embedded one", secret=True
    ),
    Option("state_dir", path, "", "folder of the embedded database (default: $XDG_STATE_HOME/remediator)"),
    Option(
        "checkpoint_file",
        path,
        "",
        "file for checkpoints of the ledger, only added to (default: checkpoints.jsonl in --state-dir)",
    ),
    Option(
        "rules",
        path,
        "",
        "folder (or file) of rules (default: ./rules; if there is none, those that come with remediator)",
    ),
    Option(
        "kubeconfig", path, "", "kubeconfig of the cluster (default: $KUBECONFIG, the pod's account, ~/.kube/config)"
    ),
    Option("context", str, "", "context in the kubeconfig (default: its current one)"),
    Option("cluster_concurrency", whole(1, 1000), "32", "requests to the API server at once"),
    Option(
        "mode",
        choice("observe", "ask", "enforce"),
        "enforce",
        "ceiling over all rules' modes (observe, ask, enforce): it can only lower them",
    ),
    Option("protected", targets, "", "targets never touched, with commas; patterns such as deployment/monitoring/*"),
    Option(
        "protected_namespaces",
        namespaces,
        ",".join(_DEFAULTS.protected_namespaces),
        "namespaces never touched, with commas",
    ),
    Option("spacing", seconds(0, 86400), f"{_DEFAULTS.spacing_s}s", "least time between two changes in the cluster"),
    Option("cluster_burst", rate, "6/10m", "most changes in the cluster in a short time"),
    Option("cluster_hourly", rate, "20/1h", "most changes in the cluster in a long time"),
    Option("open_per_namespace", whole(1, 100_000), str(_DEFAULTS.open_per_namespace), "open changes in one namespace"),
    Option("open_per_cluster", whole(1, 100_000), str(_DEFAULTS.open_per_cluster), "open changes in the cluster"),
    Option(
        "min_healthy_percent",
        whole(0, 100),
        str(_DEFAULTS.min_healthy_percent),
        "ready pods below which nothing disruptive is done",
    ),
    Option(
        "max_replicas", whole(1, 10_000), str(_DEFAULTS.max_replicas), "no scale goes above this, whatever a rule says"
    ),
    Option("require_fences", yes, "false", "write nothing unless the cluster refuses stale fences (remediator policy)"),
    Option("storm", rate, "10/2m", "incidents that begin within a time: so many are a storm, and nothing is changed"),
    Option(
        "storm_percent",
        whole(1, 100),
        str(_DEFAULTS.storm_percent),
        "share of all workloads: incidents about so many are a storm too, five at least (100: only --storm counts)",
    ),
    Option(
        "storm_quiet",
        seconds(1, 86400),
        written(float(_DEFAULTS.storm_quiet_s)),
        "calm time after which a storm is over",
    ),
    Option("storm_evidence", rate, "10/2m", "most targets that are looked at within a time while a storm is on"),
    Option(
        "blast_namespace_percent",
        whole(1, 100),
        str(_DEFAULTS.blast_namespace_percent),
        "share of a namespace's workloads that may be changed within ten minutes",
    ),
    Option(
        "blast_cluster_percent",
        whole(1, 100),
        str(_DEFAULTS.blast_cluster_percent),
        "share of all workloads that rules may act on that may be changed within ten minutes",
    ),
    Option("quarantine", rate, "3/24h", "attempts on a target that did not help, after which it is left to people"),
    Option("masking", rate, "3/6h", "times that the same action has helped a target, after which people must look"),
    Option(
        "recent_deploy",
        seconds(0, 7 * 86400),
        written(float(_DEFAULTS.recent_deploy_s)),
        "time after somebody's rollout in which no pods are ended",
    ),
    Option("own_workloads", targets, "", "what remediator itself runs on, with commas: deployment/ops/remediator"),
    Option("require_opt_in", yes, "false", "only change workloads annotated remediator.io/opt-in: true"),
    Option("pause_file", path, "", "while this file exists, nothing is changed (default: paused in the state folder)"),
    Option(
        "alertmanager_url",
        alertmanagers,
        "",
        "Alertmanagers to ask what webhooks did not tell, all peers, with commas; of other sources: source=http://...",
        secret=True,
    ),
    Option(
        "alertmanager_receivers",
        words,
        "",
        "when asking, take only alerts routed to one of these receivers, with commas (default: all)",
    ),
    Option("alertmanager_token_file", path, "", "file with the bearer token for --alertmanager-url"),
    Option("alertmanager_basic_auth_file", path, "", "file with user:password for --alertmanager-url"),
    Option("alertmanager_ca", path, "", "PEM authority that alone is trusted for --alertmanager-url"),
    Option(
        "alertmanager_settle",
        seconds(1, 3600),
        "5m",
        "time after an Alertmanager's start before what it does not have counts as over",
    ),
    Option("reconcile_interval", seconds(1, 300), "60s", "time from one look at what Alertmanager has to the next"),
    Option(
        "reconcile_grace",
        seconds(0, 600),
        "30s",
        "time that an alert must have fired before it is taken without a webhook",
    ),
    Option(
        "prometheus_url",
        address,
        "",
        "Prometheus to ask for the rows of the threshold table, and what fired while no replica was at work",
        secret=True,
    ),
    Option("prometheus_token_file", path, "", "file with the bearer token for --prometheus-url"),
    Option("prometheus_basic_auth_file", path, "", "file with user:password for --prometheus-url"),
    Option("prometheus_ca", path, "", "PEM authority that alone is trusted for --prometheus-url"),
    Option("databases", path, "", "TOML file with the databases whose connection limits may be raised"),
    Option("poll_interval", seconds(1, 300), "15s", "time from one look at the threshold table to the next"),
    Option("poll_settle", seconds(1, 3600), "5m", "time for which Prometheus must have scraped before it is believed"),
    Option("unknown_after", seconds(1, 86400), "10m", "time that a measure may be unknown before people are told"),
    Option(
        "return_quiet",
        seconds(1, 86400),
        "5m",
        "time without an open incident of a target before what it was lent goes back",
    ),
    Option("notify_url", web_url, "", "webhook that gets the messages to people, as JSON", secret=True),
    Option("notify_token_file", path, "", "file with the bearer token for --notify-url"),
    Option("max_connections", whole(8, 100_000), "512", "connections to the webhook port at once"),
    Option("accept_deadline", seconds(0.1, 9), "5s", "time in which a webhook must be stored, else it is answered 503"),
    Option(
        "inbox_limit", whole(100, 10_000_000), "200000", "signals that may wait to be matched; then webhooks get 503"
    ),
    Option("match_batch", whole(1, 10_000), "500", "signals matched in one transaction"),
    Option("admit_batch", whole(1, 1000), "64", "candidates decided in one transaction"),
    Option("execute_concurrency", whole(1, 1000), "32", "actions carried out at once by this replica"),
    Option("action_lease", seconds(20, 3600), "90s", "time after which another replica takes over an action"),
    Option("drain", seconds(1, 600), "25s", "time for the work in hand when the daemon is stopped"),
    Option(
        "keep_evidence",
        seconds(30 * 86400, 3650 * 86400),
        "90d",
        "time after an incident was resolved in which its evidence and its decided candidates are kept",
    ),
    Option(
        "log_format",
        choice("auto", "json", "console"),
        "auto",
        "how the log looks: json, console, or auto, which is console on a terminal and json elsewhere",
    ),
    Option(
        "log_level",
        choice("debug", "info", "warning", "error"),
        "info",
        "least level of the log (debug, info, warning, error)",
    ),
)
