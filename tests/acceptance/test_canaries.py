"""More than eighty secrets, one in every place where the daemon reads something: they come out nowhere.

What comes out is everything that is stored, logged, measured, answered, sent, printed and exported.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from tests.acceptance.canaries import Aviary
from tests.acceptance.daemon import HOOK, RULES, TOKEN, Daemon, clean_environment
from tests.acceptance.planting import (
    alerts,
    in_base64,
    kubeconfig,
    plant_in_cluster,
    plant_in_logs,
    rules_with_secrets,
    secret_file,
)
from tests.acceptance.scene import CRASH, ROOMY, Scene, body

AT_LEAST = 80
# Where something must have been stored: an empty table proves nothing.
FILLED = {
    *("actions", "alerts", "approvals", "candidates", "evidence", "incidents", "ledger", "outbox", "pauses"),
    *("quarantine", "rule_sets", "seals", "signals"),
}


@dataclass
class Pager:
    """Where people are told; what it answers holds secrets of its own."""

    birds: Aviary
    url: str = ""
    heard: list[str] = field(default_factory=list)
    failing: int = 1

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._page)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}/services/{}".format(*runner.addresses[0][:2], self.birds.strong("notify URL"))
        try:
            yield
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        self.heard.append((await request.read()).decode())
        secret = self.birds.planted.get("notify answer") or self.birds.weak("notify answer")
        self.failing -= 1
        status = 503 if self.failing >= 0 else 200
        return web.Response(status=status, text=f"password={secret}", headers={"Set-Cookie": f"sid={secret}"})


@dataclass
class Quoting:
    """Stands before the API: it refuses the portal's writes, and fails some reads, in words that quote secrets."""

    birds: Aviary

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Handle one request."""
        if call.method == "PATCH" and "/dev-portal/" in call.path and not call.query.get("dryRun"):
            quoted = self._secret("API: quoted value")
            message = f'spec.env: Invalid value: "{quoted}": {{"value":"{quoted}"}} password={quoted} is not allowed'
            return _status(422, "Invalid", message)
        if "/networking.k8s.io/" in call.path:
            return _status(500, "InternalError", f"etcd at https://root:{self._secret('API: error')}@etcd:2379 failed")
        return await proceed()

    def _secret(self, place: str) -> str:
        return self.birds.planted.get(place) or self.birds.weak(place)


def _status(code: int, reason: str, message: str) -> web.Response:
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return web.json_response({**document, "message": message}, status=code)


async def knock(scene: Scene, daemon: Daemon, birds: Aviary) -> str:
    """Send what is refused, with secrets in it; return all that was answered."""
    good = json.dumps(body([], SystemClock().now())).encode()
    tries: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", HOOK, {"Authorization": f"Bearer {birds.strong('wrong token')}"}, good),
        ("POST", HOOK, {"Authorization": f"Basic {in_base64('ada:' + birds.weak('wrong password'))}"}, good),
        ("POST", f"{HOOK}?token={birds.weak('query of a request')}", {"Cookie": f"s={birds.weak('cookie')}"}, good),
        ("GET", f"/nowhere?password={birds.weak('query of no page')}", {"X-Api-Key": birds.weak("header")}, b""),
        ("POST", HOOK, _own(), b'{"password": "' + birds.weak("broken body").encode() + b'", '),
        ("POST", HOOK, _own(), json.dumps({"version": f"token={birds.weak('bad version')}"}).encode()),
    ]
    said = []
    for method, path, headers, data in tries:
        async with scene.http.request(method, daemon.url + path, headers=headers, data=data) as answer:
            said.append(f"{answer.status} {dict(answer.headers)} {await answer.text()}")
            assert answer.status in {400, 401, 404}
    return "\n".join(said)


def _own() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


TYPIST = """
import contextlib, io, json, os, sys
from remediator.cli.main import main
said = []
for words, environment in json.load(sys.stdin):
    os.environ.update(environment)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    for name in environment:
        del os.environ[name]
    said.append(f"{code} {out.getvalue()}")
json.dump(said, sys.stdout)
"""


async def typed(commands: Iterable[Sequence[str]], **environment: str) -> dict[str, str]:
    """Type commands, one after the other in one process; return what each said, by its name."""
    wanted = [list(words) for words in commands]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TYPIST),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )
    given = json.dumps([(words, environment) for words in wanted]).encode()
    answer, _ = await process.communicate(given)
    return {f"command {' '.join(words)}": said for words, said in zip(wanted, json.loads(answer), strict=True)}


async def ask_everything(scene: Scene, dsn: str, birds: Aviary) -> dict[str, str]:
    """Type every command that shows something; return what each said, and what it wrote."""
    environment = {"REMEDIATOR_DATABASE_URL": dsn, "REMEDIATOR_STATE_DIR": str(scene.folder / "daemon" / "state")}
    incidents = len(await (await scene.desk()).view.incidents(open_only=False, limit=100))
    assert incidents >= 3
    commands = [
        *(("approve", "A999", "--reason", f"password={birds.weak('reason of nothing')}"), ("log",), ("log", "--json")),
        *(("explain", str(n), "--evidence", *more) for n in range(1, incidents + 1) for more in ((), ("--json",))),
        (
            "pause",
            "rule/x",
            "--reason",
            f"password={birds.weak('reason of a pause')}",
            "--as",
            birds.strong("a pauser"),
        ),
        ("resume", "rule/x", "--as", f"token: {birds.weak('a resumer')}"),
        ("undo", "A1", "--no-wait", "--reason", f"password={birds.weak('reason of an undo')}"),
        *(("status",), ("status", "--json"), ("pause", "--list"), ("ledger", "verify"), ("ledger", "verify", "--json")),
        *(("ledger", "export"), ("ledger", "export", "--format", "csv")),
        ("ledger", "export", "--output", str(scene.folder / "export.jsonl")),
        ("check", str(scene.folder / "broken")),
    ]
    said = await typed(commands, **environment)
    assert any("password=[redacted]" in one for words, one in said.items() if words.startswith("command explain"))
    said["exported file"] = (scene.folder / "export.jsonl").read_text()
    return said


async def start_in_vain(scene: Scene, birds: Aviary) -> dict[str, str]:
    """Start daemons whose configuration is wrong, with secrets in it; return what each said."""
    empty = {"--insecure-no-auth": "true", "--listen": "127.0.0.1:0", "--state-dir": str(scene.folder / "vain")}
    tries = [
        {"--database-url": f"mysql://app:{birds.weak('no DSN')}@db/x"},
        {"--database-url": f"postgresql://app:{birds.weak('DSN of nobody')}@127.0.0.1:1/x?connect_timeout=1"},
        {"--database-url": f"postgresql://app@127.0.0.1:1/x?password={birds.weak('DSN parameter')}"},
        {"--notify-url": f"ftp://x/{birds.weak('bad notify URL')}"},
    ]
    flags = [[word for pair in {**empty, **one}.items() for word in pair if word != "true"] for one in tries]
    said = await typed([["serve", "--rules", str(RULES), *words] for words in flags])
    url = f"postgresql://app:{birds.weak('DSN of a command')}@127.0.0.1:1/x"
    return said | await typed([["log"]], REMEDIATOR_DATABASE_URL=url)


async def stored(dsn: str) -> dict[str, str]:
    """Return every row of every table."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'remediator'")
        tables = {f"table {name}": f"SELECT to_jsonb(t)::text FROM remediator.{name} AS t" for (name,) in names}  # noqa: S608 - names of ours
        return {what: "\n".join(row[0] for row in await connection.fetch(query)) for what, query in tables.items()}
    finally:
        await connection.close()


async def play(scene: Scene, daemon: Daemon, birds: Aviary) -> str:
    """Let alerts come, be acted on, refused, asked about and told; return what the door answered to bad requests."""
    assert await daemon.post(scene.http, alerts(birds)) == 200
    said = await knock(scene, daemon, birds)
    await scene.until_kind(EntryKind.ACTION_APPLIED)
    await scene.until_kind(EntryKind.ACTION_REFUSED)
    await scene.until_kind(EntryKind.NOTIFIED, 2)
    await scene.until_kind(EntryKind.EVIDENCE, 2)
    await scene.until_kind(EntryKind.DECISION_ASK)
    asked = await scene.entries(EntryKind.DECISION_ASK)
    words = ["reject", f"A{asked[0].action}", "--reason", f"token: {birds.weak('reason of a no')}", "--as"]
    words += [f"ada password={birds.weak('name of a person')}", "--database-url", scene.database]
    said += "".join((await typed([words])).values())
    shutil.copy(scene.folder / "broken" / "broken.yaml", scene.folder / "rules" / "broken.yaml")
    await scene.until_kind(EntryKind.RULES_REJECTED)
    return said


def files_in(folder: Path) -> dict[str, str]:
    """Return what the daemon has written to its folder."""
    found = {f"file {file.name}": file.read_text() for file in folder.iterdir() if file.is_file()}
    assert found.keys() >= {"file daemon.json", "file checkpoints.jsonl"}
    return found


@pytest.mark.slow
async def test_no_planted_secret_comes_out_anywhere(scene: Scene, database: str) -> None:
    """Not from the tables, the log, the metrics, an answer, a message, a command, or a file that was written."""
    birds = Aviary()
    pager = Pager(birds)
    rules = rules_with_secrets(scene.folder, birds)
    scene.database = dsn = database.replace("//remediator@", f"//remediator:{birds.weak('DSN')}@")
    async with pager.listening():
        files = {
            "--notify-token-file": birds.strong("notify token"),
            "--webhook-basic-auth-file": f"ada:{birds.weak('basic authentication')}",
        }
        flags = [word for flag, text in files.items() for word in (flag, secret_file(scene.folder, flag[2:], text))]
        flags += ["--notify-url", pager.url, "--kubeconfig", kubeconfig(scene, birds), "--log-level", "debug"]
        daemon = scene.daemon(*ROOMY, *flags, rules=rules)
        plant_in_cluster(scene, birds)
        scene.cluster.server.middlewares.append(Quoting(birds))
        await scene.cluster.settle()
        for namespace in ("backstage", "dev-portal"):
            await scene.make_ill(namespace, "backstage", CRASH)
        plant_in_logs(scene, birds)
        await daemon.start()
        outputs = {"answers": await play(scene, daemon, birds)}
        for path in ("/metrics", "/livez", "/readyz"):
            outputs[path] = (await daemon.get(scene.http, path))[1]
        outputs |= await ask_everything(scene, dsn, birds)
        outputs |= files_in(daemon.state_dir)
        assert await daemon.stop() == 0
    outputs |= await start_in_vain(scene, birds)
    outputs |= await stored(database)
    outputs |= {"log": daemon.log.read_text(), "people": "\n".join(pager.heard)}
    outputs["requests"] = "\n".join(map(repr, scene.cluster.requests))
    outputs["server log"] = (Path(parse_qs(urlsplit(database).query)["host"][0]).parent / "server.log").read_text()
    assert len(birds.planted) >= AT_LEAST
    # What said nothing proves nothing.
    filled = {what for what, text in outputs.items() if text.strip()}
    assert {f"table {name}" for name in FILLED} <= filled
    assert all(what.startswith("table ") for what in outputs.keys() - filled)
    escaped = birds.escaped(outputs)
    assert not escaped, f"{len(escaped)} of {len(birds.planted)} secrets\n" + "\n".join(escaped)


@pytest.mark.parametrize("spelt", ["{}", "x{}y"])
def test_an_escaped_canary_is_found(spelt: str) -> None:
    """What the test above relies on: whole, half, and in base64."""
    birds = Aviary()
    for secret in (birds.weak("one"), birds.strong("two")):
        for text in (secret, secret[:12], secret[-12:], in_base64(secret)):
            assert len({one.partition(" in ")[0] for one in birds.escaped({"here": spelt.format(text)})}) == 1
