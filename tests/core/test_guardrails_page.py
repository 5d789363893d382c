"""docs/guardrails.md says what the code does: guards, numbers, messages and reasons are compared, none by eye."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from remediator.core.decide import decide
from remediator.core.guardrails import GUARDS
from remediator.core.words import span
from remediator.model.decision import Hold, HoldReason
from remediator.model.policy import Brake, Policy
from remediator.model.rule import Limits, RateLimit
from tests.core.given import rule
from tests.core.test_decide import ONLY

PAGE = Path(__file__).parents[2].joinpath("docs", "guardrails.md").read_text(encoding="utf-8")


def table(first: str) -> list[list[str]]:
    """Return the rows of the table whose first column is headed so."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def said(value: Any) -> str:
    """Return a default as the page writes it."""
    match value:
        case RateLimit(count=count, window_s=window_s):
            return f"{count} in {span(window_s)}"
        case tuple():
            return ", ".join(map(named, value)) or "nothing"
        case None:
            return "the policy's"
        case _:
            return str(value)


def named(entry: str | Brake) -> str:
    """Return an entry of a list as the page writes it."""
    if isinstance(entry, str):
        return entry
    several = f" ({entry.count})" if entry.count > 1 else ""
    return f"{entry.alertname}{several}{' (in its namespace)' if entry.per_namespace else ''}"


def defaults() -> dict[str, str]:
    """Return every number that can be set, as the page writes it."""
    found = {}
    for prefix, settings in (("policy", Policy()), ("limits", Limits())):
        for info in msgspec.structs.fields(settings):
            value = getattr(settings, info.name)
            text = span(value) if info.name.endswith("_s") else said(value)
            found[f"`{prefix}.{info.name}`"] = f"{text} %" if info.name.endswith("_percent") else text
    found["`rule.min_healthy_percent`"] = said(rule().min_healthy_percent)
    found["`rule.shelf_life_s`"] = span(rule().shelf_life_s)
    return found


def test_the_page_lists_the_guards_in_their_order() -> None:
    """With the mark of those that are asked about every plan."""
    listed = [row[0] for row in table("guard")]
    assert listed == [f"`{guard.name}`{' (always)' if guard.every_plan else ''}" for guard in GUARDS]


def test_the_page_gives_the_defaults() -> None:
    """Each setting of the policy and of a rule's limits, none left out, none that is gone."""
    assert {row[0]: row[1] for row in table("setting")} == defaults()


def test_the_page_explains_every_reason() -> None:
    """In the order of the closed set, each with something to do."""
    rows = table("reason")
    assert [row[0] for row in rows] == [f"`{reason}`" for reason in HoldReason]
    assert all(len(row) == 3 and row[1] and row[2] for row in rows)


def test_the_page_shows_the_messages_as_they_are() -> None:
    """Produced by the guards, one of each."""
    (block,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    expected = []
    for make in ONLY.values():
        decision = decide(make())
        assert isinstance(decision, Hold)
        expected += [f"{refusal.reason}: {refusal.message}" for refusal in decision.refusals]
    assert block.splitlines() == expected


def test_every_source_is_used_and_given() -> None:
    """A number in brackets leads to a public page, and no page is left over."""
    used = {int(number) for number in re.findall(r"\[(\d+)\]", PAGE)}
    given = {int(number) for number in re.findall(r"^(\d+)\. <https://", PAGE, flags=re.MULTILINE)}
    assert used == given
