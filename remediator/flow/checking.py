"""A check is carried out: looks in rounds until it wants no more, then its judgement, redacted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from remediator import redaction
from remediator.checks.shape import CheckType, Subject
from remediator.model.look import Findings, Look, Seen, Unseen
from remediator.model.report import Report
from remediator.ports.looking import Looker

ROUNDS = 5
"""What is seen may lead to more looks (pods to their logs); no check needs as many rounds."""
MOST_LOOKS = 200
AT_ONCE = 8
LOOK_S = 20.0


async def carry_out(
    check: CheckType, subject: Subject, parameters: Any, looker: Looker, *, look_s: float = LOOK_S
) -> Report:
    """Look at what the check wants, each look within ``look_s`` seconds, and return its report, without secrets."""
    findings: Findings = {}
    slots = asyncio.Semaphore(AT_ONCE)
    for _ in range(ROUNDS):
        wanted = [look for look in check.wants(subject, parameters, findings) if look not in findings]
        if not wanted:
            break
        for look in wanted[max(0, MOST_LOOKS - len(findings)) :]:
            findings[look] = Unseen(
                reason="refused", message=f"more than {MOST_LOOKS} looks are too many for one check"
            )
        async with asyncio.TaskGroup() as group:
            tasks = {
                look: group.create_task(_within(looker, look, slots, look_s)) for look in wanted if look not in findings
            }
        findings |= {look: task.result() for look, task in tasks.items()}
    report = check.judge(subject, parameters, findings)
    return msgspec.convert(redaction.tree(msgspec.to_builtins(report)), Report)


async def _within(looker: Looker, look: Look, slots: asyncio.Semaphore, seconds: float) -> Seen | Unseen:
    """Look, no longer than a look may take."""
    try:
        async with slots, asyncio.timeout(seconds):
            return await looker.look(look)
    except TimeoutError:
        return Unseen(reason="unreachable", message=f"no answer within {seconds:g} s")
