"""Rules and policies of a simulation: small numbers, so that limits are met within minutes."""

from __future__ import annotations

from random import Random  # noqa: TID251 - seeded, the same in every run

from msgspec import structs

from remediator.core.match import RuleIndex
from remediator.model.policy import Policy
from remediator.model.rule import (
    Limits,
    Matcher,
    MatchOp,
    Mode,
    RateLimit,
    Recovery,
    Rule,
    RuleSet,
    Rung,
    Severity,
    TargetSpec,
)
from remediator.model.target import Kind

NAMESPACES = ("shop", "pay")
RESTART = Rung(action="restart", parameters={})
SCALE = Rung(action="scale", parameters={"step": 1, "max": 8})
LOOK = Rung(action="investigate", parameters={"log_lines": 10})
TELL = Rung(action="notify", parameters={"message": "nothing has helped"})
LADDERS = (
    (RESTART,),
    (RESTART, SCALE),
    (LOOK, RESTART, SCALE, TELL),
    (SCALE, RESTART),
    (RESTART, TELL),
)


class MemoryRulebook:
    """Implements ports.rules.Rulebook."""

    def __init__(self, rules: RuleSet) -> None:
        """Hold a rule set."""
        self.swap(rules)

    def swap(self, rules: RuleSet) -> None:
        """Put another rule set in force."""
        self._rules = rules
        self._index = RuleIndex.build(rules.rules)

    def current(self) -> RuleSet:
        """Return the rule set in force."""
        return self._rules

    def named(self, name: str) -> Rule | None:
        """Return one rule."""
        return self._rules.named(name)

    def matching(self, labels: dict[str, str]) -> tuple[Rule, ...]:
        """Return the rules that match."""
        return self._index.matching(labels)


def draw_rules(dice: Random) -> tuple[RuleSet, RuleSet]:
    """Draw two versions of a rule set: the same rules, with other ladders, modes and limits."""
    return _set(dice, "one"), _set(dice, "two")


def _set(dice: Random, digest: str) -> RuleSet:
    slow = _rule(dice, "slow", "Down|Slow", Severity.P2)
    return RuleSet(rules=(_rule(dice, "down", "Down", Severity.P1), slow), digest=digest)


def _rule(dice: Random, name: str, alerts: str, severity: Severity) -> Rule:
    return Rule(
        name=name,
        match=(Matcher(label="alertname", op=MatchOp.REGEX, value=alerts),),
        severity=severity,
        target=TargetSpec(namespaces=NAMESPACES, kinds=(Kind.DEPLOYMENT,)),
        ladder=dice.choice(LADDERS),
        limits=Limits(
            cooldown_s=dice.choice((1, 20, 90)),
            per_target=RateLimit(count=dice.choice((1, 2, 5)), window_s=dice.choice((120, 400))),
            per_rule=RateLimit(count=dice.choice((2, 4, 9)), window_s=300),
            per_namespace=RateLimit(count=dice.choice((2, 4, 9)), window_s=300),
            per_cluster=RateLimit(count=dice.choice((3, 6, 15)), window_s=300),
        ),
        recover=Recovery(for_s=dice.choice((0, 15, 40)), within_s=dice.choice((60, 120))),
        mode=dice.choice((Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE, Mode.ASK, Mode.OBSERVE)),
        priority=dice.choice((0, 1)),
        min_healthy_percent=dice.choice((0, 51)),
        shelf_life_s=dice.choice((30, 60, 120)),
        evidence=dice.choice((True, False)),
    )


def draw_policy(dice: Random) -> Policy:
    """Draw the limits that hold for all rules."""
    base = Policy(
        spacing_s=dice.choice((0, 3, 10)),
        open_per_namespace=dice.choice((1, 2)),
        open_per_cluster=dice.choice((1, 3)),
        cluster_burst=RateLimit(count=dice.choice((2, 4, 10)), window_s=120),
        cluster_hourly=RateLimit(count=dice.choice((8, 30)), window_s=3600),
        quarantine=RateLimit(count=dice.choice((3, 20)), window_s=86400),
        masking=RateLimit(count=dice.choice((3, 20)), window_s=21600),
        blast_namespace_percent=dice.choice((34, 100)),
        blast_cluster_percent=dice.choice((20, 100)),
        blast_window_s=120,
        storm=RateLimit(count=dice.choice((3, 4, 50)), window_s=60),
        storm_quiet_s=90,
    )
    return structs.replace(base, recent_deploy_s=60)
