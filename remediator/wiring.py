"""The only file that names what acts on the world: settings in, a running daemon out."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import msgspec

from remediator import __version__, logs
from remediator.actions.catalogue import ACTIONS
from remediator.adapters.clock import SystemClock
from remediator.adapters.databases.entries import Entry
from remediator.adapters.kubernetes.access import ClusterAccess, chosen_access
from remediator.adapters.kubernetes.client import ClientLimits
from remediator.adapters.kubernetes.late import LateCluster
from remediator.adapters.lateness import Lateness
from remediator.adapters.ledger.actions import moves_together
from remediator.adapters.ledger.connect import own_login, without_password
from remediator.adapters.ledger.embedded import running
from remediator.adapters.ledger.inbox import LedgerInbox, deliveries_together
from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.migrate import migrate
from remediator.adapters.ledger.pool import LedgerPools, open_pools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.adapters.ledger.wakeups import Wakeups
from remediator.adapters.observer import Telemetry
from remediator.adapters.pause_file import FilePause
from remediator.desk import daemon_file
from remediator.fittings import (
    LedgerWatch,
    Trusts,
    beside_databases,
    bounds,
    clock_watch,
    database_entries,
    housekeeping,
    ledger_watch,
    look_at_token,
    lookout,
    notifier,
    source_warnings,
    stores,
    threshold_watch,
    trusts,
    web_options,
)
from remediator.flow.bells import Bells, Stage
from remediator.flow.clock_watch import ClockWatch
from remediator.flow.fences import FencedWriter, FenceWatch
from remediator.flow.interrupt import interruptible
from remediator.flow.parts import Cluster, Parts
from remediator.flow.pipeline import pipeline
from remediator.flow.receive import Receive
from remediator.flow.rule_history import News, RuleHistory
from remediator.flow.supervisor import Background, Supervisor
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import ConfigError, InvariantBroken, PortError
from remediator.ports.clock import Clock
from remediator.ports.health import HealthStatus
from remediator.ports.observer import StageEvent
from remediator.rulebook.apart import check_files
from remediator.rulebook.watch import LiveRulebook, Reload, ReloadOutcome
from remediator.settings import AUTHENTICATION, PACKAGED_RULES, Draft
from remediator.web.health import Check
from remediator.web.server import WebServer
from remediator.web.serving import Prepared, WebParts, prepare, serving

SILENT_S = 60.0
OLD_SIGNAL_S = 60.0
APPEND_S = 2.0


async def start(draft: Draft) -> None:
    """Run the daemon until SIGTERM or SIGINT; raise ConfigError when it cannot start, or what killed a task.

    Faults of the settings are told together with those of the files that the settings name.
    """
    settings = draft.settings
    logs.set_up(logs.LogFormat(settings.log_format), logs.LogLevel(settings.log_level))
    observer = Telemetry(actions=(*ACTIONS, "undo", "return"))
    async with interruptible() as interrupt, AsyncExitStack() as stack:
        daemon = Daemon(draft, observer)
        await daemon.set_up(stack)
        interrupt.works(daemon.supervisor.stop)
        # What is there now stays: the collector need not look at it again, and seldom at what is short-lived.
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        await daemon.run()
    if interrupt.broke_off:
        observer.tell(StageEvent(stage="daemon", outcome="broken_off", fields={"why": "a signal during the start"}))


class Daemon:
    """Everything that a running daemon consists of. ``set_up`` builds it, the supervisor runs it."""

    supervisor: Supervisor
    pools: LedgerPools
    inbox: LedgerInbox
    rulebook: LiveRulebook
    appender: LedgerAppender
    rule_history: RuleHistory
    watch: LedgerWatch
    clocks: ClockWatch
    fences: FenceWatch

    def __init__(self, draft: Draft, observer: Telemetry, clock: Clock | None = None) -> None:
        """Begin with what needs no I/O. ``clock``: this host's, unless another is given."""
        self.draft = draft
        self.settings = draft.settings
        self.observer = observer
        self.clock = clock or SystemClock()
        self.bells = Bells()
        self.broken: InvariantBroken | None = None
        self.dsn = ""
        self.server: WebServer | None = None
        self.web: Prepared | None = None
        self.access: ClusterAccess | None = None
        self.trusts: Trusts = (None, None)
        self.entries: tuple[Entry, ...] = ()

    async def set_up(self, stack: AsyncExitStack) -> None:
        """Open everything, in the order in which it is needed."""
        settings = self.settings
        self._read_files()
        for warning in source_warnings(settings, self.web):
            self._tell("settings", "warning", warning=warning)
        background = [*await self._database(stack)]
        deliveries = deliveries_together(self.pools.intake, seconds=settings.accept_deadline)
        moves = moves_together(self.pools.stages)
        self.inbox = LedgerInbox(self.pools.intake, deliveries, limit=settings.inbox_limit)
        self.appender = LedgerAppender(self.pools.stages)
        self.rule_history = RuleHistory(self.appender, self.clock, self.observer)
        self.clocks = clock_watch(self.pools, self.rulebook, self.appender, self.clock, self.observer)
        cluster = LateCluster(
            access=self.access,
            limits=ClientLimits(concurrency=settings.cluster_concurrency),
            clock=self.clock,
            tell=lambda outcome, detail: self._tell("cluster", outcome, detail=detail),
            namespaces=self.rulebook.namespaces,
        )
        self.fences = FenceWatch(
            cluster=cluster,
            rulebook=self.rulebook,
            policy=settings.policy(),
            ledger=self.appender,
            clock=self.clock,
            observer=self.observer,
            owner=self._name(),
            required=settings.require_fences,
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        seen = await beside_databases(self.entries, self.dsn, cluster, cluster.secret)
        parts = Parts(
            stores=stores(self.pools, moves, self.appender),
            cluster=Cluster(reader=seen.reader, evidence=seen.reader, writer=FencedWriter(cluster, self.fences)),
            databases=seen.databases,
            notifier=notifier(settings, http),
            rulebook=self.rulebook,
            policy=settings.policy(),
            bounds=bounds(settings),
            clock=self.clock,
            observer=self.observer,
            owner=self._name(),
            pause_file=FilePause(settings.pause_file),
            lookout=lookout(settings, self.pools, Receive(self.inbox, self.bells), http, self.trusts),
            loans=LedgerLoanStore(self.pools.stages, quiet_s=settings.return_quiet),
            watch=threshold_watch(settings, self.pools, stack, self.observer),
        )
        background += [
            Background(name="deliveries", run=deliveries.run),
            Background(name="moves", run=moves.run),
            Background(name="cluster", run=cluster.run),
            Background(name="rule_history", run=self.rule_history.run),
            Background(name="rules", run=lambda: self.rulebook.watch(asyncio.Event())),
            Background(name="measure", run=self._measure),
            Background(name="clocks", run=self.clocks.run),
            Background(name="fences", run=self.fences.run),
            Background(name="housekeeping", run=housekeeping(settings, self.pools, self.clock, self.observer).run),
        ]
        self.supervisor = Supervisor(
            pipeline=partial(pipeline, parts, self.bells),
            front=self._front,
            background=background,
            clock=self.clock,
            observer=self.observer,
            drain_s=settings.drain,
        )
        await self._keep_rules("rules loaded at start")
        await self.rule_history.write()

    async def run(self) -> None:
        """Work until ``supervisor.stop`` is set; raise what killed a task, or the bug that a request met."""
        try:
            await self.supervisor.run()
        finally:
            await self._end_history()
        if self.broken is not None:
            raise self.broken
        await self._append(NewEntry(kind=EntryKind.STOPPED, summary=f"stopped in good order: {self._name()}"))
        await self.watch.sealer.finish(APPEND_S)

    async def _end_history(self) -> None:
        """Write down what the history of the rules still holds, and say what could not be."""
        try:
            async with asyncio.timeout(APPEND_S):
                await self.rule_history.write()
        except TimeoutError:
            self._tell("rule_history", "lost", waiting=self.rule_history.waiting)

    def _read_files(self) -> None:
        """Read every file before anything is opened, and tell all faults at once. Raises ConfigError."""
        problems = list(self.draft.problems)
        readers: tuple[tuple[Callable[[], None], tuple[str, ...]], ...] = (
            (self._read_web, ("tls_cert", "tls_key", *AUTHENTICATION)),
            (self._find_cluster, ("kubeconfig", "context")),
            (lambda: look_at_token(self.settings), ("notify_token_file",)),
            (self._read_databases, ("databases",)),
            (self._read_authorities, ("alertmanager_ca", "prometheus_ca")),
            # The last: that rules are loaded is told only where nothing else is in the way.
            (lambda: self._read_rules(only_check=bool(problems)), ("rules",)),
        )
        for read, names in readers:
            try:
                if self.draft.sound(*names):
                    read()
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)

    def _find_cluster(self) -> None:
        settings = self.settings
        self.access = chosen_access(settings.kubeconfig, settings.context or "", os.environ, Path.home())

    def _read_authorities(self) -> None:
        self.trusts = trusts(self.settings)

    def _read_databases(self) -> None:
        self.entries = database_entries(self.settings)

    def _read_rules(self, *, only_check: bool) -> None:
        place = self.settings.rules
        try:
            place.stat()
        except OSError as error:
            advice = "name the folder with your rule files (--rules, REMEDIATOR_RULES)"
            raise ConfigError(f"--rules {place}: cannot be read ({error.strerror}); {advice}") from error
        if only_check:
            check_files((place,))
            return
        if place == PACKAGED_RULES:
            warning = "no --rules given, and no folder ./rules: the rules that come with remediator are in force"
            self._tell("settings", "warning", warning=warning, rules=str(place))
        self.rulebook = LiveRulebook((place,), self.observer, told=self._rules_changed)

    def _read_web(self) -> None:
        self.web = prepare(web_options(self.settings), self.clock, self.observer)

    async def _database(self, stack: AsyncExitStack) -> list[Background]:
        """Open our PostgreSQL, bring its schema up to date, and return the tasks that keep an eye on it."""
        background: list[Background] = []
        self.dsn = self.settings.database_url or ""
        if not self.dsn:
            waits = partial(self._tell, "database", "waiting")
            server = await stack.enter_async_context(running(self.settings.state_dir / "postgres", waits))
            self.dsn = server.dsn
            background.append(Background(name="postgres", run=server.wait))
        report = await migrate(self.dsn)
        self.dsn = self.dsn if self.settings.database_url else await own_login(self.dsn)
        self.pools = await stack.enter_async_context(open_pools(self.dsn))
        self.watch = ledger_watch(self.settings, self.pools, self.clock, self.observer, self._name())
        background += self.watch.tasks
        for warning in (*report.warnings, *self.pools.server.warnings):
            self._tell("database", "warning", warning=warning)
        if self.pools.server.direct:
            wakeups = Wakeups(dsn=self.dsn, ring=self._ring, lost=lambda why: self._tell("wakeups", "lost", error=why))
            background.append(Background(name="wakeups", run=wakeups.run))
        return background

    @asynccontextmanager
    async def _front(self) -> AsyncIterator[None]:
        """Open the door, tell where it is, and close it first when the end comes."""
        settings = self.settings
        parts = WebParts(
            inbox=Receive(self.inbox, self.bells),
            clock=self.clock,
            observer=self.observer,
            live=self._checks()[:1],
            ready=self._checks(),
            render_metrics=self.observer.render,
            on_bug=self.on_bug,
        )
        async with serving(web_options(settings), parts, self.web) as self.server:
            place = daemon_file(settings.state_dir)
            try:
                self._announce(self.server.url, place)
                words = f"started: {self._name()}, mode {settings.mode}, {self.server.url}"
                await self._append(NewEntry(kind=EntryKind.STARTED, summary=words, data={"version": __version__}))
                yield
            finally:
                place.unlink(missing_ok=True)

    def _announce(self, url: str, place: Path) -> None:
        """Say where the daemon is: in the log, and in a private file for commands on this machine."""
        content = {"url": url, "dsn": without_password(self.dsn), "pid": os.getpid(), "version": __version__}
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = place.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_bytes(msgspec.json.encode(content))
        draft.replace(place)
        self._tell("daemon", "listening", url=url, version=__version__, settings=self.settings.describe())

    async def _rules_changed(self, reload: Reload) -> None:
        if reload.outcome is ReloadOutcome.LOADED:
            await self._keep_rules("rules loaded")
            return
        faults = [str(fault) for fault in reload.faults]
        summary = f"the rule files have faults ({len(faults)}); the last good rules stay in force: {faults[0]}"
        entry = NewEntry(kind=EntryKind.RULES_REJECTED, summary=summary, data={"faults": faults[:100]})
        await self.rule_history.add(News(entry=entry))

    async def _keep_rules(self, words: str) -> None:
        rules = self.rulebook.current()
        count = len(rules.rules)
        summary = f"{words}: {count} rule{'s' * (count != 1)}, digest {rules.digest[:12]}"
        entry = NewEntry(kind=EntryKind.RULES_LOADED, summary=summary, data={"digest": rules.digest})
        await self.rule_history.add(News(entry=entry, digest=rules.digest, files=self.rulebook.files))

    async def _append(self, entry: NewEntry) -> None:
        try:
            async with asyncio.timeout(APPEND_S):
                await self.appender.append(entry)
        except (PortError, TimeoutError) as error:
            self._tell("ledger", "unrecorded", error=str(error), summary=entry.summary)

    async def _measure(self) -> None:
        """Keep the inbox's figures fresh, once a second or so, and notice when the loop is late."""
        lateness = Lateness(self.clock)
        while True:
            self.observer.loop_lag(await lateness.look())
            try:
                await self.inbox.measure()
            except PortError as error:
                self._tell("inbox", "unmeasured", error=str(error))
                continue
            self.observer.inbox(self.inbox.waiting, self.inbox.oldest_s)
            self.observer.connections(self.server.connections if self.server else 0)

    def _checks(self) -> list[Check]:
        """Return what readiness asks; liveness asks the first alone, which only a restart can cure."""
        tasks = Check("tasks", self._tasks_alive)
        return [
            tasks,
            Check("database", self._database_answers),
            Check("inbox", self._inbox_moves),
            Check("clocks", self.clocks.status),
            Check("fences", self.fences.check),
        ]

    async def _tasks_alive(self) -> HealthStatus:
        silent = self.supervisor.silent_lanes(SILENT_S)
        if self.broken is not None:
            return HealthStatus(ok=False, detail=f"an invariant is broken: {self.broken}")
        return HealthStatus(ok=not silent, detail=f"silent: {', '.join(silent)}" if silent else "all lanes move")

    async def _database_answers(self) -> HealthStatus:
        began = self.clock.monotonic()
        await LedgerView(self.pools.read).ping()
        return HealthStatus(ok=True, detail=f"answers in {(self.clock.monotonic() - began) * 1000:.1f} ms")

    async def _inbox_moves(self) -> HealthStatus:
        waiting, oldest = self.inbox.waiting, self.inbox.oldest_s
        late = waiting > 0 and oldest > OLD_SIGNAL_S
        return HealthStatus(ok=not late, detail=f"{waiting} signals wait, the oldest for {oldest:.1f} s")

    def on_bug(self, error: InvariantBroken) -> None:
        """End in good order, and then loudly: what must never be so was met in a request."""
        self.broken = error
        self.supervisor.stop.set()

    @staticmethod
    def _name() -> str:
        return f"{os.uname().nodename}:{os.getpid()}"

    def _ring(self, stage: str) -> None:
        if stage in {known.value for known in Stage}:
            self.bells.ring(Stage(stage))

    def _tell(self, stage: str, outcome: str, **fields: object) -> None:
        self.observer.tell(StageEvent(stage=stage, outcome=outcome, fields=dict(fields)))
