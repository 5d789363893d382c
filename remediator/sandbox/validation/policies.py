"""Faults of NetworkPolicy, PodDisruptionBudget and HorizontalPodAutoscaler."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from remediator.sandbox.resources import Json
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import bad, not_allowed, not_negative, required

_CIDR_RULE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_PERCENT = re.compile(r"^[0-9]+%$")
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)
_LAST_PORT = 65535


def network_policy(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a NetworkPolicy."""
    spec = obj["spec"]
    causes: list[Cause] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                value = port.get("port")
                if isinstance(value, int) and not 1 <= value <= _LAST_PORT:
                    causes.append(bad(f"{path}.ports[{number}].port", value, "must be between 1 and 65535, inclusive"))
            for number, peer in enumerate(rule.get(peers) or ()):
                causes += _peer(peer, f"{path}.{peers}[{number}]")
    return causes


def _peer(peer: Json, path: str) -> list[Cause]:
    block = peer.get("ipBlock")
    if block is None:
        return [] if peer else [required(path, "must specify a peer")]
    if len(peer) > 1:
        return [not_allowed(path, "may not specify both ipBlock and another peer")]
    text = block.get("cidr", "")
    if not text:
        return [required(f"{path}.ipBlock.cidr")]
    network = _network(text)
    if isinstance(network, str):
        return [bad(f"{path}.ipBlock.cidr", text, network)]
    causes: list[Cause] = []
    for index, item in enumerate(block.get("except") or ()):
        hole = _network(item)
        field = f"{path}.ipBlock.except[{index}]"
        if isinstance(hole, str):
            causes.append(bad(field, item, hole))
        elif not _inside(hole, network):
            causes.append(bad(field, item, "must be a strict subset of `cidr`"))
    return causes


def _network(text: str) -> IPv4Network | IPv6Network | str:
    """Return the network, or what is wrong with its text."""
    if "/" not in text:
        return _CIDR_RULE
    try:
        return ip_network(text)
    except ValueError:
        try:
            ip_network(text, strict=False)
        except ValueError:
            return _CIDR_RULE
        return "must not have bits set beyond the prefix length"


def _inside(hole: IPv4Network | IPv6Network, network: IPv4Network | IPv6Network) -> bool:
    if hole == network:
        return False
    if isinstance(hole, IPv4Network) and isinstance(network, IPv4Network):
        return hole.subnet_of(network)
    return isinstance(hole, IPv6Network) and isinstance(network, IPv6Network) and hole.subnet_of(network)


def disruption_budget(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a PodDisruptionBudget."""
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        causes.append(bad("spec", {}, "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        value = spec.get(name)
        if isinstance(value, str) and not _PERCENT.match(value):
            causes.append(bad(f"spec.{name}", value, _PERCENT_RULE))
        elif isinstance(value, int):
            causes += not_negative(f"spec.{name}", value)
    return causes


def autoscaler(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a HorizontalPodAutoscaler."""
    spec = obj["spec"]
    causes: list[Cause] = []
    least, most, metrics = spec.get("minReplicas", 1), spec.get("maxReplicas", 0), spec.get("metrics") or []
    if not (spec.get("scaleTargetRef") or {}).get("name"):
        causes.append(required("spec.scaleTargetRef.name"))
    if least < 1:
        causes.append(bad("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        causes.append(required("spec.maxReplicas", "must be set and greater than 0"))
    if most < least:
        causes.append(bad("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    for index, metric in enumerate(metrics):
        share = ((metric.get("resource") or {}).get("target") or {}).get("averageUtilization")
        if share is not None and share < 1:
            field = f"spec.metrics[{index}].resource.target.averageUtilization"
            causes.append(bad(field, share, "must be greater than 0"))
    if least == 0 and not any(metric.get("type") in {"Object", "External"} for metric in metrics):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        causes.append(not_allowed("spec.metrics", why))
    return causes
