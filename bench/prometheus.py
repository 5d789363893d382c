"""A stub of Prometheus: as many series as it is told, well or over their threshold; a program of its own."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from bench.lines import answer_lines

WELL, SICK = "40.5", "91.25"


class Stub:
    """Answers two questions: the vital signs, and the row."""

    def __init__(self, series: int) -> None:
        """Have everything well."""
        self.series = series
        self.value = WELL

    async def query(self, request: web.BaseRequest) -> web.Response:
        """Answer one question for the moment that it is about."""
        form = parse_qs(await request.text())
        at = float(form["time"][0])
        if form["query"][0].startswith("label_replace"):
            return _vector([({"sign": name}, str(at - ago)) for name, ago in (("newest", 1.0), ("earlier", 400.0))], at)
        return _vector([(_labels(number), self.value) for number in range(self.series)], at)

    async def sick(self) -> str:
        """Let everything be over its threshold from now on."""
        self.value = SICK
        return self.value


def _labels(number: int) -> dict[str, str]:
    workload = f"application-{number:05d}"
    return {
        "namespace": f"team-{number % 50:02d}",
        "workload": workload,
        "workload_type": "deployment",
        "cluster": "production-eu-1",
        "prometheus": "monitoring/k8s",
    }


def _vector(series: list[tuple[dict[str, str], str]], at: float) -> web.Response:
    result = [{"metric": labels, "value": [at, value]} for labels, value in series]
    body = msgspec.json.encode({"status": "success", "data": {"resultType": "vector", "result": result}})
    return web.Response(body=body, content_type="application/json")


async def _run() -> None:
    stub = Stub(int(sys.argv[1]))
    runner = web.ServerRunner(web.Server(stub.query), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await answer_lines({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}, {"sick": stub.sick})
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_run())
