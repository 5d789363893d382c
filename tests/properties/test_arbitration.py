"""Arbitration: whatever order candidates come in, the same rule wins each target, and what is done is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.admit import admit, outcome
from remediator.model.case import Assessed, Ruling
from remediator.model.decision import Act, Ask, Hold, HoldReason
from remediator.model.policy import Policy
from remediator.model.rule import Mode, Rule, Rung, Severity
from tests.core.test_admit import WIDE, batch, item, law, rule

LADDERS = (
    (Rung(action="investigate", parameters={}),),
    (Rung(action="scale", parameters={"to": 6}),),
    (Rung(action="restart", parameters={}),),
)
RULE = st.builds(
    lambda severity, priority, ladder, mode: rule(severity=severity, priority=priority, ladder=ladder, mode=mode),
    st.sampled_from(Severity),
    st.integers(0, 2),
    st.sampled_from(LADDERS),
    st.sampled_from((Mode.ENFORCE, Mode.ENFORCE, Mode.ASK, Mode.OBSERVE)),
)
RULES = st.lists(RULE, min_size=1, max_size=4).map(
    lambda made: [structs.replace(one, name=f"rule-{n}") for n, one in enumerate(made)]
)
POLICY = st.sampled_from((WIDE, structs.replace(WIDE, open_per_cluster=1), structs.replace(WIDE, spacing_s=10)))


def ruled(items: list[Assessed], rules: list[Rule], policy: Policy) -> dict[int, Ruling]:
    """Return the rulings of one batch, by candidate."""
    under = law(*rules, policy=policy)
    return {ruling.assessed.candidate.id: ruling for ruling in admit(batch(*items, under=under), under)}


@given(RULES, POLICY, st.data())
def test_any_order_of_a_batch_has_the_same_winners(rules: list[Rule], policy: Policy, data: st.DataObject) -> None:
    """Every decision, with its words, is the same for every permutation; and a target is changed once at most."""
    wanted = data.draw(st.lists(st.tuples(st.sampled_from(rules), st.sampled_from("ab")), min_size=1, max_size=8))
    items = [item(n, name, one.name) for n, (one, name) in enumerate(wanted, 1)]
    plain = ruled(items, rules, policy)
    shuffled = ruled(data.draw(st.permutations(items)), rules, policy)
    assert shuffled == plain
    acting = [one.decision.plan for one in plain.values() if isinstance(one.decision, Act | Ask)]
    changed = [plan.target.name for plan in acting if plan.changes]
    assert len(changed) == len(set(changed))


@given(RULES)
def test_every_loser_names_the_winner(rules: list[Rule]) -> None:
    """All rules want one target at once: who is held for another rule says which, and by which action."""
    acting = [structs.replace(one, mode=Mode.ENFORCE, ladder=LADDERS[2]) for one in rules]
    rulings = ruled([item(n, rule_name=one.name) for n, one in enumerate(acting, 1)], acting, WIDE).values()
    (winner,) = [one.assessed.candidate.rule for one in rulings if outcome(one.decision) == "act"]
    losers = [one.decision for one in rulings if isinstance(one.decision, Hold)]
    assert len(losers) == len(rules) - 1
    for lost in losers:
        (busy,) = [refusal for refusal in lost.refusals if refusal.reason is HoldReason.TARGET_BUSY]
        assert (busy.numbers["rule"], busy.numbers["action"]) == (winner, 1)
        assert f"rule {winner} comes before" in busy.message
