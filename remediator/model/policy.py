"""What the operator allows over all rules: the global ceiling and the numbers that no rule can raise."""

from __future__ import annotations

from msgspec import Struct

from remediator.model.rule import Mode, RateLimit


class Brake(Struct, frozen=True, kw_only=True):
    """An alert about the platform itself: while ``count`` of them fire, nothing is changed.

    ``per_namespace``: only those count, and only there, that carry the target's namespace.
    """

    alertname: str
    count: int = 1
    per_namespace: bool = False


BRAKES = (
    Brake(alertname="KubeAPIDown"),
    Brake(alertname="KubeAPIErrorBudgetBurn"),
    Brake(alertname="KubeNodeNotReady"),
    Brake(alertname="KubeQuotaExceeded", per_namespace=True),
    Brake(alertname="TargetDown", count=3),
)
"""Names as kube-prometheus gives them. One node or one scrape job that is gone happens; three jobs are a pattern."""


class Policy(Struct, frozen=True, kw_only=True):
    """Global limits. Defaults and their evidence: docs/guardrails.md.

    ``protected`` are target keys or patterns (``deployment/monitoring/*``) that are never touched;
    ``protected_namespaces`` likewise; ``own`` are those of remediator itself. Times in seconds, ``min_healthy_percent``
    in percent of the wanted pods, the ``blast`` percentages in percent of the workloads there are.
    """

    ceiling: Mode = Mode.ENFORCE
    protected: tuple[str, ...] = ()
    protected_namespaces: tuple[str, ...] = ("kube-system", "kube-public", "kube-node-lease")
    spacing_s: int = 10
    cluster_burst: RateLimit = RateLimit(count=6, window_s=600)
    cluster_hourly: RateLimit = RateLimit(count=20, window_s=3600)
    open_per_namespace: int = 1
    open_per_cluster: int = 3
    min_healthy_percent: int = 51
    max_replicas: int = 20
    cooldown_cap_s: int = 7200
    cooldown_reset_s: int = 10800
    own: tuple[str, ...] = ()
    require_opt_in: bool = False
    quarantine: RateLimit = RateLimit(count=3, window_s=86400)
    masking: RateLimit = RateLimit(count=3, window_s=21600)
    recent_deploy_s: int = 1800
    blast_window_s: int = 600
    blast_namespace_percent: int = 34
    blast_cluster_percent: int = 20
    storm: RateLimit = RateLimit(count=10, window_s=120)
    storm_percent: int = 20
    storm_quiet_s: int = 300
    storm_evidence: RateLimit = RateLimit(count=10, window_s=120)
    brakes: tuple[Brake, ...] = BRAKES
