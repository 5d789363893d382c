"""What tests of checks share: a moment, and answers to looks from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from remediator.checks.shape import CheckType, Subject
from remediator.flow.checking import carry_out
from remediator.model.look import Look, Seen, Unseen
from remediator.model.report import Report

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FORBIDDEN = Unseen(reason="forbidden", message="let remediator look")


@dataclass
class Table:
    """Answers looks from a table, and keeps what it was asked; what is not in the table is not there."""

    answers: Mapping[Look, Seen | Unseen]
    asked: list[Look] = field(default_factory=list)

    async def look(self, look: Look) -> Seen | Unseen:
        """See ports.looking.Looker."""
        self.asked.append(look)
        return self.answers.get(look, Unseen(reason="not_found", message="there is none"))


async def report(
    check: CheckType, answers: Mapping[Look, Seen | Unseen], subject: Subject | None = None, **parameters: Any
) -> Report:
    """Carry out a check on what the table says."""
    about = subject or Subject(now=NOW, namespace="backstage")
    return await carry_out(check, about, check.parameters(**parameters), Table(answers))
