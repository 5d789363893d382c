"""What holds for every check there is, and how checks are carried out."""

from __future__ import annotations

import asyncio

import pytest

from remediator.checks.catalogue import CHECKS
from remediator.checks.shape import MOST_ROWS, CheckType, Subject, table
from remediator.flow import checking
from remediator.flow.checking import carry_out
from remediator.model.look import Findings, Look, Objects, Seen, Unseen
from remediator.model.report import Report, Verdict
from tests.checks.seeing import NOW, Table, report

READS = {"get", "list"}


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
async def test_a_check_that_sees_nothing_knows_nothing(check: CheckType) -> None:
    """Unknown is never healthy, and it says what it could not see."""
    subject = Subject(now=NOW, namespace="backstage", database="portal")
    found = await carry_out(check, subject, check.parameters(), Table({}))
    assert found.check == check.name
    assert found.verdict is Verdict.UNKNOWN
    assert found.unseen


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
def test_a_check_only_reads(check: CheckType) -> None:
    """Whatever it is allowed."""
    assert CHECKS[check.name] is check
    assert {verb for permission in check.permissions for verb in permission.verbs} <= READS


def _greedy(count: int) -> CheckType:
    """Return a check that wants one look more in each round, ``count`` to begin with."""

    def wants(_subject: Subject, _parameters: object, findings: Findings) -> tuple[Look, ...]:
        return tuple(Objects(resource="pods", name=f"p{number}") for number in range(count + len(findings)))

    def judge(_subject: Subject, _parameters: object, findings: Findings) -> Report:
        seen = [str(look) for look, found in findings.items() if isinstance(found, Seen)]
        return Report(check="greedy", verdict=Verdict.OK, summary=f"password=hunter2hunter2 {len(seen)}")

    return CheckType(name="greedy", title="", section="", permissions=(), wants=wants, judge=judge)


async def test_rounds_and_looks_have_an_end() -> None:
    """And no look is made twice."""
    looker = Table({})
    await carry_out(_greedy(1), Subject(now=NOW), None, looker)
    assert len(looker.asked) == len(set(looker.asked)) == checking.ROUNDS
    looker = Table({})
    await carry_out(_greedy(150), Subject(now=NOW), None, looker)
    assert len(looker.asked) == checking.MOST_LOOKS


async def test_a_report_holds_no_secret() -> None:
    """Whatever the check took from what it saw."""
    found = await report(_greedy(1), {})
    assert "hunter2" not in found.summary


async def test_a_look_that_hangs_is_given_up() -> None:
    """And says so."""
    seen: list[Seen | Unseen] = []

    class Hangs:
        """Never answers."""

        async def look(self, look: Look) -> Seen | Unseen:
            """See ports.looking.Looker."""
            await asyncio.Event().wait()
            return Seen()

    def judge(_subject: Subject, _parameters: object, findings: Findings) -> Report:
        seen.extend(findings.values())
        return Report(check="greedy", verdict=Verdict.UNKNOWN, summary="")

    one = _greedy(1)
    hung = CheckType(name="hung", title="", section="", permissions=(), wants=one.wants, judge=judge)
    await carry_out(hung, Subject(now=NOW), None, Hangs(), look_s=0.01)
    assert {type(found) for found in seen} == {Unseen}


def test_a_table_says_how_much_is_left_out() -> None:
    """It is for reading."""
    found = table("t", ("a",), [(number,) for number in range(MOST_ROWS + 7)])
    assert (len(found.rows), found.more) == (MOST_ROWS, 7)
