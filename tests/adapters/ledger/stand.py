"""What the tests of the stores stand on: rows to begin with, and a court that rules as the daemon does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
from msgspec import structs

from remediator.actions.catalogue import draft
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.inbox import write_deliveries
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.core import record
from remediator.core.admit import Law, admit, needed_scopes, outlook
from remediator.model.case import AdmissionBatch, Assessed, Outlook, Ruling, Scope
from remediator.model.decision import Act, Decision, Hold, HoldReason, Refusal
from remediator.model.incident import Candidate
from remediator.model.policy import Policy
from remediator.model.rule import Limits, RateLimit, Rule, Rung
from remediator.model.signal import Delivery, Receipt, Signal, Status
from remediator.ports.admission import AdmissionReport, Writ
from tests.core import given as g

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BEGUN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WIDE = RateLimit(count=10_000, window_s=3600)
ROOMY = Policy(
    spacing_s=0,
    open_per_namespace=10_000,
    open_per_cluster=10_000,
    cluster_burst=WIDE,
    cluster_hourly=WIDE,
    blast_namespace_percent=100,
    blast_cluster_percent=100,
    storm=RateLimit(count=100_000, window_s=120),
    storm_percent=100,
    quarantine=RateLimit(count=1000, window_s=86400),
    masking=RateLimit(count=1000, window_s=21600),
)


def signal(number: int = 1, **changes: Any) -> Signal:
    """Return one fact."""
    plain = Signal(
        source="am",
        fingerprint=f"{number:016x}",
        status=Status.FIRING,
        labels={"alertname": "BackstageDown", "namespace": "backstage", "deployment": f"app-{number}"},
        annotations={"summary": "it is down"},
        starts_at=BEGUN,
    )
    return structs.replace(plain, **changes)


def over(number: int = 1, **changes: Any) -> Signal:
    """Return the end of the same alert, an hour later."""
    return signal(number, **{"status": Status.RESOLVED, "ends_at": BEGUN + timedelta(hours=1), **changes})


async def accept(pool: LedgerPool, *deliveries: Delivery) -> list[Receipt]:
    """Store deliveries in one commit, as a group commit would."""
    async with transaction(pool) as connection:
        return await write_deliveries(connection, deliveries)


async def put_candidates(owner: Owner, count: int, *, rule: str = "service-unavailable", source: str = "am") -> None:
    """Let ``count`` alerts fire, each about a Deployment of its own, and be candidates under a rule."""
    given = (count, rule, source)
    await owner.execute(
        """
        WITH fire AS (
            INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, labels)
            SELECT $3, lpad(to_hex(n), 16, '0'), 'firing', now(), '{}' FROM generate_series(1, $1::int) AS n
            ON CONFLICT DO NOTHING
        )
        INSERT INTO remediator.candidates (cause, rule, rung, source, fingerprint, labels, severity)
        SELECT 'signal', $2, 0, $3, lpad(to_hex(n), 16, '0'),
               jsonb_build_object('alertname', 'BackstageDown', 'deployment', 'app-' || n), 'P1'
        FROM generate_series(1, $1::int) AS n
        """,
        *given,
    )


def assessed(candidate: Candidate, name: str = "", **changes: Any) -> Assessed:
    """Return the candidate with facts read just now: a healthy Deployment, by default the one of its label."""
    name = name or candidate.labels["deployment"]
    target = structs.replace(g.BACKSTAGE, name=name, uid=f"uid-{name}")
    facts = g.facts(g.workload(target), read_at=SystemClock().now())
    return Assessed(candidate=candidate, facts=structs.replace(facts, **changes))


def lost(candidate: Candidate) -> Assessed:
    """Return the candidate with no target to be found."""
    return assessed(candidate, workload=None, problem="target_missing", detail="no label names a workload")


def a_rule(**changes: Any) -> Rule:
    """Return an enforcing rule that restarts at once, without limits that matter."""
    wide = Limits(per_target=WIDE, per_rule=WIDE, per_namespace=WIDE, per_cluster=WIDE)
    base = {"ladder": (Rung(action="restart", parameters={}),), "evidence": False, "limits": wide}
    return g.rule(**{**base, **changes})


def writ(ruling: Ruling) -> Writ:
    """Return what the daemon writes for a ruling."""
    decision = ruling.decision
    workload = ruling.assessed.facts.workload
    people = record.hold_message(decision) if isinstance(decision, Hold) and record.needs_people(decision) else ""
    return Writ(
        ruling=ruling,
        entry=record.decision_entry(ruling, target_key=workload.target.key if workload else ""),
        incident=record.opens_incident(decision),
        title=record.title(ruling),
        people=people,
    )


@dataclass(frozen=True)
class Court:
    """Rules by the real core (ports.admission.Deliberation)."""

    rules: Sequence[Rule] = field(default_factory=lambda: (a_rule(),))
    policy: Policy = ROOMY

    def named(self, name: str) -> Rule | None:
        """Return a rule by its name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def scopes(self, items: tuple[Assessed, ...]) -> tuple[Scope, ...]:
        """Say which windows are to be counted."""
        return needed_scopes(items, self.named, self.policy)

    def outlook(self) -> Outlook:
        """Say how far back to look."""
        return outlook(self.policy)

    def rule(self, batch: AdmissionBatch) -> tuple[Writ, ...]:
        """Rule on every candidate."""
        return tuple(writ(one) for one in admit(batch, Law(rules=self.named, draft=draft, policy=self.policy)))


@dataclass(frozen=True)
class Whim:
    """Rules as a test wants it, whatever the batch says; remembers the batches."""

    decide: Callable[[Assessed], Decision]
    people: Callable[[Assessed], str] = lambda _: ""
    seen: list[AdmissionBatch] = field(default_factory=list)

    def scopes(self, items: tuple[Assessed, ...]) -> tuple[Scope, ...]:
        """Count nothing."""
        return ()

    def outlook(self) -> Outlook:
        """Look as far back as by default."""
        return outlook(Policy())

    def rule(self, batch: AdmissionBatch) -> tuple[Writ, ...]:
        """Rule on every candidate."""
        self.seen.append(batch)
        rulings = (self._ruling(item, batch) for item in batch.items)
        return tuple(
            structs.replace(writ(one), people=self.people(one.assessed) or writ(one).people) for one in rulings
        )

    def _ruling(self, item: Assessed, batch: AdmissionBatch) -> Ruling:
        target = item.facts.workload.target if item.facts.workload else None
        incident = item.incident or (batch.incidents.get(target.key) if target else None)
        item = structs.replace(item, incident=incident)
        return Ruling(assessed=item, rule=a_rule(), decision=self.decide(item))


def act(item: Assessed) -> Act:
    """Restart it."""
    workload = item.facts.workload
    assert workload is not None
    return Act(plan=g.restart_plan(workload.target))


def hold(*reasons: HoldReason, retry_in_s: float | None = None) -> Hold:
    """Return a hold for these reasons, to be asked again so much later, or never."""
    retry_at = None if retry_in_s is None else SystemClock().now() + timedelta(seconds=retry_in_s)
    refusals = tuple(Refusal(reason=one, message=f"because of {one}", retry_at=retry_at) for one in reasons)
    return Hold(refusals=refusals, retry_at=retry_at)


async def decide(
    pool: LedgerPool, decision: Callable[[Assessed], Decision], *, name: str = "", limit: int = 1000
) -> AdmissionReport:
    """Take what is due and decide about it as ``decision`` says; with ``name`` all is about one Deployment."""
    store = LedgerAdmissionStore(pool)
    items = [assessed(one, name) for one in await store.take(limit, 60.0)]
    return await store.admit(items, Whim(decision))


async def admit_actions(owner: Owner, pool: LedgerPool, count: int = 1) -> list[int]:
    """Let ``count`` actions be admitted, each for its own alert, Deployment and incident; return their numbers."""
    await put_candidates(owner, count)
    await decide(pool, act)
    return [row["number"] for row in await owner.fetch("SELECT number FROM remediator.actions ORDER BY number")]


async def column(owner: Owner, table: str, name: str, *, order: str = "1") -> list[Any]:
    """Return one column of one of our tables."""
    return [row[0] for row in await owner.fetch(f"SELECT {name} FROM remediator.{table} ORDER BY {order}")]  # noqa: S608 - names of the test's own


def kinds(rows: Iterable[Any]) -> list[str]:
    """Return the kinds of ledger rows."""
    return [row["kind"] for row in rows]


async def blocked(owner: Owner, *, by: str = "advisory") -> None:
    """Wait until somebody waits for a lock (of that kind); fails after five seconds."""
    async with asyncio.timeout(5.0):
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = $1", by):
            await asyncio.sleep(0.005)
