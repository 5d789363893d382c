"""Everything at once: each area in a task of its own, each bounded in time, and the clocks compared at the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp

from remediator.adapters.alerting.fetch import Access, Fetch, trust
from remediator.adapters.kubernetes.access import ClusterAccess, chosen_access
from remediator.adapters.kubernetes.client import ClientLimits, KubeClient
from remediator.adapters.kubernetes.secrets import secret_value
from remediator.adapters.ledger.connect import reachable
from remediator.doctor import alertmanager, cluster, database, databases, people, prometheus, rows
from remediator.doctor.asking import Asking
from remediator.doctor.finding import CHECK_S, Clock, Finding, Grade, Look, bounded
from remediator.model.rule import Rule
from remediator.ports.clock import Clock as OwnClock
from remediator.rulebook.faults import RulebookRejected
from remediator.rulebook.load import load
from remediator.settings import Draft, Settings

ASK_S = 5.0
"""So long one question may take, in seconds."""
SKEW_S = 10.0
"""From here on a difference of clocks is too much; below, the seconds of an HTTP date are coarse."""
MOST_FAULTS = 20


async def examine(
    draft: Draft, clock: OwnClock, environ: Mapping[str, str] | None = None, *, running: str = ""
) -> tuple[Finding, ...]:
    """Look at everything that the settings name; takes a dozen seconds at most, whatever hangs.

    ``running``: the connection string of the database that a daemon on this machine works with, where one says so.
    """
    environ = os.environ if environ is None else environ
    settings = draft.settings
    findings = [_setting(problem) for problem in draft.problems]
    rules, found = _rules(settings.rules)
    findings += found
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        areas = _Areas(settings, rules, clock, http, environ, running)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(bounded(name, looking, CHECK_S), name=f"doctor-{name}")
                for name, looking in areas.all()
            ]
    looks = [task.result() for task in tasks]
    findings += [finding for look in looks for finding in look.findings]
    return (*findings, *_clocks([one for look in looks for one in look.clocks]))


class _Areas:
    """The areas, and what they share."""

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[Rule],
        clock: OwnClock,
        http: aiohttp.ClientSession,
        environ: Mapping[str, str],
        running: str,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._clock = clock
        self._http = http
        self._environ = environ
        self._running = running

    def all(self) -> Iterator[tuple[str, Awaitable[Look]]]:
        """Yield the areas in the order in which they are shown."""
        settings = self._settings
        yield people.WEBHOOKS, self._webhooks()
        yield database.AREA, self._database()
        yield cluster.AREA, self._cluster()
        yield databases.AREA, self._databases()
        yield alertmanager.AREA, self._alertmanager()
        yield prometheus.AREA, self._prometheus()
        yield rows.AREA, self._rows()
        yield people.PEOPLE, people.people(settings.notify_url, settings.notify_token_file)

    async def _webhooks(self) -> Look:
        return await asyncio.to_thread(people.webhooks, self._settings, self._clock)

    async def _database(self) -> Look:
        if self._settings.database_url is None and self._running and await reachable(self._running):
            return await database.look(self._running, self._clock.now())
        if self._settings.database_url is None:
            return await asyncio.to_thread(database.embedded, self._settings.state_dir / "postgres", self._environ)
        return await database.look(self._settings.database_url, self._clock.now())

    async def _cluster(self) -> Look:
        access = self._access()
        if access is None:
            return cluster.not_found()
        async with _connected(access) as client:
            return await cluster.look(client, self._rules, self._clock.now())

    async def _databases(self) -> Look:
        file = self._settings.databases
        if file is None:
            return databases.not_named(self._rules)
        access = self._access() if await asyncio.to_thread(databases.needs_cluster, file) else None
        if access is None:
            return await databases.look(file, None)
        async with _connected(access) as client:
            return await databases.look(file, partial(secret_value, client))

    def _access(self) -> ClusterAccess | None:
        settings = self._settings
        home = Path(self._environ.get("HOME") or "/")
        return chosen_access(settings.kubeconfig, settings.context or "", self._environ, home)

    async def _alertmanager(self) -> Look:
        settings = self._settings
        if not settings.alertmanager_url:
            return alertmanager.not_named()
        access = Access(
            token_file=settings.alertmanager_token_file,
            basic_auth_file=settings.alertmanager_basic_auth_file,
            tls=trust(settings.alertmanager_ca),
        )
        fetch = Fetch(self._http, access, total_s=ASK_S)
        return await alertmanager.look(settings.alertmanager_url, fetch, self._clock.now())

    def _asking(self, url: str) -> Asking:
        settings = self._settings
        access = Access(
            token_file=settings.prometheus_token_file,
            basic_auth_file=settings.prometheus_basic_auth_file,
            tls=trust(settings.prometheus_ca),
        )
        return Asking(url=url.rstrip("/"), fetch=Fetch(self._http, access, total_s=ASK_S))

    async def _prometheus(self) -> Look:
        url = self._settings.prometheus_url
        if url is None:
            return prometheus.not_named()
        return await prometheus.look(self._asking(url), self._clock.now(), self._settings.poll_settle)

    async def _rows(self) -> Look:
        url = self._settings.prometheus_url
        return Look(findings=()) if url is None else await rows.look(self._rules, self._asking(url))


@asynccontextmanager
async def _connected(access: ClusterAccess) -> AsyncIterator[KubeClient]:
    client = await KubeClient.connect(access, ClientLimits(total_s=ASK_S, concurrency=16))
    try:
        yield client
    finally:
        await client.close()


def _setting(problem: str) -> Finding:
    place, _, found = problem.partition(": ")
    return Finding(area="settings", what=place if found else "settings", grade=Grade.STOP, found=found or problem)


def _rules(place: Path) -> tuple[tuple[Rule, ...], list[Finding]]:
    """Load the rules; where they have faults, none is in force and nothing can be said of what they need."""
    try:
        loaded = load([place])
    except RulebookRejected as rejected:
        faults = [
            Finding(area="rules", what="fault", grade=Grade.STOP, found=str(one))
            for one in rejected.faults[:MOST_FAULTS]
        ]
        return (), faults
    words = f"{len(loaded.rules.rules)} from {place}"
    found = [Finding(area="rules", what="loaded", grade=Grade.OK, found=words)]
    if loaded.warnings:
        words, advice = f"{len(loaded.warnings)} warnings: {loaded.warnings[0]}", f"remediator check {place}"
        found.append(Finding(area="rules", what="warnings", grade=Grade.NOTE, found=words, advice=advice))
    return loaded.rules.rules, found


def _clocks(clocks: Sequence[Clock]) -> Iterator[Finding]:
    """Compare all clocks with ours."""
    if not clocks:
        return
    wrong = [one for one in clocks if abs(one.ahead_s) >= SKEW_S]
    for one in wrong:
        words = f"{one.whose} is {abs(one.ahead_s):.0f} s {'ahead of' if one.ahead_s > 0 else 'behind'} this host"
        advice = "set both right (NTP: timedatectl, chronyc tracking): facts look old, or from the future"
        yield Finding(area="clocks", what="skew", grade=Grade.STOP, found=words, advice=advice)
    if not wrong:
        words = f"within {SKEW_S:g} s of this host: {', '.join(one.whose for one in clocks)}"
        yield Finding(area="clocks", what="skew", grade=Grade.OK, found=words)
