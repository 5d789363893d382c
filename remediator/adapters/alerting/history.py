"""Prometheus's memory of alerts: which fired between two moments, and whether they still do.

The series ``ALERTS`` has a sample for each evaluation at which an alert fired. It is asked for in windows that touch
each other, so that nothing that was seen even once falls between two points. It has neither the external labels that
Prometheus gives to what it sends, nor what relabelling there does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from remediator.adapters.alerting.fetch import Fetch
from remediator.model.errors import MonitoringError
from remediator.model.sighting import Episode
from remediator.model.signal import Labels

FIRING = 'ALERTS{alertstate="firing"}'
POINTS = 500
"""Into how many windows a time is divided at most; Prometheus refuses more than 11,000."""
SAME_EPISODE_S = 300.0
"""A pause between two samples up to which they belong to one episode: evaluations may be minutes apart."""
MOST_EPISODES = 1000
_OWN_LABELS = frozenset({"__name__", "alertstate"})

Key = tuple[tuple[str, str], ...]
ReadLabels = Callable[[Labels], tuple[str, Labels]]
"""From labels to the fingerprint of the alert and to labels that may be kept."""


class _Series(Struct):
    metric: Labels
    values: list[tuple[float, str]] = field(default_factory=list)


class _Data(Struct):
    result: list[_Series]


class _Answer(Struct):
    status: str
    data: _Data
    warnings: list[Any] = field(default_factory=list)


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusHistory:
    """Implements ports.monitoring.AlertHistory. ``url``: Prometheus's base address."""

    url: str
    fetch: Fetch
    read_labels: ReadLabels

    async def episodes(self, begin: datetime, end: datetime) -> tuple[Episode, ...]:
        """Return what fired between two moments, those that fired longest first, at most a thousand."""
        step = max(1, math.ceil((end - begin).total_seconds() / POINTS))
        windows = {
            "query": f"count_over_time({FIRING}[{step}s])",
            "start": _seconds(begin + timedelta(seconds=step)),
            "end": _seconds(end + timedelta(seconds=step)),
            "step": str(step),
        }
        async with self.fetch.patience():
            answer = await self._ask("/api/v1/query_range", windows)
            still = {_key(one.metric) for one in await self._ask("/api/v1/query", {"query": FIRING})}
        found = [one for series in answer for one in self._episodes(series, step, still)]
        found.sort(key=lambda one: one.began_at - one.ended_at)
        return tuple(found[:MOST_EPISODES])

    async def _ask(self, path: str, form: dict[str, str]) -> list[_Series]:
        answer = await self.fetch.post(self.url + path, {**form, "timeout": f"{self.fetch.total_s:g}s"})
        try:
            said = _decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MonitoringError("malformed", f"Prometheus's answer cannot be read: {str(error)[:200]}") from error
        if said.status != "success" or said.warnings:
            raise MonitoringError("partial", "Prometheus answers with warnings: a part is missing", retryable=True)
        return said.data.result

    def _episodes(self, series: _Series, step: int, still: set[Key]) -> Iterator[Episode]:
        """Divide the points of one series into the episodes that they stand for."""
        times = [at for at, _ in series.values]
        if not times:
            return
        apart = max(SAME_EPISODE_S, 2.0 * step)
        starts = [0, *(n for n in range(1, len(times)) if times[n] - times[n - 1] > apart)]
        fingerprint, labels = self.read_labels(dict(_key(series.metric)))
        for start, after in zip(starts, [*starts[1:], len(times)], strict=True):
            yield Episode(
                fingerprint=fingerprint,
                labels=labels,
                began_at=_moment(times[start] - step),
                ended_at=_moment(times[after - 1]),
                over=after < len(times) or _key(series.metric) not in still,
            )


def _key(labels: Labels) -> Key:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in _OWN_LABELS))


def _seconds(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
