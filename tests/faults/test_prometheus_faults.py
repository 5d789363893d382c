"""A real Prometheus behind the fault proxy: whatever goes wrong on the way is unknown, and never a value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.prometheus import Reach, ThreadedPrometheus
from remediator.model.measure import Answer, Unseen
from remediator.ports.measuring import Query
from tests.acceptance.prometheus import MISSING, PROGRAM, prometheus
from tests.faults.http_proxy import HttpProxy
from tests.faults.points import Cut, Point, Reply, hang

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
]

HALF = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"val'
PARTLY = (
    b'{"status":"success","warnings":["a store did not answer"],"data":{"resultType":"vector","result":'
    b'[{"metric":{},"value":[1,"1"]}]}}'
)


async def cut() -> None:
    """End the connection."""
    raise Cut


def says(status: int, body: bytes = b"", *, broken: bool = False, **headers: str) -> Callable[[], Awaitable[None]]:
    """Answer this instead."""

    async def reply() -> None:
        raise Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, cut=broken)

    return reply


FAULTS: dict[str, tuple[Callable[[], Awaitable[None]], set[Unseen]]] = {
    "reset": (cut, {Unseen.UNREACHABLE}),
    "hang": (hang, {Unseen.TIMEOUT}),
    "half an answer": (says(200, HALF, broken=True), {Unseen.UNREACHABLE, Unseen.MALFORMED}),
    "no JSON": (says(200, b"<html>"), {Unseen.MALFORMED}),
    "nothing": (says(200), {Unseen.MALFORMED}),
    "part of the truth": (says(200, PARTLY), {Unseen.PARTIAL}),
    "302": (says(302, Location="http://127.0.0.1:1/"), {Unseen.REFUSED, Unseen.UNAVAILABLE}),
    **{str(code): (says(code, b"no"), {Unseen.REFUSED}) for code in (400, 401, 403, 404, 405, 413, 422)},
    **{
        str(code): (says(code, b"no", Retry_After="1"), {Unseen.UNAVAILABLE, Unseen.REFUSED, Unseen.TIMEOUT})
        for code in (408, 429, 500, 502, 503, 504)
    },
}


@dataclass(slots=True)
class Mischief:
    """Does one fault at one moment of each question."""

    after: bool = False
    fault: Callable[[], Awaitable[None]] | None = None
    met: int = 0

    async def __call__(self, point: Point) -> None:
        """Do it, if this is the moment."""
        if self.fault is not None and point.after is self.after:
            self.met += 1
            await self.fault()


async def test_each_fault_before_and_after_it_is_asked(tmp_path: Path) -> None:
    """Each is unknown with its reason, none is tried again by itself, and the next question is answered as ever."""
    mischief = Mischief()
    async with prometheus(tmp_path / "prometheus") as upstream:
        proxy = HttpProxy(upstream, mischief)
        async with proxy.running():
            # Short enough that what hangs does not hold up the test, long enough for a machine that is busy.
            client = ThreadedPrometheus(Reach(url=proxy.url, connect_s=1.0, read_s=1.0, total_s=1.5))
            try:
                for after in (False, True):
                    for name, (fault, reasons) in FAULTS.items():
                        mischief.after, mischief.fault, mischief.met = after, fault, 0
                        given = await _ask(client)
                        assert given.problem in reasons, (after, name, given)
                        assert given.samples == (), (after, name, given)
                        assert mischief.met == 1, (after, name)
                    mischief.fault = None
                    assert [sample.value for sample in (await _ask(client)).samples] == [1.0]
            finally:
                client.close()


async def _ask(client: ThreadedPrometheus) -> Answer:
    return await client.ask(Query(expr="vector(1)", at=SystemClock().now()), lambda given: given)
