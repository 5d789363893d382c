"""Is Prometheus itself in a state to be believed? Asked once before the rows, for none of them can tell.

A Prometheus that has just begun with an empty memory answers rates from its first minute; one that scrapes no more
answers for five minutes as if it did. So what it knows of ``up``, which every scrape writes, is asked for: when the
newest sample was written, and whether there was one some time ago.
"""

from __future__ import annotations

import math
from datetime import datetime

from remediator.core.thresholds import AHEAD_S
from remediator.core.words import span
from remediator.model.measure import Answer, Unseen

SCRAPE_S = 180.0
"""How old the newest of all samples may be, in seconds."""
_SIGN = "sign"
_NEWEST, _EARLIER = "newest", "earlier"


def expression(settle_s: float) -> str:
    """Return the question; ``settle_s``: so long ago Prometheus must have scraped already."""
    earlier = f"up offset {round(settle_s * 1000)}ms"
    return " or ".join(
        f'label_replace(max(timestamp({what})), "{_SIGN}", "{name}", "", "")'
        for name, what in ((_NEWEST, "up"), (_EARLIER, earlier))
    )


def problem(answer: Answer, at: datetime, settle_s: float) -> Answer | None:
    """Return what stands for the answers to all rows, because Prometheus is not to be believed; None: it is."""
    if answer.problem is not None:
        return Answer(problem=answer.problem, detail=answer.detail)
    signs = {sample.labels.get(_SIGN): sample.value for sample in answer.samples}
    newest = signs.get(_NEWEST)
    if newest is None or not math.isfinite(newest):
        detail = "Prometheus has no series 'up': it scrapes nothing, or its clock differs by minutes"
        return Answer(problem=Unseen.EMPTY, detail=detail)
    age = at.timestamp() - newest
    if age > SCRAPE_S:
        return Answer(problem=Unseen.STALE, detail=f"nothing has been scraped for {span(age)}")
    if age < -AHEAD_S:
        return Answer(problem=Unseen.FUTURE, detail=f"the newest sample is {span(-age)} ahead of the moment asked for")
    if signs.get(_EARLIER) is None:
        return Answer(problem=Unseen.FRESH, detail=f"Prometheus knows of nothing {span(settle_s)} ago")
    return None
