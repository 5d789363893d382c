"""What can be acted on."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """Kinds of workload, spelt as Kubernetes spells them."""

    DEPLOYMENT = "Deployment"
    STATEFULSET = "StatefulSet"
    DAEMONSET = "DaemonSet"


class Target(Struct, frozen=True, kw_only=True):
    """One workload. ``uid`` pins the very object: a recreated one of the same name is another target."""

    kind: Kind
    namespace: str
    name: str
    uid: str = ""

    @property
    def key(self) -> str:
        """``deployment/backstage/postgres``: kind in lower case, namespace, name. Stable over recreation."""
        return f"{self.kind.lower()}/{self.namespace}/{self.name}"

    def __str__(self) -> str:
        """Return ``deployment/postgres in backstage``, as a person would say it."""
        return f"{self.kind.lower()}/{self.name} in {self.namespace}"
