"""Words for the ledger: every decision and every change of an alert has its own, with the numbers behind them."""

from __future__ import annotations

import pytest
from msgspec import structs

from remediator.core import record
from remediator.core.record import QUIET
from remediator.core.signals import Change, Transition
from remediator.model.case import Assessed, Ruling
from remediator.model.database import ConnectionLimit, DatabaseFacts, DatabaseView, LimitScope
from remediator.model.decision import Act, Ask, Decision, Hold, HoldReason, Observe, Refusal
from remediator.model.entry import EntryKind
from remediator.model.incident import Cause
from remediator.model.signal import AlertState, Signal, Status, StoredSignal
from tests.core import given as g

COOLDOWN = Refusal(
    reason=HoldReason.COOLDOWN, message="412 s left", numbers={"left_s": 412, "action": 42}, retry_at=g.after(412)
)
PROTECTED = Refusal(reason=HoldReason.PROTECTED, message="it is protected")
OVER = {
    *(HoldReason.NOT_FIRING, HoldReason.LATE, HoldReason.SILENCED, HoldReason.INHIBITED),
    *(HoldReason.RULE_GONE, HoldReason.NO_RULE),
}


def hold(*refusals: Refusal) -> Hold:
    """Return a hold as the core makes it."""
    times = [one.retry_at for one in refusals]
    return Hold(refusals=refusals, retry_at=None if None in times else max(one for one in times if one))


def ruling(decision: Decision, **changes: object) -> Ruling:
    """Return a ruling about backstage."""
    assessed = Assessed(candidate=g.candidate(rung=1, cause=Cause.NEXT_RUNG), facts=g.facts(g.workload(revision="7")))
    base = Ruling(assessed=assessed, rule=g.rule(place="a.yaml:3"), decision=decision)
    return structs.replace(base, **changes)


@pytest.mark.parametrize(
    ("decision", "kind", "summary", "reasons"),
    [
        (Act(plan=g.restart_plan()), EntryKind.DECISION_ACT, "will restart deployment/backstage in backstage", ()),
        (
            Observe(plan=g.scale_plan(), because="rule r is in mode observe"),
            EntryKind.DECISION_OBSERVE,
            (
                "would scale deployment/backstage in backstage from 3 to 6 pods; "
                "only observed: rule r is in mode observe"
            ),
            ("mode",),
        ),
        (
            Ask(plan=g.restart_plan(), because="the ceiling is ask"),
            EntryKind.DECISION_ASK,
            "asks to restart deployment/backstage in backstage: the ceiling is ask",
            ("mode",),
        ),
        (
            hold(PROTECTED, COOLDOWN),
            EntryKind.DECISION_HOLD,
            "nothing done: it is protected; 412 s left",
            ("cooldown", "protected"),
        ),
    ],
    ids=["act", "observe", "ask", "hold"],
)
def test_each_decision_has_its_words(
    decision: Decision, kind: EntryKind, summary: str, reasons: tuple[str, ...]
) -> None:
    """One sentence for a person, closed reasons for a machine."""
    entry = record.decision_entry(ruling(decision), target_key="deployment/backstage/backstage")
    assert (entry.kind, entry.summary, entry.reasons) == (kind, summary, reasons)
    assert (entry.rule, entry.target_key) == ("service-unavailable", "deployment/backstage/backstage")
    assert (entry.incident, entry.action) == (None, None)


def test_a_decision_carries_what_it_was_made_on() -> None:
    """Enough to explain it from the ledger alone."""
    data = record.decision_entry(ruling(Act(plan=g.restart_plan())), target_key="").data
    assert data == {
        "alert": "BackstageDown",
        "fingerprint": "0123456789abcdef",
        "rung": 1,
        "cause": "next_rung",
        "facts_read_at": g.NOW.isoformat(),
        "severity": "P1",
        "place": "a.yaml:3",
        "workload": {"replicas": 3, "ready": 3, "revision": "7"},
        "plan": {
            "action": "restart",
            "summary": "restart deployment/backstage in backstage",
            "steps": ["PatchObject"],
            "changes": True,
            "disruptive": True,
        },
    }


@pytest.mark.parametrize("of", [Observe, Ask])
def test_what_was_not_done_tells_what_it_would_have_been(of: type[Observe | Ask]) -> None:
    """The plan, as for an act."""
    data = record.decision_entry(ruling(of(plan=g.look_plan(), because="b")), target_key="").data
    assert data["plan"]["steps"] == ["CaptureEvidence"]
    assert (data["plan"]["changes"], data["plan"]["disruptive"]) == (False, False)


def test_a_hold_carries_every_refusal_with_its_numbers() -> None:
    """And when it will be asked again, if ever."""
    data = record.decision_entry(ruling(hold(COOLDOWN)), target_key="").data
    assert data["refusals"] == [
        {"reason": "cooldown", "message": "412 s left", "numbers": {"left_s": 412, "action": 42}}
    ]
    assert data["retry_at"] == g.after(412).isoformat()
    data = record.decision_entry(ruling(hold(COOLDOWN, PROTECTED)), target_key="").data
    assert [one["reason"] for one in data["refusals"]] == ["cooldown", "protected"]
    assert data["retry_at"] is None
    assert "plan" not in data


def test_what_is_not_known_is_left_out() -> None:
    """No rule, no workload: no words about them."""
    bare = ruling(hold(PROTECTED), rule=None, assessed=Assessed(candidate=g.candidate(), facts=g.facts(workload=None)))
    entry = record.decision_entry(bare, target_key="")
    assert not {"severity", "place", "workload"} & set(entry.data)
    assert record.title(bare) == "BackstageDown: no target found"
    away = Assessed(candidate=g.candidate(), facts=g.facts(workload=None, retryable=True))
    unread = ruling(hold(PROTECTED), rule=None, assessed=away)
    assert record.title(unread) == "BackstageDown: the cluster could not be read"


def test_a_decision_about_a_database_carries_how_full_it_was() -> None:
    """With the limits that might be raised, and what was used of them."""
    limit = ConnectionLimit(scope=LimitScope.ROLE, name="app", limit=50, used=45, most=200)
    seen = DatabaseFacts(
        name="backstage",
        version=160004,
        in_recovery=False,
        max_connections=100,
        reserved=3,
        used=60,
        shared_buffers=0,
        work_mem=0,
        limits=(limit,),
    )
    assessed = Assessed(candidate=g.candidate(), facts=g.facts(database=DatabaseView(facts=seen)))
    data = record.decision_entry(ruling(Act(plan=g.restart_plan()), assessed=assessed), target_key="").data
    numbers = {"used": 60, "ordinary": 97, "max_connections": 100}
    assert data["database"] == {"name": "backstage", **numbers, "limits": ["role app: 45 of 50"]}


def test_titles_and_names() -> None:
    """The alert and the target; an alert without a name has a stand-in."""
    assert record.title(ruling(hold(PROTECTED))) == "BackstageDown: deployment/backstage in backstage"
    assert record.alert_name({"alertname": ""}) == record.alert_name({}) == "(alert without a name)"


def test_reasons_are_sorted_and_said_once() -> None:
    """They are compared with those of the last time; what is no hold has none."""
    twice = hold(PROTECTED, COOLDOWN, structs.replace(PROTECTED, message="and again"))
    assert record.reasons_of(twice) == ("cooldown", "protected")
    assert record.reasons_of(Act(plan=g.restart_plan())) == ()
    assert record.hold_message(twice) == "it is protected; 412 s left; and again"


@pytest.mark.parametrize("reason", list(HoldReason))
def test_people_are_needed_where_time_does_not_help_and_something_is_left_to_do(reason: HoldReason) -> None:
    """Never for what is over, under way, asked or answered; never while it will be asked again."""
    final, passing = Refusal(reason=reason, message="m"), Refusal(reason=reason, message="m", retry_at=g.after(1))
    assert record.needs_people(hold(final)) is (reason not in QUIET)
    assert not record.needs_people(hold(passing))
    assert record.needs_people(hold(final, PROTECTED)) is (reason not in QUIET)


@pytest.mark.parametrize("reason", list(HoldReason))
def test_an_incident_is_opened_by_all_but_what_is_over(reason: HoldReason) -> None:
    """An alert that is held is an incident as much as one that is acted on."""
    assert record.opens_incident(hold(Refusal(reason=reason, message="m"))) is (reason not in OVER)
    assert record.opens_incident(hold(PROTECTED, Refusal(reason=reason, message="m"))) is (reason not in OVER)


@pytest.mark.parametrize(
    "decision",
    [Act(plan=g.look_plan()), Observe(plan=g.look_plan(), because="b"), Ask(plan=g.look_plan(), because="b")],
    ids=["act", "observe", "ask"],
)
def test_an_incident_is_opened_by_everything_that_would_be_done(decision: Decision) -> None:
    """In every mode."""
    assert record.opens_incident(decision)


def step(change: Change, status: Status = Status.FIRING) -> Transition:
    """Return a change of BackstageDown."""
    signal = Signal(
        source="am",
        fingerprint="0" * 16,
        status=status,
        labels={"alertname": "BackstageDown"},
        annotations={},
        starts_at=g.NOW,
    )
    state = AlertState(
        source="am", fingerprint="0" * 16, status=status, starts_at=g.NOW, ends_at=None, changed_at=g.NOW
    )
    stored = StoredSignal(id=1, signal=signal, received_at=g.NOW, last_seen_at=g.NOW)
    return Transition(stored=stored, change=change, state=state)


@pytest.mark.parametrize(
    ("change", "status", "rules", "kind", "summary", "reasons"),
    [
        (Change.OPENED, Status.FIRING, 2, EntryKind.ALERT_FIRING, "BackstageDown fires", ()),
        (
            Change.OPENED,
            Status.FIRING,
            0,
            EntryKind.SIGNAL_UNMATCHED,
            "BackstageDown fires, and no rule matches it",
            ("no_rule",),
        ),
        (
            Change.RESOLVED,
            Status.RESOLVED,
            0,
            EntryKind.ALERT_RESOLVED,
            "BackstageDown is resolved, says its sender",
            (),
        ),
        (
            Change.REOPENED,
            Status.FIRING,
            2,
            EntryKind.ALERT_REOPENED,
            "BackstageDown was called resolved and still fires: it is opened again",
            (),
        ),
        (
            Change.LATE,
            Status.FIRING,
            0,
            EntryKind.SIGNAL_LATE,
            "BackstageDown: a firing signal of an episode that is over came late; nothing is done",
            ("late",),
        ),
    ],
    ids=["opened", "unmatched", "resolved", "reopened", "late"],
)
def test_each_change_of_an_alert_has_its_words(
    change: Change, status: Status, rules: int, kind: EntryKind, summary: str, reasons: tuple[str, ...]
) -> None:
    """With what it takes to find the alert again."""
    entry = record.transition_entry(step(change, status), rules)
    assert entry is not None
    assert (entry.kind, entry.summary, entry.reasons) == (kind, summary, reasons)
    assert entry.data["fingerprint"] == "0" * 16
    assert entry.data["source"] == "am"
    assert entry.data["starts_at"] == g.NOW.isoformat()
    assert entry.data["labels"] == {"alertname": "BackstageDown"}
    assert entry.data.get("rules") == (2 if rules else None)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (Change.OPENED, Status.FIRING, "BackstageDown fires, as Alertmanager says when it is asked"),
        (Change.RESOLVED, Status.RESOLVED, "BackstageDown is over: Alertmanager does not have it any more"),
    ],
)
def test_what_was_found_by_asking_says_so(change: Change, status: Status, words: str) -> None:
    """Nobody has to wonder why there is no notification of it."""
    posted = step(change, status)
    signal = structs.replace(posted.stored.signal, confirmed_at=g.NOW)
    asked = structs.replace(posted, stored=structs.replace(posted.stored, signal=signal))
    entry = record.transition_entry(asked, 1)
    assert entry is not None
    assert entry.summary == words
    assert entry.data["confirmed_at"] == g.NOW.isoformat()


def test_what_is_opened_again_and_meets_no_rule_says_so() -> None:
    """As an alert does that opens for the first time."""
    entry = record.transition_entry(step(Change.REOPENED, Status.FIRING), 0)
    assert entry is not None
    assert entry.reasons == ("no_rule",)


@pytest.mark.parametrize("change", [Change.CONTINUES, Change.REPEATED])
def test_what_only_repeats_is_not_written(change: Change) -> None:
    """It comes every few minutes, for as long as the alert fires."""
    assert record.transition_entry(step(change), 3) is None
