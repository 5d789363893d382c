"""Did it help? Judged on fresh facts and on the incident's alerts, never on what was meant to happen."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct, structs

from remediator.core.words import span
from remediator.model.action import Verdict
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.measure import Level, Measure, Phase
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
    ``ready_before``: pods that were ready before the action, where that is known. ``measures``: how the series stand
    whose alerts these are, where they are polled; ``all_measured``: the incident has no other alerts.
    """

    now: datetime
    applied_at: datetime
    recover: Recovery
    facts: Facts
    firing: int
    quiet_since: datetime | None
    changes: bool
    ready_before: int | None = None
    measures: tuple[Measure, ...] = ()
    all_measured: bool = False

    @property
    def calm_since(self) -> datetime | None:
        """Return since when all measures are back inside; None: one is not, or other alerts have a say, too."""
        calm = (one.calm_since for one in self.measures if one.phase is not Phase.PENDING)
        since = [one for one in calm if one is not None]
        return max(since) if since and self.all_measured and len(since) == len(self.measures) else None

    @property
    def over(self) -> Measure | None:
        """Return a measure that is over its threshold again and has not been so for long enough to fire."""
        return next((one for one in self.measures if one.phase is Phase.PENDING), None)

    @property
    def half_time(self) -> datetime:
        """Return from when on a measure counts against the action: before, it tells of the time before the new pods."""
        return self.applied_at + timedelta(seconds=self.recover.within_s / 2)

    @property
    def deadline(self) -> datetime:
        """Return when patience ends."""
        return self.applied_at + timedelta(seconds=self.recover.within_s)


class Judgement(Struct, frozen=True, kw_only=True):
    """The verdict, or WAIT: then look again at ``check_at``, and hand ``quiet_since`` back in.

    ``harmed``: the action itself has done harm, so that taking it back helps.
    """

    verdict: Verdict
    message: str
    quiet_since: datetime | None
    check_at: datetime
    harmed: bool = False


def judge(question: Question) -> Judgement:
    """Judge one look.

    Recovered: rolled out, with no alert firing, at every look for ``recover.for_s`` seconds; quiet is not counted from
    before the action, nor across a look that saw nothing. Who is quiet at the deadline is given the time to prove it.
    A measure counts as its poller has seen it: what is unknown proves nothing, what has become critical since and is
    still so when half of the time is over is worse.
    """
    workload = _known(question)
    if workload is None:
        return _unknown(question)
    if question.changes and _gave_up(workload):
        message = f"the rollout is stuck: {_pods(workload)}, progress deadline exceeded"
        return structs.replace(_final(question, Verdict.WORSE, message), harmed=True)
    measured = _measured(question, workload)
    if measured is not None:
        return measured
    if question.firing == 0 and question.over is None and _healthy(question, workload):
        return _quiet(question, workload)
    if question.now >= question.deadline:
        return _too_late(question, workload)
    message = f"{_sickness(question, workload)}; {span((question.deadline - question.now).total_seconds())} left"
    return _wait(question, message, None, question.deadline)


def _measured(question: Question, workload: WorkloadFacts) -> Judgement | None:
    """Judge by the measures alone: unseen, risen, or calm and about to be proven; None: they leave it to the rest."""
    unseen = next((one for one in question.measures if one.unknown), None)
    if unseen is not None:
        return _unseen(question, unseen)
    risen = next((one for one in question.measures if _risen(one, question)), None)
    if risen is not None and workload.rolled_out and question.now >= question.half_time:
        return _final(question, Verdict.WORSE, f"{risen.row} has become critical since: {_value(risen)}")
    since = question.calm_since
    if question.firing and since is not None and _healthy(question, workload):
        # The poller ends the alert when it has been calm for long enough; until then nothing is too late.
        calm_s = (question.now - max(since, question.applied_at)).total_seconds()
        message = f"{_pods(workload)}, back inside for {span(calm_s)}, of {span(question.recover.for_s)} needed"
        return _wait(question, message, None, question.now + timedelta(seconds=LONGEST_S))
    return None


def _unseen(question: Question, measure: Measure) -> Judgement:
    why = f"{measure.row} is unknown: {measure.unknown}"
    if question.now >= question.deadline:
        return _final(question, Verdict.UNKNOWN, f"the measure could not be seen at the deadline: {why}")
    return _wait(question, f"the measure cannot be seen: {why}", None, question.deadline)


def _risen(measure: Measure, question: Question) -> bool:
    """Tell whether it has become critical after the action, and is not back inside: its level falls only later."""
    critical = measure.phase is Phase.FIRING and measure.level is Level.CRITICAL and measure.calm_since is None
    return critical and measure.level_at is not None and measure.level_at > question.applied_at


def _value(measure: Measure) -> str:
    return "no value" if measure.value is None else f"{measure.value:.4g}"


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
    began = question.quiet_since or question.calm_since or question.now
    since = max(min(began, question.now), question.applied_at)
    proven = since + timedelta(seconds=question.recover.for_s)
    calm = "back inside" if question.calm_since is not None else "no alert has fired"
    quiet = f"{_pods(workload)}, {calm} for {span((question.now - since).total_seconds())}"
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
        return structs.replace(_final(question, Verdict.WORSE, message), harmed=True)
    return _final(question, Verdict.UNCHANGED, sickness)


def _sickness(question: Question, workload: WorkloadFacts) -> str:
    """Return what is not well yet."""
    if question.over is not None:
        return f"{question.over.row} is over its threshold, {_pods(workload)}"
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
