"""Single questions to Prometheus's API, answered with what else the answer says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from remediator.adapters.alerting.fetch import Answer, Fetch
from remediator.model.errors import MonitoringError
from remediator.model.signal import Labels

T = TypeVar("T")


class _Series(Struct):
    metric: Labels
    value: tuple[float, str] | None = None


class _Vector(Struct):
    result: list[_Series]


class _Said(Struct):
    data: _Vector
    warnings: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """``samples``: labels and values, None for a histogram. ``at``: when, by Prometheus's own clock."""

    samples: tuple[tuple[Labels, float | None], ...]
    warnings: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks one Prometheus. Every method raises MonitoringError."""

    url: str
    fetch: Fetch

    async def vector(self, expr: str) -> Vector:
        """Evaluate an expression for now."""
        form = {"query": expr, "timeout": f"{self.fetch.total_s:g}s"}
        answer = await self.fetch.post(f"{self.url}/api/v1/query", form)
        said = _decoded(answer, _Said)
        samples = tuple((one.metric, None if one.value is None else float(one.value[1])) for one in said.data.result)
        return Vector(samples=samples, warnings=tuple(str(one)[:200] for one in said.warnings), at=answer.at)

    async def status(self, page: str) -> tuple[dict[str, Any], datetime]:
        """Return the data of ``/api/v1/status/...``, and when that was said."""
        answer = await self.fetch.get(f"{self.url}/api/v1/status/{page}")
        return _decoded(answer, _Status).data, answer.at


class _Status(Struct):
    data: dict[str, Any]


def _decoded(answer: Answer, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MonitoringError("malformed", f"the answer cannot be read: {str(error)[:200]}") from error
