"""docs/reference/http.md lists every answer that the code can give."""

from __future__ import annotations

import re
from pathlib import Path

from remediator.web.door import DoorLimits
from remediator.web.receive import BodyLimits
from remediator.web.webhook import STORE_WORDS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")


def test_every_reason_is_on_the_page_and_no_other() -> None:
    """A reason of a refusal is what an operator finds in Alertmanager's log."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "remediator" / "web").glob("*.py"))
    given = set(re.findall(r"Refusal\([\w.]+, \"(\w+)\"", code)) | set(STORE_WORDS.values())
    assert {"malformed", "unauthorized", "full", "deadline"} <= given
    assert given | {"store"} == set(re.findall(r"^\| \d{3} \| `(\w+)` ", PAGE, re.MULTILINE))


def test_the_numbers_are_those_of_the_code() -> None:
    """Deadlines and caps."""
    assert f"has {DoorLimits().receive_s:g} s from its" in PAGE
    assert f"may rest {DoorLimits().idle_s:g} s between requests" in PAGE
    assert f"more than {BodyLimits().one // 2**20} MiB" in PAGE
    assert f"{BodyLimits().together // 2**20} MiB of bodies" in PAGE
