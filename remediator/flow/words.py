"""Ledger entries of the later stages."""

from __future__ import annotations

from typing import Any

from remediator.model.action import Action
from remediator.model.entry import EntryKind, NewEntry
from remediator.ports.cluster import LiveObject


def action_entry(
    kind: EntryKind, action: Action, summary: str, data: dict[str, Any], reasons: tuple[str, ...] = ()
) -> NewEntry:
    """Return an entry about one action."""
    return NewEntry(
        kind=kind,
        summary=summary,
        incident=action.incident,
        action=action.number,
        rule=action.rule,
        target_key=action.target.key,
        reasons=reasons,
        data={"action": action.plan.action, "action_id": action.id, "fence": action.fence, **data},
    )


def image_data(live: LiveObject) -> dict[str, Any]:
    """Return what the ledger says of the object before the write; the whole image is with the action."""
    image = live.image
    return {"resource_version": image.resource_version, "uid": image.uid, "generation": image.generation}
