"""I1 to I9: what must be so whatever happens, each checked from the outside by the plainest means there are.

Some can be seen to be broken in the moment in which it happens (``Watch``), the others when all has come to rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remediator.core.chain import Audit
from remediator.core.missed import SLACK
from remediator.core.severity import escalate_after, respond_within
from remediator.model.policy import Policy
from remediator.model.rule import Rule, RuleSet, Severity
from remediator.model.seal import Seal, StoredEntry
from tests.simulation.cluster import ACTION, Effect, MemoryCluster
from tests.simulation.monitoring import Alertmanager, TrueEpisode, at
from tests.simulation.replica import LOOKOUT_S, People
from tests.simulation.tables import OPEN, Database, Row

ENDINGS = ("action.refused", "action.expired")
UNASKED = {"paused", "not_firing", "stale_facts"}
UNDER_WAY_S = 5.0
"""Between what a decision reads and what it writes lie so many seconds at most."""
EFFECTIVE_S = 2.0
"""A pause is obeyed by every replica after so many seconds."""
MINUTE_S = 60.0
FOUND_S = MINUTE_S + 2 * LOOKOUT_S
"""An alert that fires for so long, while somebody is at work for all that time, is known."""


@dataclass(slots=True, kw_only=True)
class Scene:
    """Everything there is to look at. ``versions``: the rule sets that are in force somewhere."""

    db: Database
    cluster: MemoryCluster
    alertmanager: Alertmanager
    people: People
    policy: Policy
    versions: Callable[[], list[RuleSet]]
    worked: list[tuple[float, float]] = field(default_factory=list)
    """From when to when somebody was at work without a break."""


def action_of(db: Database, number: int | None) -> Row | None:
    """Return an action's row."""
    return db.actions.rows.get(number)


def is_wish(action: Row) -> bool:
    """Tell whether an action undoes another because a person wants it: how often and when is that person's affair."""
    return action["plan"].get("undoes") is not None


# ------------------------------------------------------------------------------------------------- at every single step


def i3_one_effect(scene: Scene, effect: Effect) -> Iterator[str]:
    """An action has one effect at most."""
    count = sum(one.mark.action_id == effect.mark.action_id for one in scene.cluster.effects)
    if count > 1:
        yield f"I3: A{effect.mark.number} has had {count} effects"


def i4_fences_rise(scene: Scene, effect: Effect) -> Iterator[str]:
    """The fences on an object only rise."""
    before = [one.mark.fence for one in scene.cluster.effects if one.uid == effect.uid and one is not effect]
    if before and effect.mark.fence <= max(before):
        yield f"I4: fence {effect.mark.fence} of A{effect.mark.number} came after {max(before)} on {effect.key}"


def i5_intent_before_write(scene: Scene, effect: Effect) -> Iterator[str]:
    """A write has an intent in the ledger, of the same owner, from before it was sent."""
    action = action_of(scene.db, effect.mark.number)
    intents = [
        one
        for one in scene.db.ledger
        if one["kind"] == "action.dispatched"
        and one["action"] == effect.mark.number
        and f'"fence":{effect.mark.fence}' in one["data"]
        and one["at"] <= at(effect.sent_at) + timedelta(milliseconds=1)
    ]
    if action is None or action["id"] != effect.mark.action_id or not intents:
        yield f"I5: the write of A{effect.mark.number} under fence {effect.mark.fence} was never meant"


def i6_windows(scene: Scene, action: Row) -> Iterator[str]:
    """Under the rules in force (of one replica at least), no window is above its limit, and no target taken twice."""
    broken = [list(_exceeded(scene, action, rule)) for rule in _rules(scene, action["rule"])]
    if broken and all(broken):
        yield f"I6: A{action['number']}: {broken[0][0]}"


def _rules(scene: Scene, name: str) -> list[Rule]:
    return [rule for rules in scene.versions() if (rule := rules.named(name)) is not None]


def _exceeded(scene: Scene, action: Row, rule: Rule) -> Iterator[str]:
    limits, policy = rule.limits, scene.policy
    acting = [one for one in scene.db.actions if one["changes"] and one["mode"] == "enforce"]
    counted = [one for one in acting if one["number"] <= action["number"]]  # who came later was not there
    windows = [("mode", limits.per_cluster), ("mode", policy.cluster_burst), ("mode", policy.cluster_hourly)]
    if not is_wish(action):
        windows += [("target_key", limits.per_target), ("rule", limits.per_rule), ("namespace", limits.per_namespace)]
    for column, limit in windows:
        # What the window held when this was decided, a little later than that: so the window is a little shorter.
        since = action["admitted_at"] - timedelta(seconds=limit.window_s - UNDER_WAY_S)
        inside = [one for one in counted if one[column] == action[column] and one["admitted_at"] > since]
        if len(inside) > limit.count:
            yield f"{len(inside)} actions in the window {column} {limit}"
    still_open = Counter(one["namespace"] for one in counted if one["state"] in OPEN)
    if still_open[action["namespace"]] > policy.open_per_namespace or still_open.total() > policy.open_per_cluster:
        yield f"{still_open} are open at once"
    same = [one for one in counted if one["state"] in OPEN and one["target_key"] == action["target_key"]]
    if len(same) > 1:
        yield f"{len(same)} actions hold {action['target_key']}"


def i7_decided_with_open_eyes(scene: Scene, action: Row) -> Iterator[str]:
    """No action is admitted on an unknown or an old world, in a storm, or under a pause."""
    now, number = action["admitted_at"], action["number"]
    facts = scene.db.candidates.rows[action["candidate"]]["facts"] or {}
    if facts.get("workload") is None or facts.get("problem"):
        yield f"I7: A{number} was admitted on an unknown world: {facts.get('problem')}"
        return
    rules = _rules(scene, action["rule"])
    age = abs((now - datetime.fromisoformat(facts["read_at"])).total_seconds()) - UNDER_WAY_S
    if rules and age > max(rule.shelf_life_s for rule in rules):
        yield f"I7: A{number} was admitted on facts that are {age:.0f} s old"
    if _storms(scene, now) and not is_wish(action):
        yield f"I7: A{number} was admitted in a storm"
    yield from _under_pause(scene, action, now - timedelta(seconds=UNDER_WAY_S), now, "admitted")


def _storms(scene: Scene, now: datetime) -> bool:
    policy = scene.policy
    onsets = sorted(
        one["opened_at"] for one in scene.db.incidents if one["opened_at"] <= now - timedelta(seconds=UNDER_WAY_S)
    )
    limit = min(policy.storm.count, 5)
    window = timedelta(seconds=policy.storm.window_s - UNDER_WAY_S)
    calm = now - timedelta(seconds=policy.storm_quiet_s - UNDER_WAY_S)
    pairs = zip(onsets, onsets[limit - 1 :], strict=False)
    return any(last - first < window and last > calm for first, last in pairs)


def _under_pause(scene: Scene, action: Row, since: datetime, now: datetime, what: str) -> Iterator[str]:
    keys = {"global": "", "namespace": action["namespace"], "rule": action["rule"], "target": action["target_key"]}
    for pause in scene.db.pauses:
        lifted = pause["lifted_at"] is not None and pause["lifted_at"] <= now
        over = pause["until"] is not None and pause["until"] <= now
        if pause["key"] == keys[pause["scope"]] and pause["since"] < since and not lifted and not over:
            yield f"I7: A{action['number']} was {what} {(now - pause['since']).total_seconds():.1f} s after a pause"


def i7_meant_with_open_eyes(scene: Scene, action: Row) -> Iterator[str]:
    """No write is intended whose alert is silent, whose decision is stale, or that somebody has paused."""
    now = scene.db.now()
    if now > action["good_until"]:
        yield f"I7: A{action['number']} was dispatched after its shelf life"
    if not scene.db.firing(action["incident"]) and not is_wish(action):
        yield f"I7: A{action['number']} was dispatched though nothing fires"
    yield from _under_pause(scene, action, now, now, "dispatched")


def i7_sent_with_open_eyes(scene: Scene, effect: Effect) -> Iterator[str]:
    """No write leaves its replica more than two seconds after a pause or after its decision's shelf life."""
    action = action_of(scene.db, effect.mark.number)
    if action is None:
        return
    sent = at(effect.sent_at)
    if sent > action["good_until"] + timedelta(seconds=EFFECTIVE_S):
        yield f"I7: A{action['number']} was sent {(sent - action['good_until']).total_seconds():.0f} s too late"
    yield from _under_pause(scene, action, sent - timedelta(seconds=EFFECTIVE_S), sent, "sent")


def i5_unknown_only_without_proof(scene: Scene, action: Row) -> Iterator[str]:
    """Nobody says that it cannot be known whether a write was stored while the object carries its mark."""
    mine = [one for one in scene.cluster.effects if one.mark.action_id == action["id"]]
    workload = scene.cluster.workloads.get(action["target_key"])
    looked_at = scene.db.now() - timedelta(seconds=EFFECTIVE_S)
    if workload is None or "changed since" not in action["note"] or not any(at(one.at) < looked_at for one in mine):
        return
    marked = action["id"] in workload.marks or workload.annotation(ACTION) == action["id"]
    if marked and workload.target.uid == mine[0].uid:
        yield f"I5: A{action['number']} is called unknown, and the object carries its mark"


@dataclass(slots=True)
class Watch:
    """Looks at every commit and at every stored write; ``broken`` is told what it sees."""

    scene: Scene
    broken: Callable[[str], None]
    checked: int = 0

    def committed(self) -> None:
        """Look at what the last commit has added to the ledger."""
        db = self.scene.db
        for seq in range(self.checked + 1, db.numbers["ledger"] + 1):
            entry = db.ledger.rows.get(seq)
            action = action_of(db, entry["action"]) if entry else None
            if entry is None or action is None or not action["changes"] or action["mode"] != "enforce":
                continue
            if entry["kind"] == "decision.act":
                self._tell(i6_windows(self.scene, action), i7_decided_with_open_eyes(self.scene, action))
            elif entry["kind"] == "action.dispatched":
                self._tell(i7_meant_with_open_eyes(self.scene, action))
            elif entry["kind"] == "action.refused" and "unknown" in entry["reasons"]:
                self._tell(i5_unknown_only_without_proof(self.scene, action))
        self.checked = db.numbers["ledger"]

    def forget(self) -> None:
        """The database has lost its newest commits: their numbers may be given again."""
        self.checked = max((one["seq"] for one in self.scene.db.ledger), default=0)

    def stored(self, effect: Effect) -> None:
        """Look at a write that was stored."""
        for check in (i3_one_effect, i4_fences_rise, i5_intent_before_write, i7_sent_with_open_eyes):
            self._tell(check(self.scene, effect))

    def _tell(self, *findings: Iterator[str]) -> None:
        for found in findings:
            for one in found:
                self.broken(one)


# ------------------------------------------------------------------------------------------ when all has come to rest


def i1_every_200_has_a_row(scene: Scene) -> Iterator[str]:
    """What was acknowledged is stored."""
    rows = {(one["fingerprint"], one["status"], one["starts_at"]) for one in scene.db.signals}
    for when, signal in scene.alertmanager.acknowledged:
        if (signal.fingerprint, signal.status.value, signal.starts_at) not in rows:
            yield f"I1: {signal.fingerprint} {signal.status} was acknowledged at {when:.1f} s and is nowhere"
    for one in scene.db.inbox:
        yield f"I1: signal {one['signal']} was never judged"


def i2_every_alert_has_an_incident(scene: Scene) -> Iterator[str]:
    """An alert that has fired for a minute while somebody was at work belongs to an incident of that time."""
    for alert in scene.alertmanager.alerts.values():
        for episode in alert.episodes:
            if _noticeable(scene, episode) and not _has_incident(scene, alert.fingerprint, episode):
                yield f"I2: {alert.labels} fired from {episode.begins:.0f} to {episode.ends} s and has no incident"


def i2_every_alert_is_known(scene: Scene) -> Iterator[str]:
    """An alert that fired for a minute is known at last, though everybody slept: by its signal, or as missed.

    But not what came and went while Alertmanager was away and a replica was not: Prometheus is asked only about times
    in which no replica was at work. And what fires again within minutes counts as the same.
    """
    told = [(one["fingerprint"], one["starts_at"]) for one in scene.db.signals]
    for alert in scene.alertmanager.alerts.values():
        for episode in alert.episodes:
            ends = episode.ends if episode.ends is not None else asyncio.get_running_loop().time()
            if ends - episode.begins <= MINUTE_S or scene.alertmanager.was_away(episode.begins, ends):
                continue
            since, until = at(episode.begins) - timedelta(seconds=1), at(ends) + SLACK
            known = any(name == alert.fingerprint and since <= starts <= until for name, starts in told)
            if not known and not _has_incident(scene, alert.fingerprint, episode):
                yield f"I2: nobody knows that {alert.labels} fired from {episode.begins:.0f} to {episode.ends} s"


def _noticeable(scene: Scene, episode: TrueEpisode) -> bool:
    end = episode.ends if episode.ends is not None else asyncio.get_running_loop().time()
    spans = (min(end, until) - max(episode.begins, since) for since, until in scene.worked)
    return any(span > FOUND_S for span in spans)


def _has_incident(scene: Scene, fingerprint: str, episode: TrueEpisode) -> bool:
    ties = [tie["incident"] for tie in scene.db.ties if tie["fingerprint"] == fingerprint]
    incidents = [scene.db.incidents.rows[number] for number in ties]
    if episode.ends is None:
        return any(one["state"] != "resolved" for one in incidents)
    begins, ends = at(episode.begins), at(episode.ends)
    return any(
        one["opened_at"] <= ends + timedelta(seconds=1) and (one["resolved_at"] is None or one["resolved_at"] >= begins)
        for one in incidents
    )


def i3_what_ended_well_has_its_effect(scene: Scene) -> Iterator[str]:
    """An action that is called applied has had exactly one effect; one that was only observed has had none."""
    effects = Counter(one.mark.action_id for one in scene.cluster.effects)
    for action in scene.db.actions:
        count = effects[action["id"]]
        if action["applied_at"] is not None and count != 1:
            yield f"I3: A{action['number']} ({action['state']}) is called applied and has had {count} effects"
        if action["mode"] != "enforce" and count:
            yield f"I3: A{action['number']} in mode {action['mode']} has had {count} effects"


def i5_ledger_and_writes_join(scene: Scene) -> Iterator[str]:
    """A write has one row that tells how it ended, and a row that tells of a write has one."""
    effects = Counter(one.mark.number for one in scene.cluster.effects)
    told = Counter(one["action"] for one in scene.db.ledger if one["kind"] == "action.applied")
    unknown = {
        one["action"] for one in scene.db.ledger if one["kind"] == "action.refused" and "unknown" in one["reasons"]
    }
    changing = [one for one in scene.db.actions if one["changes"] and one["mode"] == "enforce"]
    for action in changing:
        number = action["number"]
        if told[number] > 1 or (told[number] and effects[number] != 1):
            yield f"I5: A{number}: {told[number]} rows call it applied, and it has had {effects[number]} effects"
        if effects[number] and not told[number] and number not in unknown and not _late(scene, action):
            yield f"I5: A{number} ({action['state']}) has had an effect that the ledger does not tell of"


def _late(scene: Scene, action: Row) -> bool:
    """Tell whether the network had held up the write until it was looked for the last time: nobody could know of it.

    That is the end of the action, or a little earlier where it ended for a reason that nobody asks the object for.
    """
    mine = [one for one in scene.cluster.effects if one.mark.number == action["number"] and one.held_up_s > 1.0]
    ended = action["ended_at"]
    endings = (one for one in scene.db.ledger if one["action"] == action["number"] and one["kind"] in ENDINGS)
    unasked = any(set(one["reasons"]) & UNASKED for one in endings)
    last_look = ended - timedelta(seconds=EFFECTIVE_S) if ended is not None and unasked else ended
    return last_look is not None and any(at(one.at) > last_look for one in mine)


def i8_the_chain_verifies(scene: Scene) -> Iterator[str]:
    """Every entry is sealed, and every seal as it was made."""
    db, audit = scene.db, Audit()
    for row in db.seals:
        seal = Seal(**row)
        after, upto = audit.covers(seal)
        entries = [_stored(one) for one in db.ledger if after < one["seq"] <= upto]
        for finding in audit.check(seal, entries):
            yield f"I8: {finding.message}"
    sealed = audit.before.upto if audit.before else 0
    old = scene.db.now() - timedelta(seconds=60)
    if any(one["seq"] > sealed and one["at"] < old for one in db.ledger):
        yield f"I8: entries after {sealed} have waited for a minute"


def _stored(row: Row) -> StoredEntry:
    return StoredEntry(**{**row, "reasons": tuple(row["reasons"])})


def i9_nothing_waits_in_silence(scene: Scene) -> Iterator[str]:
    """What is open past its deadline has been told to people, and what was to be told was heard."""
    db, now = scene.db, scene.db.now()
    paged = {one["incident"] for one in db.outbox}
    for one in db.incidents:
        severity = Severity(one["severity"])
        allowed = max(escalate_after(severity), respond_within(severity)) + 60.0
        open_for = (now - one["opened_at"]).total_seconds()
        if one["state"] == "open" and open_for > allowed and one["id"] not in paged:
            yield f"I9: incident {one['id']} has been open for {open_for:.0f} s, and nobody was told"
    yield from _stuck(scene, now)
    heard = {number for number, _ in scene.people.heard}
    for one in db.outbox:
        if one["id"] not in heard and one["created_at"] < now - timedelta(seconds=320):
            yield f"I9: message {one['id']} has waited since {one['created_at']:%H:%M:%S} ({one['state']})"


def _stuck(scene: Scene, now: datetime) -> Iterator[str]:
    longest = timedelta(seconds=300)
    for one in scene.db.actions:
        began = one["applied_at"] or one["admitted_at"]
        if (
            one["state"] in OPEN
            and began < now - longest
            and scene.db.pause_on(one["namespace"], one["rule"], one["target_key"]) is None
        ):
            yield f"I9: A{one['number']} is stuck: {one['state']} since {began:%H:%M:%S}"
    for one in scene.db.candidates:
        if one["state"] != "decided" and max(one["not_before"], one["first_seen_at"]) < now - longest:
            yield f"I9: candidate {one['id']} is stuck: {one['state']}, due at {one['not_before']:%H:%M:%S}"


AT_REST: tuple[Callable[[Scene], Iterator[str]], ...] = (
    i1_every_200_has_a_row,
    i2_every_alert_has_an_incident,
    i2_every_alert_is_known,
    i3_what_ended_well_has_its_effect,
    i5_ledger_and_writes_join,
    i8_the_chain_verifies,
    i9_nothing_waits_in_silence,
)
