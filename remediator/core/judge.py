"""Did it help? Judged on fresh facts and on the incident's alerts, never on what was meant to happen."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from remediator.core.words import span
from remediator.model.action import Verdict
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.rule import Recovery

SHORTEST_S = 0.5
SHORTEST_FIRING_S = 5.0
LONGEST_S = 15.0
"""Seconds between two looks; they grow with the time since the action, so that what heals at once is seen at once.
While an alert fires nothing can be proven but that a rollout is stuck, and the alert's end hastens the next look by
itself: looks are for other workloads then."""


class Question(Struct, frozen=True, kw_only=True):
    """What is known when it is looked.

    ``facts`` are read for this look. ``firing`` counts the incident's alerts that still fire. ``quiet_since`` is what
    the last judgement said. ``changes``: the action wrote something, so a stuck rollout is its doing.
    ``ready_before``: pods that were ready before the action, where that is known.
    """

    now: datetime
    applied_at: datetime
    recover: Recovery
    facts: Facts
    firing: int
    quiet_since: datetime | None
    changes: bool
    ready_before: int | None = None

    @property
    def deadline(self) -> datetime:
        """Return when patience ends."""
        return self.applied_at + timedelta(seconds=self.recover.within_s)


class Judgement(Struct, frozen=True, kw_only=True):
    """The verdict, or WAIT: then look again at ``check_at``, and hand ``quiet_since`` back in."""

    verdict: Verdict
    message: str
    quiet_since: datetime | None
    check_at: datetime


def judge(question: Question) -> Judgement:
    """Judge one look.

    Recovered: rolled out, with no alert firing, at every look for ``recover.for_s`` seconds; quiet is not counted from
    before the action, nor across a look that saw nothing. Who is quiet at the deadline is given the time to prove it.
    """
    workload = _known(question)
    if workload is None:
        return _unknown(question)
    if question.changes and _gave_up(workload):
        return _final(question, Verdict.WORSE, f"the rollout is stuck: {_pods(workload)}, progress deadline exceeded")
    if question.firing == 0 and _healthy(question, workload):
        return _quiet(question, workload)
    if question.now >= question.deadline:
        return _too_late(question, workload)
    message = f"{_sickness(question, workload)}; {span((question.deadline - question.now).total_seconds())} left"
    return _wait(question, message, None, question.deadline)


def _known(question: Question) -> WorkloadFacts | None:
    """Return the workload if it was really read, and after the action."""
    facts = question.facts
    if facts.problem or facts.read_at < question.applied_at:
        return None
    return facts.workload


def _gave_up(workload: WorkloadFacts) -> bool:
    """Tell whether the controller has given up on what is wanted now, not on something earlier."""
    return workload.stuck and workload.observed_generation >= workload.generation and not workload.rolled_out


def _healthy(question: Question, workload: WorkloadFacts) -> bool:
    """Tell whether the workload is as it should be. One that was switched off has not been repaired by the action."""
    return workload.rolled_out and not workload.deleting and (workload.replicas > 0 or not question.changes)


def _quiet(question: Question, workload: WorkloadFacts) -> Judgement:
    """Judge a healthy look: recovered if the quiet is long enough, otherwise wait for the rest of it."""
    since = max(min(question.quiet_since or question.now, question.now), question.applied_at)
    proven = since + timedelta(seconds=question.recover.for_s)
    quiet = f"{_pods(workload)}, no alert has fired for {span((question.now - since).total_seconds())}"
    if question.now >= proven:
        return _final(question, Verdict.RECOVERED, quiet, since)
    return _wait(question, f"{quiet}, of {span(question.recover.for_s)} needed", since, proven)


def _unknown(question: Question) -> Judgement:
    """Judge a look that saw nothing: wait, and at the deadline say that nobody knows."""
    facts = question.facts
    why = facts.detail or facts.problem or "the facts are from before the action"
    if question.now >= question.deadline:
        return _final(question, Verdict.UNKNOWN, f"the workload could not be seen until the deadline: {why}")
    return _wait(question, f"the workload cannot be seen: {why}", None, question.deadline)


def _too_late(question: Question, workload: WorkloadFacts) -> Judgement:
    """Judge a sick look after the deadline."""
    sickness = f"{_sickness(question, workload)} after {span(question.recover.within_s)}"
    if question.ready_before is not None and workload.ready < question.ready_before:
        message = f"{sickness}; {question.ready_before} pods were ready before the action"
        return _final(question, Verdict.WORSE, message)
    return _final(question, Verdict.UNCHANGED, sickness)


def _sickness(question: Question, workload: WorkloadFacts) -> str:
    """Return what is not well yet."""
    if question.firing == 0:
        return f"{_pods(workload)}, the rollout is not complete"
    alerts = "1 alert still fires" if question.firing == 1 else f"{question.firing} alerts still fire"
    return f"{alerts}, {_pods(workload)}"


def _pods(workload: WorkloadFacts) -> str:
    """Return how the pods stand."""
    return f"{workload.ready} of {workload.replicas} pods ready, {workload.updated} updated"


def _final(question: Question, verdict: Verdict, message: str, since: datetime | None = None) -> Judgement:
    """Return a verdict that ends the verification."""
    return Judgement(verdict=verdict, message=message, quiet_since=since, check_at=question.now)


def _wait(question: Question, message: str, since: datetime | None, until: datetime) -> Judgement:
    """Return WAIT, with the next look at ``until`` or earlier."""
    elapsed = (question.now - question.applied_at).total_seconds()
    shortest = SHORTEST_FIRING_S if question.firing else SHORTEST_S
    step = min(max(elapsed / 4, shortest), LONGEST_S, (until - question.now).total_seconds())
    check_at = question.now + timedelta(seconds=max(step, SHORTEST_S))
    return Judgement(verdict=Verdict.WAIT, message=message, quiet_since=since, check_at=check_at)
