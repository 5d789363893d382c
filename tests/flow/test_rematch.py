"""A rule that appears or changes while an alert fires sees that alert."""

from __future__ import annotations

from msgspec import structs

from remediator.flow.rematch import changed, digests
from remediator.model.rule import Mode, Rule, RuleSet
from remediator.model.signal import Status
from tests.flow.rig import Rig, a_rule, alert, deployment, rig


def exchange(r: Rig, *rules: Rule) -> None:
    """Put other rules in force, as a reload does."""
    r.rules.rules = rules
    r.rules.digest = str(rules)


async def test_a_rule_written_in_the_middle_of_an_incident_acts(database: str) -> None:
    """The alert was unmatched when it opened; the rule for it comes a minute later."""
    async with rig(database, a_rule(name="other", match=())) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.kinds() == ["signal.unmatched"]
        exchange(r, a_rule(name="other", match=()), a_rule())
        await r.settle()
        assert await r.states() == ["verifying"]
        assert r.ear.outcomes("match").count("again") == 1


async def test_a_rule_that_is_raised_from_observe_acts(database: str) -> None:
    """The operator has seen what it would have done, and lets it."""
    async with rig(database, a_rule(mode=Mode.OBSERVE)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.states() == ["observed"]
        exchange(r, a_rule(mode=Mode.ENFORCE))
        await r.settle()
        assert (await r.states())[-1] == "verifying"


async def test_unchanged_rules_and_ended_alerts_are_left_alone(database: str) -> None:
    """A comment in a rule file, or a rule for something else, starts nothing."""
    async with rig(database, a_rule(mode=Mode.OBSERVE)) as r:
        r.put(deployment())
        await r.deliver(alert(), alert("gone"))
        await r.settle()
        await r.deliver(alert("gone", status=Status.RESOLVED))
        await r.settle()
        before = await r.kinds()
        exchange(r, a_rule(mode=Mode.OBSERVE, place="rules.yaml:99"), a_rule(name="other", match=()))
        await r.settle()
        assert await r.kinds() == before


async def test_changed_names_what_is_new_or_says_something_else() -> None:
    """Not what only stands elsewhere, nor what is gone."""
    one, two, three = (a_rule(name=name) for name in ("one", "two", "three"))
    before = await digests(RuleSet(rules=(one, two), digest="1"))
    now = await digests(
        RuleSet(rules=(structs.replace(one, place="b:1"), structs.replace(two, priority=5), three), digest="2")
    )
    assert changed(before, now) == {"two", "three"}
    assert changed(now, before) == {"two"}


async def test_a_rule_that_comes_with_a_restart_sees_what_fires(database: str) -> None:
    """Whoever deploys rules by a rollout restarts the daemon; what is the same as before starts nothing."""
    old = a_rule(name="other", match=())
    async with rig(database, old) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.kinds() == ["signal.unmatched"]
    async with rig(database, old) as r:
        r.put(deployment())
        await r.settle()
        assert await r.kinds() == ["signal.unmatched"]
    async with rig(database, old, a_rule()) as r:
        r.put(deployment())
        await r.settle()
        assert await r.states() == ["verifying"]
    async with rig(database, old, a_rule()) as r:
        r.put(deployment())
        await r.settle()
        assert len(await r.states()) == 1
