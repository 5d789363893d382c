"""Undo: the values that an action replaced are brought back, as long as nobody has touched the object since.

The object must be as the action left it: its mark, every value that it wrote, and all else that the before-image holds.
Otherwise somebody has built on it, and the difference is told instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import structs
from msgspec.json import encode

from remediator.core.guardrails import GUARDS
from remediator.core.judge import Judgement, Question, judge
from remediator.core.targets import unusable
from remediator.core.words import span
from remediator.model.action import Verdict
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.plan import PatchObject, Plan, Undoes, Wrote
from remediator.model.target import Target
from remediator.model.undo import Difference, Former, Path, Returned, Undoing

MARK = "remediator.io/action"
WAITS_S = 600
"""Seconds in which a request to undo must have come to a decision: later nobody expects it any more."""
MOST_TOLD = 8
LISTS = frozenset({"containers", "env"})
"""Lists that are patched by the names of their items."""

# What holds for a person's wish too. The rest is about how often and when the machine may act of its own accord.
RETURN_GUARDS = tuple(
    guard
    for guard in GUARDS
    if guard.name
    in {
        *("paused", "frozen", "self_protection", "protected", "opted_out", "not_opted_in", "target_unknown"),
        *("target_busy", "namespace_busy", "cluster_busy", "limit_cluster", "spacing", "stale_facts"),
    }
)


def obstacle(former: Former) -> str:
    """Return why an action cannot be undone, as far as the ledger tells; "" if it may be tried."""
    if former.undone_by is not None:
        return f"A{former.undone_by} undoes it already"
    if former.state.open:
        return f"it is still under way ({former.state.value})"
    if former.plan.undoes is not None:
        return "it undid something itself; do what is wanted by hand"
    if former.applied_at is None or former.before is None:
        return f"it has changed nothing ({former.state.value})"
    if former.plan.statement is not None:
        return "" if former.plan.undo else "sessions that were ended cannot be brought back"
    values = tuple(returned_values(former))
    if not values:
        return f"a {former.plan.action} leaves nothing behind that could be brought back"
    kept = next((one.path for one in values if not _whole(one)), None)
    return f"the former value of {spell(kept)} was not kept whole" if kept is not None else ""


def undoing(former: Former, image: dict[str, Any]) -> Undoing:
    """Compare the object as it is now (an image like the before-image) with how the action left it."""
    why = obstacle(former)
    if why:
        return Undoing(action=former.number, mark=former.id, obstacle=why)
    return Undoing(
        action=former.number,
        mark=former.id,
        returned=tuple(returned_values(former)),
        through=former.plan.lever,
        by_name=by_name(former.plan),
        differences=differences(as_left(former), image),
    )


def proposal(candidate: Candidate, facts: Facts) -> Plan | Refusal:
    """Plan the return of what an action replaced, or say why not."""
    if facts.workload is None or facts.problem or facts.undo is None:
        return unusable(facts, facts.read_at)
    wanted, target = facts.undo, facts.workload.target
    name = f"A{wanted.action}"
    if wanted.obstacle:
        message = f"{name} cannot be {_done(wanted)}: {wanted.obstacle}"
        return Refusal(reason=HoldReason.CANNOT_PLAN, message=message, numbers={"action": wanted.action})
    if wanted.differences:
        return Refusal(
            reason=HoldReason.CHANGED_SINCE,
            message=f"{name} is not {_done(wanted)}: {_changed(target, wanted.differences)}",
            numbers={spell(one.path): [one.ours, one.theirs] for one in wanted.differences},
        )
    values = ", ".join(f"{spell(one.path)} {_say(one.ours)} -> {_say(one.former)}" for one in wanted.returned)
    patch: dict[str, Any] = {}
    for one in wanted.returned:
        _put(patch, one.path, one.former)
    expected = {".".join(one.path): one.former for one in wanted.returned}
    wrote = tuple(Wrote(path=one.path, value=one.ours) for one in wanted.returned)
    returns = f"return {'the rest' if wanted.final else 'a part'} of what A{wanted.loan} has lent {target}: {values}"
    undo = f"undo {name} on {target}, asked for by {candidate.approved_by}: {values}"
    return Plan(
        action="undo" if wanted.loan is None else "return",
        target=target,
        summary=undo if wanted.loan is None else returns,
        steps=(wanted.statement or _patch(wanted, target, patch, expected),),
        changes=True,
        undoes=Undoes(action=wanted.action, mark=wanted.mark, wrote=wrote, loan=wanted.loan, last=wanted.final),
    )


def _changed(target: Target, differences: tuple[Difference, ...]) -> str:
    return f"{target} was changed since, ours -> theirs: {_told(differences)}"


def _done(wanted: Undoing) -> str:
    return "undone" if wanted.loan is None else f"returned (lent by A{wanted.loan})"


def too_late(candidate: Candidate, now: datetime) -> Refusal | None:
    """Refuse a wish that is so old that whoever had it has gone on."""
    age = (now - candidate.first_seen_at).total_seconds()
    if age <= WAITS_S:
        return None
    message = f"it was asked for {span(age)} ago and could not be done in {span(WAITS_S)}; ask again if it is wanted"
    return Refusal(reason=HoldReason.STALE_FACTS, message=message, numbers={"age_s": age, "waits_s": WAITS_S})


def touched_since(plan: Plan, image: dict[str, Any]) -> Refusal | None:
    """Refuse, just before the write, to bring back what somebody has changed after it was decided."""
    if plan.undoes is None or plan.statement is not None:
        # A statement carries the values that it replaces, and is refused where they are not there any more.
        return None
    wrote = [*plan.undoes.wrote, Wrote(path=("metadata", "annotations", MARK), value=plan.undoes.mark)]
    found = [Difference(path=one.path, ours=one.value, theirs=value_at(image, one.path)) for one in wrote]
    moved = tuple(one for one in found if one.ours != one.theirs)
    if not moved:
        return None
    return Refusal(
        reason=HoldReason.CHANGED_SINCE,
        message=_changed(plan.target, moved),
        numbers={spell(one.path): [one.ours, one.theirs] for one in moved},
    )


def judge_return(question: Question) -> Judgement:
    """Judge one look at what was returned: done when the rollout is; whatever fires is none of its business."""
    patience = structs.replace(question.recover, for_s=0)
    found = judge(structs.replace(question, firing=0, quiet_since=None, ready_before=None, recover=patience))
    workload = question.facts.workload
    if found.verdict is not Verdict.RECOVERED or workload is None:
        return found
    return structs.replace(found, message=f"as before, {workload.ready} of {workload.replicas} pods ready")


def spell(path: Path) -> str:
    """Return a path as people read it: ``metadata.annotations[remediator.io/action]``."""
    return "".join(f"[{part}]" if "." in part or "/" in part else f".{part}" for part in path).lstrip(".")


def _told(differences: tuple[Difference, ...]) -> str:
    told = [f"{spell(one.path)}: {_say(one.ours)} -> {_say(one.theirs)}" for one in differences[:MOST_TOLD]]
    more = len(differences) - len(told)
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def _say(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits a line


def returned_values(former: Former) -> Iterator[Returned]:
    """Yield the values that an action wrote, and what was there before."""
    before = former.before.object if former.before is not None else {}
    for step in former.plan.steps:
        if isinstance(step, PatchObject):
            for path, value in _leaves(step.patch, ()):
                yield Returned(path=path, ours=value, former=value_at(before, path))


def by_name(plan: Plan) -> bool:
    """Tell whether a plan writes lists whose items are merged by their names."""
    return any(isinstance(step, PatchObject) and step.by_name for step in plan.steps)


def _patch(wanted: Undoing, target: Target, patch: dict[str, Any], expected: dict[str, Any]) -> PatchObject:
    """Return the write that brings values back. What rolled the pods out rolls them out again, and marks them."""
    by_name = wanted.by_name
    return PatchObject(
        target=target,
        patch=_spread(patch) if by_name else patch,
        expected=expected,
        through=wanted.through,
        by_name=by_name,
        mark_template=by_name,
    )


def _whole(one: Returned) -> bool:
    """Tell whether a former value was kept as it was: numbers are, also in words where a number was written."""
    if isinstance(one.former, str):
        return isinstance(one.ours, str) and one.ours.isdecimal() and one.former.isdecimal()
    return isinstance(one.former, bool | int | None) and not (isinstance(one.ours, str) and one.former is None)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if value and _named(value):
        for item in value:
            rest = {key: inner for key, inner in item.items() if key != "name"}
            yield from _leaves(rest, (*path, item["name"]))
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif path:
        yield path, value


def value_at(document: Any, path: Path) -> Any:
    """Return what is at a path of a document, None where nothing is; items of lists go by their names."""
    for key in path:
        if _named(document):
            document = next((item for item in document if item["name"] == key), None)
            continue
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def _put(document: dict[str, Any], path: Path, value: Any) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value


def differences(left: dict[str, Any], image: dict[str, Any]) -> tuple[Difference, ...]:
    """Compare what was left with the object as it is now."""
    return tuple(_compare(left, _seen(image), ()))


def as_left(former: Former) -> dict[str, Any]:
    """Return what of the object is compared, as it was when the action had written."""
    left = _seen(former.before.object if former.before is not None else {})
    for step in former.plan.steps:
        if isinstance(step, PatchObject):
            left = _merged(left, _seen(step.patch))
            if step.mark_template:
                marked = {"spec": {"template": {"metadata": {"annotations": {MARK: former.id}}}}}
                left = _merged(left, marked)
    return _merged(left, {"metadata": {"annotations": {MARK: former.id}}})


def _seen(document: dict[str, Any]) -> dict[str, Any]:
    """Return what of an image is compared: the spec, and our mark. Versions and other marks move by themselves."""
    mark = value_at(document, ("metadata", "annotations", MARK))
    return {"metadata": {"annotations": {MARK: mark}}, "spec": document.get("spec") or {}}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return what a merge patch makes of a document."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            known = merged.get(key)
            merged[key] = _merged(known if isinstance(known, dict) else {}, value)
        elif _named(value) and _named(merged.get(key)):
            merged[key] = _merged_by_name(merged[key], value)
        else:
            merged[key] = value
    return merged


def _merged_by_name(below: list[Any], above: list[Any]) -> list[Any]:
    """Return what a strategic merge patch makes of a list whose items have names."""
    wanted = {item["name"]: item for item in above}
    kept = [_merged(item, wanted.pop(item["name"], {})) for item in below]
    return [*kept, *wanted.values()]


def _spread(patch: dict[str, Any]) -> dict[str, Any]:
    """Return a patch whose containers and variables are lists again, with their names in the items."""
    spread: dict[str, Any] = {}
    for key, value in patch.items():
        inner = _spread(value) if isinstance(value, dict) else value
        named = key in LISTS and isinstance(inner, dict)
        spread[key] = [{"name": name, **item} for name, item in inner.items()] if named else inner
    return spread


def _compare(ours: Any, theirs: Any, path: Path) -> Iterator[Difference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _compare(ours.get(key), theirs.get(key), (*path, key))
    elif _named(ours) and _named(theirs):
        mine, others = ({item["name"]: item for item in side} for side in (ours, theirs))
        yield from _compare(mine, others, path)
    elif ours != theirs:
        yield Difference(path=path, ours=ours, theirs=theirs)


def _named(value: Any) -> bool:
    """Tell whether a value is a list whose items have names of their own, as containers and variables have."""
    if not isinstance(value, list) or not all(isinstance(item, dict) and "name" in item for item in value):
        return False
    return len({item["name"] for item in value}) == len(value)
