"""Which PodDisruptionBudgets are over the pods of a workload. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.adapters.kubernetes.owner_shapes import DisruptionBudget
from remediator.adapters.kubernetes.shapes import Requirement, Selector
from remediator.model.owners import Budget


def budgets(found: tuple[DisruptionBudget, ...], labels: Mapping[str, str]) -> tuple[Budget, ...]:
    """Return the budgets over pods with these labels; one that has not counted any pod yet says nothing."""
    return tuple(
        Budget(
            name=item.metadata.name,
            desired=item.status.desired_healthy,
            healthy=item.status.current_healthy,
            allowed=item.status.disruptions_allowed,
        )
        for item in found
        if item.spec.selector is not None and item.status.expected_pods and selects(item.spec.selector, labels)
    )


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Tell whether a selector means what has these labels; an empty one means everything."""
    same = all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
    return same and all(_meets(labels, item) for item in selector.match_expressions or ())


def _meets(labels: Mapping[str, str], item: Requirement) -> bool:
    match item.operator:
        case "In":
            return labels.get(item.key) in (item.values or ())
        case "NotIn":
            return labels.get(item.key) not in (item.values or ())
        case "Exists":
            return item.key in labels
        case "DoesNotExist":
            return item.key not in labels
        case _:
            # What Kubernetes does not have yet may mean anything: it counts.
            return True
