"""Recognises databases that an operator runs: by the owner and the labels that each gives to its workloads."""

from __future__ import annotations

from remediator.adapters.kubernetes.shapes import Meta

# The kind and group of an owner, and labels (with a value, or with any), by the name that advice is given under.
_OWNERS = {
    ("Cluster", "postgresql.cnpg.io"): "CloudNativePG",
    ("postgresql", "acid.zalan.do"): "Zalando postgres-operator",
    ("PostgresCluster", "postgres-operator.crunchydata.com"): "Crunchy postgres-operator",
}
_LABELS = (
    ("cnpg.io/cluster", None, "CloudNativePG"),
    ("postgres-operator.crunchydata.com/cluster", None, "Crunchy postgres-operator"),
    ("acid.zalan.do/controller", None, "Zalando postgres-operator"),
    ("application", "spilo", "Zalando postgres-operator"),
    ("application", "patroni", "Patroni"),
    ("app", "patroni", "Patroni"),
    ("app.kubernetes.io/name", "patroni", "Patroni"),
)


def operator_of(*metas: Meta) -> str:
    """Return what runs the database of a workload, given its metadata and its template's; "" where nothing is known."""
    for meta in metas:
        for owner in meta.owner_references or ():
            known = _OWNERS.get((owner.kind, owner.api_version.partition("/")[0]))
            if known:
                return known
    labels = [(key, value) for meta in metas for key, value in (meta.labels or {}).items()]
    for key, value, name in _LABELS:
        if any(one == key and (value is None or value == given) for one, given in labels):
            return name
    return ""
