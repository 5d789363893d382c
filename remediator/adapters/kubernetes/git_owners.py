"""Whether Argo CD or Flux brings an object back to what Git says: marks on the object, and the Application. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from remediator.adapters.kubernetes.owner_shapes import Application, IgnoreDifference
from remediator.adapters.kubernetes.shapes import Meta
from remediator.model.owners import Keeper

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "app.kubernetes.io/instance"
SKIP = "argocd.argoproj.io/skip-reconcile"
_FLUX = {"kustomize.toolkit.fluxcd.io": "Flux Kustomization", "helm.toolkit.fluxcd.io": "Flux HelmRelease"}
_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
_JQ = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An object that may be kept in Git: what it is, and its metadata."""

    group: str
    kind: str
    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That an object says of itself which Application has it; ``sure``: the mark is Argo CD's own, not just a label."""

    application: str
    namespace: str = ""
    sure: bool = False


def claim_of(kept: Kept) -> Claim | None:
    """Return which Application an object says it belongs to. A mark copied from another object counts for nothing."""
    meta = kept.meta
    application, _, place = (meta.annotations or {}).get(TRACKING, "").partition(":")
    if application and place == f"{kept.group}/{kept.kind}:{meta.namespace}/{meta.name}":
        # Applications outside of Argo CD's own namespace are tracked as namespace_name.
        namespace, _, name = application.rpartition("_")
        return Claim(application=name, namespace=namespace, sure=True)
    label = (meta.labels or {}).get(INSTANCE, "")
    return Claim(application=label) if label else None


def application_of(claim: Claim, found: tuple[Application, ...], kept: Kept) -> Application | None:
    """Return the Application that is meant; a label alone must fit the Application's namespace too."""
    named = [item for item in found if item.metadata.name == claim.application]
    named = [item for item in named if claim.namespace in {"", item.metadata.namespace}]
    if not claim.sure:
        named = [item for item in named if item.spec.destination.namespace == kept.meta.namespace]
    return named[0] if named else None


def keeper_of(application: Application, kept: Kept) -> Keeper | None:
    """Return who brings the object back: an Application that heals itself, with what it does not compare."""
    policy = application.spec.sync_policy
    automated = policy.automated if policy is not None else None
    if automated is None or automated.enabled is False or not automated.self_heal:
        return None
    if (application.metadata.annotations or {}).get(SKIP) == "true":
        return None
    rules = [rule for rule in application.spec.ignore_differences or () if _covers(rule, kept)]
    pointers = [pointer for rule in rules for pointer in rule.json_pointers or ()]
    plain = [text for rule in rules for text in rule.jq_path_expressions or () if _JQ.fullmatch(text)]
    ignores = (*pointers, *(text.replace(".", "/") for text in plain))
    return Keeper(tool="Argo CD application", name=application.metadata.name, ignores=ignores)


def flux_of(kept: Kept) -> Keeper | None:
    """Return Flux where its labels stand on the object and it was not told to leave the object alone."""
    labels, annotations = kept.meta.labels or {}, kept.meta.annotations or {}
    if annotations.get(_RECONCILE) == "disabled":
        return None
    return next(
        (Keeper(tool=tool, name=_name(labels, group)) for group, tool in _FLUX.items() if _name(labels, group)), None
    )


def _name(labels: Mapping[str, str], group: str) -> str:
    return labels.get(f"{group}/name", "")


def _covers(rule: IgnoreDifference, kept: Kept) -> bool:
    """Tell whether a rule of ignoreDifferences is about an object; a field that is left out is about all."""
    asked = ((rule.name, kept.meta.name), (rule.namespace, kept.meta.namespace))
    return (
        rule.kind in {kept.kind, "*"}
        and rule.group in {kept.group, "*"}
        and all(wanted in {"", own} for wanted, own in asked)
    )
