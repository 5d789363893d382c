"""Which source a row of the threshold table is measured by: asked of Prometheus once, and again when it dries up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from remediator.core import sources
from remediator.model.measure import Answer, RowState, Unseen
from remediator.model.rule import Source, Threshold
from remediator.ports.measuring import Prometheus, Query


@dataclass(slots=True)
class Choice:
    """The choice of one row. ``source`` None: not made yet. ``patience_s``: so long one that says nothing is kept."""

    threshold: Threshold
    patience_s: float
    source: Source | None = None

    def stands(self, row: RowState | None, at: datetime) -> bool:
        """Tell whether nothing has to be found out before the row is asked for."""
        if not sources.undecided(self.threshold):
            return True
        if self.source is None:
            return False
        since = row.unknown_since if row is not None else None
        return since is None or (at - since).total_seconds() < self.patience_s

    async def make(self, prometheus: Prometheus, at: datetime) -> Answer | None:
        """Choose; return why that could not be done, which is then the answer to the row as well, or None."""
        present: dict[str, int] = {}
        for expr, part in sources.probes(sources.selectors([self.threshold])):
            answer = await prometheus.ask(Query(expr=expr, at=at), _itself)
            if answer.problem is not None:
                return answer
            present |= sources.counted(part, ((one.labels, one.value) for one in answer.samples))
        current = self.source.name if self.source is not None else None
        found = sources.choose(self.threshold, frozenset(present), current)
        if found is None:
            names = ", ".join(one.name for one in sources.candidates(self.threshold))
            return Answer(problem=Unseen.EMPTY, detail=f"no series for any of its sources ({names}); remediator doctor")
        self.source = found
        return None


def _itself(answer: Answer) -> Answer:
    return answer
