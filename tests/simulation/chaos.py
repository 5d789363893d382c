"""What goes wrong, drawn from the seed: where replicas die or freeze, what is lost on the way, how long all takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - seeded, the same in every run

# Where a fault tells most: around every commit that moves the work on, and around every call to the outside.
SORE = (
    *("put_signals", "record_matched", "record_decisions", "claim_actions", "move_actions", "put_next_rung"),
    *(
        "resolve_incident",
        "outbox_sent",
        "put_missed_incidents",
        "settle_gap",
        "put_evidence",
        "patch",
        "live",
        "proof",
    ),
    "send",
)


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each fault is at one place where it can happen; ``calm`` has none."""

    crash: float = 0.0
    freeze: float = 0.0
    lost_answer: float = 0.0
    read_fails: float = 0.0
    write_fails: float = 0.0
    webhook: float = 0.0
    send_fails: float = 0.0


CALM = Odds()


@dataclass(slots=True)
class Chaos:
    """The dice. ``counts`` says which faults there were; ``odds`` is ``CALM`` when the storm is over.

    ``slow``: requests take their time.
    """

    dice: Random
    odds: Odds
    trace: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    slow: bool = True

    def hits(self, chance: float, fault: str, where: str) -> bool:
        """Tell whether a fault happens here, and remember it."""
        if not chance or self.dice.random() >= chance:
            return False
        self.counts[fault] += 1
        self.trace(f"FAULT {fault} at {where}")
        return True

    def weight(self, place: str) -> float:
        """Return how much more likely a fault is at a place."""
        return 1.0 if place in SORE else 0.01

    def latency(self) -> float:
        """Return how many seconds a request takes: most of them little, some of them much."""
        roll = self.dice.random() if self.slow else 0.0
        return roll * 0.02 if roll < 0.97 else roll * 1.5

    @classmethod
    def drawn(cls, dice: Random, trace: Callable[[str], None]) -> Chaos:
        """Draw how likely each fault is; each seed has its own mix."""
        pick = dice.choice
        odds = Odds(
            crash=pick((0.0, 0.01, 0.03)),
            freeze=pick((0.0, 0.01, 0.03)),
            lost_answer=pick((0.0, 0.01, 0.05)),
            read_fails=pick((0.0, 0.02, 0.1)),
            write_fails=pick((0.0, 0.2, 0.6)),
            webhook=pick((0.0, 0.1, 0.4)),
            send_fails=pick((0.0, 0.1, 0.3)),
        )
        return cls(dice, odds, trace)
