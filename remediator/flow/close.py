"""Close: an incident ends when none of its alerts fires and its target has been healthy for long enough.

It is also the net under everything else: an incident that is still open past its severity's clock goes to people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from remediator.core.severity import escalate_after, overdue, respond_within
from remediator.flow.bells import Bells, Stage
from remediator.flow.beside import beside
from remediator.flow.parts import Parts
from remediator.flow.reading import read_workload
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import PortError
from remediator.model.facts import Facts
from remediator.model.incident import Incident, IncidentState
from remediator.model.rule import Recovery
from remediator.ports.incidents import DueIncident, NextIncidentLook
from remediator.ports.observer import StageEvent

LOOK_AGAIN = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Close:
    """The stage."""

    parts: Parts
    bells: Bells

    async def step(self) -> int:
        """Look at the incidents that are due; return how many."""
        bounds = self.parts.bounds
        due = await self.parts.stores.incidents.due(bounds.close_batch, bounds.look_lease_s)
        later: list[NextIncidentLook] = []

        async def look(item: DueIncident) -> None:
            following = await self._look(item)
            if following is not None:
                later.append(following)

        try:
            count = await beside(due, look, name="close")
        except PortError:
            await self._again(later)
            raise
        await self._again(later)
        return count

    async def _again(self, later: list[NextIncidentLook]) -> None:
        if later:
            await self.parts.stores.incidents.look_again(later)

    async def _look(self, item: DueIncident) -> NextIncidentLook | None:
        """Look at one incident, and return when to look again; None: it has ended."""
        incident = item.incident
        again = NextIncidentLook(incident=incident.id, check_at=item.now + LOOK_AGAIN)
        if item.firing or item.moving:
            if not item.hushed:
                await self._watch_the_clock(item)
            return again
        rule = self.parts.rulebook.named(incident.rule)
        quiet_for = timedelta(seconds=(rule.recover if rule else Recovery()).for_s)
        healthy, words = await self._healthy(incident)
        if not healthy:
            await self._watch_the_clock(item)
            return again
        since = incident.healthy_since or item.now
        if item.now - since < quiet_for:
            return NextIncidentLook(incident=incident.id, check_at=since + quiet_for, healthy_since=since)
        await self._resolve(incident, words)
        return None

    async def _healthy(self, incident: Incident) -> tuple[bool, str]:
        if incident.target is None:
            return True, "no alert fires any more"
        facts = await read_workload(self.parts, incident.target)
        return healthy(facts)

    async def _resolve(self, incident: Incident, words: str) -> None:
        entry = NewEntry(
            kind=EntryKind.INCIDENT_RESOLVED,
            summary=f"resolved: {words}",
            incident=incident.id,
            rule=incident.rule,
            target_key=incident.target_key,
        )
        if await self.parts.stores.incidents.resolve(incident.id, entry):
            self.parts.observer.tell(StageEvent(stage="close", outcome="resolved", fields={"incident": incident.id}))

    async def _watch_the_clock(self, item: DueIncident) -> None:
        incident = item.incident
        # While the machine is at work it has the time in which a person would have had to respond.
        idle, busy = escalate_after(incident.severity), respond_within(incident.severity)
        allowed = max(idle, busy) if item.moving else idle
        open_for = (item.now - incident.opened_at).total_seconds()
        if incident.state is not IncidentState.OPEN or open_for < allowed:
            return
        message = overdue(incident.severity, open_for, allowed)
        if await self.parts.stores.incidents.escalate(incident.id, message):
            self.parts.observer.tell(StageEvent(stage="escalate", outcome="clock", fields={"incident": incident.id}))
            self.bells.ring(Stage.NOTIFY)


def healthy(facts: Facts) -> tuple[bool, str]:
    """Judge a target by itself: rolled out, every wanted pod ready. Unknown is not healthy; gone needs no healing."""
    if facts.problem == "target_not_found":
        return True, "no alert fires any more, and the target is gone"
    workload = facts.workload
    if workload is None:
        return False, facts.detail
    if workload.rolled_out and workload.ready >= workload.replicas:
        return True, f"no alert fires any more, and {workload.ready} of {workload.replicas} pods are ready"
    return False, f"{workload.ready} of {workload.replicas} pods are ready"
