"""What the operator allows over all rules: the global ceiling and the numbers that no rule can raise."""

from __future__ import annotations

from msgspec import Struct

from remediator.model.rule import Mode, RateLimit


class Policy(Struct, frozen=True, kw_only=True):
    """Global limits. Defaults and their evidence: docs/guardrails.md.

    ``protected`` are target keys or patterns (``deployment/monitoring/*``) that are never touched;
    ``protected_namespaces`` likewise. Times in seconds, ``min_healthy_percent`` in percent of the wanted pods.
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
