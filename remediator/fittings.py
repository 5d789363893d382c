"""What the settings mean for each room: the daemon is put together of these in ``wiring``."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeAlias

import aiohttp

from remediator.adapters.alerting.alertmanager import HttpAlertmanagers
from remediator.adapters.alerting.fetch import Access, Fetch, trust
from remediator.adapters.alerting.history import PrometheusHistory
from remediator.adapters.checkpoints import CheckpointFile
from remediator.adapters.databases.around import DatabaseAround, Readers
from remediator.adapters.databases.entries import Entry, read_entries
from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.adapters.databases.session import Door, ReadSecret, read_password
from remediator.adapters.ledger.actions import LedgerActionStore, Moves
from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.connect import system_identifier
from remediator.adapters.ledger.evidence import LedgerEvidenceStore
from remediator.adapters.ledger.housekeeping import Housekeeping
from remediator.adapters.ledger.incidents import LedgerIncidentStore, LedgerOutbox
from remediator.adapters.ledger.lookout import LedgerLookoutStore
from remediator.adapters.ledger.matching import LedgerMatchStore
from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.adapters.ledger.seals import LedgerRecords, LedgerSeals
from remediator.adapters.ledger.thresholds import LedgerThresholdStore
from remediator.adapters.notify import LogNotifier, WebhookNotifier, check_token_file
from remediator.adapters.observer import Telemetry
from remediator.core.reconcile import Terms
from remediator.flow.asking import Lookout
from remediator.flow.clock_watch import ClockWatch
from remediator.flow.measuring import Watch
from remediator.flow.parts import Bounds, Stores
from remediator.flow.patrol import Patrol
from remediator.flow.seal import Sealer
from remediator.flow.supervisor import Background
from remediator.intake.asked import read_alerts, read_labels, read_status
from remediator.model.errors import ConfigError
from remediator.ports.clock import Clock
from remediator.ports.inbox import Inbox
from remediator.ports.ledger import LedgerWriter
from remediator.ports.notifier import Notifier
from remediator.ports.observer import Observer, StageEvent
from remediator.ports.rules import Rulebook
from remediator.settings import Settings
from remediator.web.door import DoorLimits
from remediator.web.serving import Prepared, WebOptions
from remediator.web.tls import TlsFiles

Trusts: TypeAlias = tuple[ssl.SSLContext | None, ssl.SSLContext | None]
"""For Alertmanager, and for Prometheus; None: whom the machine trusts."""


def web_options(settings: Settings) -> WebOptions:
    """Return what the operator chose for the door."""
    host, port = settings.listen
    certificate, key = settings.tls_cert, settings.tls_key
    return WebOptions(
        host=host,
        port=port,
        tls=TlsFiles(certificate, key, settings.tls_client_ca) if certificate and key else None,
        token_file=settings.webhook_token_file,
        basic_file=settings.webhook_basic_auth_file,
        door=DoorLimits(max_connections=settings.max_connections),
        drain_s=settings.drain / 2,
    )


def bounds(settings: Settings) -> Bounds:
    """Return how much the stages do at once."""
    return Bounds(
        match_batch=settings.match_batch,
        admit_batch=settings.admit_batch,
        execute_concurrency=settings.execute_concurrency,
        action_lease_s=settings.action_lease,
    )


def stores(pools: LedgerPools, moves: Moves, ledger: LedgerWriter) -> Stores:
    """Return our own PostgreSQL as the stages see it."""
    return Stores(
        matching=LedgerMatchStore(pools.leases),
        admission=LedgerAdmissionStore(pools.stages, pools.leases),
        actions=LedgerActionStore(pools.stages, moves, pools.leases),
        evidence=LedgerEvidenceStore(pools.stages),
        incidents=LedgerIncidentStore(pools.stages, pools.leases),
        outbox=LedgerOutbox(pools.stages, pools.leases),
        ledger=ledger,
        alarm=LedgerAppender(pools.stages),
    )


def clock_watch(
    pools: LedgerPools, rulebook: Rulebook, ledger: LedgerWriter, clock: Clock, observer: Telemetry
) -> ClockWatch:
    """Return what measures how far this host's clock is from the database's."""
    return ClockWatch(
        database_time=LedgerView(pools.read).database_time,
        show=observer.clock_skew,
        host=os.uname().nodename,
        rulebook=rulebook,
        ledger=ledger,
        clock=clock,
        observer=observer,
    )


def housekeeping(settings: Settings, pools: LedgerPools, clock: Clock, observer: Telemetry) -> Housekeeping:
    """Return what forgets; a sweep that fails is told."""

    def failed(why: str) -> None:
        observer.tell(StageEvent(stage="housekeeping", outcome="trouble", fields={"error": why}))

    return Housekeeping(pool=pools.stages, clock=clock, failed=failed, keep_evidence_s=settings.keep_evidence)


def notifier(settings: Settings, http: aiohttp.ClientSession) -> Notifier:
    """Return what tells people; without an address, the log does."""
    if settings.notify_url:
        return WebhookNotifier(http, settings.notify_url, token_file=settings.notify_token_file)
    return LogNotifier("set --notify-url (REMEDIATOR_NOTIFY_URL) to have people told")


def trusts(settings: Settings) -> Trusts:
    """Return whom the monitoring's certificates must be signed by. Raises ConfigError with every fault."""
    found: list[ssl.SSLContext | None] = []
    problems: list[str] = []
    for authority in (settings.alertmanager_ca, settings.prometheus_ca):
        try:
            found.append(trust(authority))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found[0], found[1]


def lookout(
    settings: Settings, pools: LedgerPools, inbox: Inbox, http: aiohttp.ClientSession, trusted: Trusts
) -> Lookout | None:
    """Return what asks Alertmanager and Prometheus; None: there is nobody to ask."""
    if not settings.alertmanager_url and settings.prometheus_url is None:
        return None
    return Lookout(
        store=LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=settings.prometheus_url is not None),
        inbox=inbox,
        alertmanagers=_alertmanagers(settings, http, trusted[0]),
        history=_history(settings, http, trusted[1]),
        terms=Terms(
            receivers=frozenset(settings.alertmanager_receivers),
            grace_s=settings.reconcile_grace,
            settle_s=settings.alertmanager_settle,
            apart_s=settings.reconcile_interval / 2,
        ),
        interval_s=settings.reconcile_interval,
    )


def threshold_watch(settings: Settings, pools: LedgerPools, stack: AsyncExitStack, observer: Observer) -> Watch | None:
    """Return what polls the threshold table until ``stack`` ends; None: there is no Prometheus to ask."""
    if settings.prometheus_url is None:
        words = (
            "no --prometheus-url: the rows of the threshold table act on alerts only, their expressions are not asked"
        )
        observer.tell(StageEvent(stage="poll", outcome="not_polled", fields={"why": words}))
        return None
    # Only who polls pays for the client: a sixth of a second and 26 MB.
    from remediator.adapters.prometheus import Reach, ThreadedPrometheus

    prometheus = ThreadedPrometheus(
        Reach(
            url=settings.prometheus_url,
            token_file=settings.prometheus_token_file,
            basic_auth_file=settings.prometheus_basic_auth_file,
            authority=settings.prometheus_ca,
        )
    )
    stack.callback(prometheus.close)
    return Watch(
        store=LedgerThresholdStore(pools.stages, pools.leases),
        prometheus=prometheus,
        read_labels=read_labels,
        interval_s=settings.poll_interval,
        unknown_after_s=settings.unknown_after,
        settle_s=settings.poll_settle,
    )


def source_warnings(settings: Settings, prepared: Prepared | None) -> Iterator[str]:
    """Yield what is to be said of Alertmanagers whose webhooks would come under another name than what is asked."""
    known = prepared.credentials.sources if prepared is not None else frozenset()
    for source in dict.fromkeys(named.partition("=")[0] for named in settings.alertmanager_url):
        if known and source not in known:
            yield (
                f"--alertmanager-url asks the source {source!r}, and webhooks come as {', '.join(sorted(known))}: an"
                " alert that is both posted and found would be two; name the source of the webhooks (source=http://...)"
            )


def _alertmanagers(
    settings: Settings, http: aiohttp.ClientSession, tls: ssl.SSLContext | None
) -> HttpAlertmanagers | None:
    if not settings.alertmanager_url:
        return None
    peers: dict[str, tuple[str, ...]] = {}
    for named in settings.alertmanager_url:
        source, _, url = named.partition("=")
        peers[source] = (*peers.get(source, ()), url)
    access = Access(
        token_file=settings.alertmanager_token_file, basic_auth_file=settings.alertmanager_basic_auth_file, tls=tls
    )
    return HttpAlertmanagers(peers=peers, fetch=Fetch(http, access), read_alerts=read_alerts, read_status=read_status)


def _history(settings: Settings, http: aiohttp.ClientSession, tls: ssl.SSLContext | None) -> PrometheusHistory | None:
    if settings.prometheus_url is None:
        return None
    access = Access(
        token_file=settings.prometheus_token_file, basic_auth_file=settings.prometheus_basic_auth_file, tls=tls
    )
    return PrometheusHistory(url=settings.prometheus_url, fetch=Fetch(http, access), read_labels=read_labels)


def look_at_token(settings: Settings) -> None:
    """Read the token for messages to people, better at the start than at night; raise ConfigError."""
    if settings.notify_token_file is not None:
        check_token_file(settings.notify_token_file)


def database_entries(settings: Settings) -> tuple[Entry, ...]:
    """Return the databases that may be repaired; raise ConfigError with every fault of the file and what it names."""
    if settings.databases is None:
        return ()
    entries = read_entries(settings.databases)
    problems: list[str] = []
    for entry in entries:
        try:
            if entry.password_file is not None:
                read_password(entry.password_file)
        except ConfigError as error:
            problems += [
                f"{settings.databases}:{entry.line}: database {entry.name}: {problem}" for problem in error.problems
            ]
    if problems:
        raise ConfigError(*problems)
    return entries


@dataclass(frozen=True, slots=True)
class Beside:
    """The cluster's readers with the databases beside them; ``databases`` is None where none may be repaired."""

    reader: DatabaseAround
    databases: PostgresDatabases | None


async def beside_databases(entries: tuple[Entry, ...], dsn: str, cluster: Readers, read_secret: ReadSecret) -> Beside:
    """Return the cluster's readers with the databases of ``entries``; the server of our own ledger is never one."""
    if not entries:
        return Beside(reader=DatabaseAround(cluster, cluster, None), databases=None)
    own = frozenset({await system_identifier(dsn)})
    databases = PostgresDatabases(entries=entries, door=Door(read_secret=read_secret), own=own)
    return Beside(reader=DatabaseAround(cluster, cluster, databases), databases=databases)


@dataclass(frozen=True, slots=True)
class LedgerWatch:
    """What seals the ledger, and what looks after that which was sealed."""

    sealer: Sealer
    patrol: Patrol

    @property
    def tasks(self) -> tuple[Background, ...]:
        """Return what has to run as long as the daemon does."""
        return Background(name="seals", run=self.sealer.run), Background(name="patrol", run=self.patrol.run)


def ledger_watch(settings: Settings, pools: LedgerPools, clock: Clock, observer: Telemetry, owner: str) -> LedgerWatch:
    """Return the ledger's watch; ``owner`` is the name under which this replica seals."""
    anchors = CheckpointFile(settings.checkpoints)
    store, records = LedgerSeals(pools.stages), LedgerRecords(pools.read)
    return LedgerWatch(
        sealer=Sealer(
            store=store, anchors=anchors, clock=clock, observer=observer, owner=owner, gauge=observer.sealing
        ),
        patrol=Patrol(reader=records, clock=clock, observer=observer, gauge=observer.patrol),
    )
