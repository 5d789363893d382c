"""An operator lowers a rule between the admission and the write: the mode of the moment of the write counts."""

from __future__ import annotations

from typing import Any

from remediator.flow.parts import Parts
from remediator.model.rule import Mode, Rule, Rung
from tests.flow.rig import a_rule, alert, deployment, rig
from tests.flow.test_flow import step
from tests.flow.test_hostile_news import Slow, fields

SCALE = (Rung(action="scale", parameters={"to": 5}),)


async def test_what_was_admitted_before_the_rule_asked_is_asked_about(database: str) -> None:
    """Nothing is written, people are asked, and their yes is carried out."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        r.rules.rules = (a_rule(mode=Mode.ASK),)
        await r.settle()
        assert (await r.states(), r.writes()) == (["refused", "awaiting_approval"], [])
        (entry,) = [one for one in await r.entries() if one.kind == "action.refused"]
        assert entry.reasons == ("awaiting_approval",)
        assert "lowered to ask" in entry.summary
        assert await r.ledger.answer(2, approved=True, actor="ada", reason="")
        await r.settle()
        assert (await r.states(), len(r.writes())) == (["refused", "done", "verifying"], 1)


async def test_a_rule_that_is_lowered_while_evidence_is_captured_is_obeyed(database: str) -> None:
    """Evidence takes seconds; the rule is looked at again right before the write."""
    slow = Slow()

    def dress(parts: Parts) -> Parts:
        return Parts(**{**fields(parts), "cluster": type(parts.cluster)(**{**fields(parts.cluster), "evidence": slow})})

    lowered: list[tuple[Rule, ...]] = [(a_rule(evidence=True, mode=Mode.ASK),), ()]
    for number, rules in enumerate(lowered):
        async with rig(database, a_rule(evidence=True), dress=dress) as r:

            async def meanwhile(r: Any = r, rules: tuple[Rule, ...] = rules) -> None:
                r.rules.rules = rules

            slow.meanwhile = meanwhile
            r.put(deployment(f"app-{number}"))
            await r.deliver(alert(f"app-{number}", fingerprint=f"{number:016x}"))
            await step(r, "match", "assess", "admit", "execute")
            assert r.writes() == []
            assert (await r.states())[-1] == "refused"


async def test_a_yes_to_another_plan_is_no_yes(database: str) -> None:
    """Asked about a restart and told yes; then the rule scales and enforces, and asks again before the write."""
    async with rig(database, a_rule(mode=Mode.ASK)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.ledger.answer(1, approved=True, actor="ada", reason="a restart is fine")
        r.rules.rules = (a_rule(ladder=SCALE),)
        await step(r, "assess", "admit")
        assert await r.states() == ["done", "admitted"]
        r.rules.rules = (a_rule(ladder=SCALE, mode=Mode.ASK),)
        await r.settle()
        assert (await r.states(), r.writes()) == (["done", "refused", "awaiting_approval"], [])


async def test_an_action_of_a_rule_that_is_not_known_here_is_left_once(database: str) -> None:
    """While rules are rolled out another replica knows it; who meets it again without the rule refuses it."""
    for number, comes in enumerate((True, False)):
        async with rig(database) as r:
            name = f"app-{number}"
            r.put(deployment(name))
            await r.deliver(alert(name, fingerprint=f"{number:016x}"))
            await step(r, "match", "assess", "admit")
            known, r.rules.rules = r.rules.rules, ()
            await step(r, "execute")
            assert ((await r.states())[-1], r.writes()) == ("claimed", [])
            r.rules.rules = known if comes else ()
            await r.sql.execute("UPDATE remediator.actions SET lease_until = now() - interval '1 s'")
            await step(r, "execute")
            assert (await r.states())[-1] == ("verifying" if comes else "refused")
            assert len(r.writes()) == comes
