"""The table of kill points: every call, before and after it, x each kind of action x both replicas."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.faults.kills import Death, Moment

NOT_MET = "missed"
NOT_PASSED = "."


def table(learnt: Mapping[str, Sequence[Moment]], deaths: Mapping[Death, int]) -> list[str]:
    """Return the lines: a row for each point, in a column for each kind how often either replica died there.

    ``.``: actions of that kind do not pass it, or not on their way. ``missed``: passed once, and by nobody who was to
    die there.
    """
    names = list(learnt)
    points = sorted({(one.call, one.after) for moments in learnt.values() for one in moments})
    counted: defaultdict[tuple[str, str, bool], Counter[int]] = defaultdict(Counter)
    for death, count in deaths.items():
        counted[death.kind, death.moment.call, death.moment.after][death.replica] += count
    wide = max((len(call) for call, _ in points), default=0) + len("before ")
    head = f"{'point':<{wide}}" + "".join(f"{name:>13}" for name in names)
    lines = [head, f"{'(deaths of replica-0 + replica-1)':<{wide}}"]
    for call, after in points:
        cells = (_cell(counted[name, call, after], known=_knows(learnt[name], call, after=after)) for name in names)
        lines.append(f"{'after ' if after else 'before '}{call}".ljust(wide) + "".join(f"{one:>13}" for one in cells))
    return [line.rstrip() for line in lines]


def _cell(deaths: Counter[int], *, known: bool) -> str:
    if not known:
        return NOT_PASSED
    return f"{deaths[0]} + {deaths[1]}" if deaths.total() else NOT_MET


def _knows(moments: Iterable[Moment], call: str, *, after: bool) -> bool:
    return any((one.call, one.after) == (call, after) for one in moments)
