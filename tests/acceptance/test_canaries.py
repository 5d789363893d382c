"""More than forty secrets, one in every place where the daemon reads something: they come out nowhere.

What comes out is everything that is stored, logged, measured, answered, sent, printed and exported.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import yaml
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox.api import Proceed
from remediator.sandbox.auth import MASTERS
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import DEPLOYMENTS, PODS, Json
from tests.acceptance.canaries import Aviary
from tests.acceptance.daemon import HOOK, RULES, TOKEN, Daemon, clean_environment
from tests.acceptance.scene import BACKSTAGE, CRASH, ROOMY, Scene, body

PORTAL = {**BACKSTAGE, "namespace": "dev-portal"}
DATABASE = {"alertname": "DatabaseDown", "namespace": "backstage", "deployment": "postgres"}
SLOW = {"alertname": "SlowAnswers", "namespace": "backstage", "deployment": "backstage"}
AT_LEAST = 40


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


def plant_in_cluster(scene: Scene, birds: Aviary) -> None:
    """Plant in everything of the cluster that evidence, facts and before-images are made of."""
    for namespace in ("backstage", "dev-portal"):
        scene.cluster.store.mutate(DEPLOYMENTS, namespace, "backstage", partial(_hostile, birds, namespace))
    scene.cluster.put(
        [
            _object("Secret", "portal-secret", {"data": {"password": _base64(birds.weak("Secret data"))}}),
            _object("ConfigMap", "portal-config", {"data": {"app.yaml": f"token: {birds.weak('ConfigMap data')}"}}),
            _event(f"cannot reach postgres://app:{birds.weak('event message')}@db/app"),
        ]
    )


def _hostile(birds: Aviary, namespace: str, found: Json) -> Json:
    """Return a Deployment with a secret in each place that may hold one."""

    def weak(place: str) -> str:
        return birds.weak(f"{namespace}: {place}")

    applied = {
        "spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": weak("last-applied")}]}]}}}
    }
    annotations = {
        **found["metadata"].get("annotations", {}),
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps(applied),
        "kubernetes.io/change-cause": f"helm upgrade --set token={weak('change-cause')}",
        "example.com/note": birds.strong(f"{namespace}: annotation"),
    }
    template = found["spec"]["template"]
    container = {
        **template["spec"]["containers"][0],
        "env": [
            {"name": "DB_PASSWORD", "value": weak("env password")},
            {"name": "HARMLESS", "value": weak("env of a harmless name")},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "portal-secret", "key": "password"}}},
        ],
        "args": ["--db-url", f"postgres://app:{weak('argument URL')}@db/app", f"--api-key={weak('argument')}"],
        "command": ["sh", "-c", f"export TOKEN={weak('command')}; exec app"],
        "readinessProbe": {
            "httpGet": {
                "path": f"/ready?token={weak('probe path')}",
                "port": 7007,
                "httpHeaders": [{"name": "Authorization", "value": f"Basic {weak('probe header')}"}],
            }
        },
    }
    pod_annotations = {**template["metadata"].get("annotations", {}), "vault/token": weak("pod annotation")}
    return {
        **found,
        "metadata": {**found["metadata"], "annotations": annotations},
        "spec": {
            **found["spec"],
            "template": {
                "metadata": {**template["metadata"], "annotations": pod_annotations},
                "spec": {**template["spec"], "containers": [container]},
            },
        },
    }


def _object(kind: str, name: str, more: Json) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": "backstage", "name": name}, **more}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _event(message: str) -> Json:
    now = SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"kind": "Deployment", "name": "backstage", "namespace": "backstage", "apiVersion": "apps/v1"}
    more = {"involvedObject": about, "reason": "Failed", "message": message, "type": "Warning"}
    return _object("Event", "backstage.planted", {**more, "firstTimestamp": now, "lastTimestamp": now, "count": 1})


def plant_in_logs(scene: Scene, birds: Aviary) -> None:
    """Let every container print secrets, in its present run and in the one before."""
    now = SystemClock().now()
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{birds.strong('log: key')}\n-----END RSA PRIVATE KEY-----"
    lines = [
        f"connecting with password={birds.weak('log: password')}",
        f"GET /x?access_token={birds.weak('log: query')} HTTP/1.1",
        f"Authorization: Bearer {birds.weak('log: header')}",
        f"ALTER ROLE app PASSWORD '{birds.weak('log: SQL')}'",
        f"session {birds.strong('log: bare token')} opened",
        *key.split("\n"),
    ]
    before = [f"FATAL: dsn host=db user=app password={birds.weak('log of the run before')}"]
    for pod in scene.cluster.store.list(PODS):
        uid = pod["metadata"]["uid"]
        for container in pod["spec"]["containers"]:
            scene.cluster.logs.start(uid, container["name"])
            for line in before:
                scene.cluster.logs.write(uid, container["name"], now, line)
            scene.cluster.logs.start(uid, container["name"])
            for line in lines:
                scene.cluster.logs.write(uid, container["name"], now, line)


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


def alerts(birds: Aviary) -> Json:
    """Return a body whose every text holds a secret, with a bad alert among the good ones."""
    document = body([BACKSTAGE, PORTAL, DATABASE, SLOW, {"alertname": "Unknown"}, {}], SystemClock().now())
    first, second, *_, unknown, bad = document["alerts"]
    first["labels"]["instance"] = f"postgres://app:{birds.weak('label: URL')}@db:5432/app"
    first["labels"]["detail"] = f"password={birds.weak('label: password')}"
    first["labels"]["session"] = birds.strong("label: bare token")
    first["annotations"] = {
        "description": f"Authorization: Bearer {birds.weak('annotation: header')}",
        "summary": f"cannot log in, passwd: {birds.weak('annotation: password')}",
        "curl": f"curl https://example.com/x?access_token={birds.weak('annotation: query')}&a=b",
        "dsn": f"host=db user=app password='{birds.weak('annotation: DSN')}'",
        "token": birds.strong("annotation: bare token"),
        "sql": f"ALTER ROLE app PASSWORD '{birds.weak('annotation: SQL')}'",
    }
    first["generatorURL"] = f"http://prom:{birds.weak('generator: user')}@prometheus:9090/graph?g0.expr=up&g0.tab=1"
    second["generatorURL"] = f"http://prometheus:9090/graph?g0.expr=up&session={birds.weak('generator: query')}"
    second["annotations"] = {"cookie": f"Cookie: theme=dark; sid={birds.weak('annotation: cookie')}"}
    unknown["labels"]["aws"] = f"AKIA{birds.strong('label: AWS key')[:16].upper()}"
    unknown["labels"][f"token={birds.weak('name of a label')}"] = "x"
    bad["labels"] = {"detail": f"secret: {birds.weak('bad alert')}"}
    return {
        **document,
        "groupKey": f'{{}}:{{instance="http://a:{birds.weak("group key")}@b"}}',
        "externalURL": f"http://am:{birds.weak('external URL')}@alertmanager:9093",
        "commonAnnotations": {"description": f"api_key={birds.weak('common annotation')}"},
        "truncatedAlerts": 3,
    }


async def knock(scene: Scene, daemon: Daemon, birds: Aviary) -> str:
    """Send what is refused, with secrets in it; return all that was answered."""
    good = json.dumps(body([], SystemClock().now())).encode()
    tries: list[tuple[str, str, dict[str, str], bytes]] = [
        ("POST", HOOK, {"Authorization": f"Bearer {birds.strong('wrong token')}"}, good),
        ("POST", HOOK, {"Authorization": f"Basic {_base64('ada:' + birds.weak('wrong password'))}"}, good),
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


async def type_command(*words: str, **environment: str) -> str:
    """Type a command; return all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment(**environment),
    )
    said, _ = await process.communicate()
    return said.decode()


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
    said = {" ".join(words): await type_command(*words, **environment) for words in commands}
    assert any("password=[redacted]" in one for words, one in said.items() if words.startswith("explain"))
    said["exported file"] = (scene.folder / "export.jsonl").read_text()
    return said


async def start_in_vain(scene: Scene, birds: Aviary) -> dict[str, str]:
    """Start daemons whose configuration is wrong, with secrets in it; return what each said."""
    empty = {"--insecure-no-auth": "true", "--listen": "127.0.0.1:0", "--state-dir": str(scene.folder / "vain")}
    tries = {
        "mysql": {"--database-url": f"mysql://app:{birds.weak('no DSN')}@db/x"},
        "nobody": {"--database-url": f"postgresql://app:{birds.weak('DSN of nobody')}@127.0.0.1:1/x?connect_timeout=1"},
        "parameter": {"--database-url": f"postgresql://app@127.0.0.1:1/x?password={birds.weak('DSN parameter')}"},
        "notify": {"--notify-url": f"ftp://x/{birds.weak('bad notify URL')}"},
    }
    said = {}
    for name, flags in tries.items():
        words = [word for pair in {**empty, **flags}.items() for word in pair if word != "true"]
        said[f"serve: {name}"] = await type_command("serve", "--rules", str(RULES), *words)
    url = f"postgresql://app:{birds.weak('DSN of a command')}@127.0.0.1:1/x"
    said["log: nobody"] = await type_command("log", REMEDIATOR_DATABASE_URL=url)
    return said


async def stored(dsn: str) -> dict[str, str]:
    """Return every row of every table."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'remediator'")
        tables = {f"table {name}": f"SELECT to_jsonb(t)::text FROM remediator.{name} AS t" for (name,) in names}  # noqa: S608 - names of ours
        return {what: "\n".join(row[0] for row in await connection.fetch(query)) for what, query in tables.items()}
    finally:
        await connection.close()


def rules_with_secrets(folder: Path, birds: Aviary) -> Path:
    """Make a folder of rules that hold secrets in a comment and in texts, and one whose faults quote some."""
    good, broken = folder / "rules", folder / "broken"
    shutil.copytree(RULES, good)
    broken.mkdir()
    text = (good / "acceptance.yaml").read_text()
    document = yaml.safe_load(text)
    document["rules"][0]["description"] = f"Restart it. Log in with password={birds.weak('rule: description')}"
    document["rules"][0]["ladder"] = ["investigate", "restart"]
    document["rules"][-1]["ladder"] = ["investigate", {"notify": {"message": _message(birds)}}]
    (good / "acceptance.yaml").write_text(f"# token: {birds.weak('rule: comment')}\n{yaml.safe_dump(document)}")
    fault = {
        "name": f"password={birds.weak('broken rule: name')}",
        "match": [f"token={birds.weak('broken rule: match')}"],
    }
    (broken / "broken.yaml").write_text(yaml.safe_dump({"rules": [fault]}))
    return good


def _message(birds: Aviary) -> str:
    return f"look at https://ops:{birds.weak('rule: message')}@wiki/runbook"


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
    words = ("reject", f"A{asked[0].action}", "--reason", f"token: {birds.weak('reason of a no')}", "--as")
    said += await type_command(
        *words, f"ada password={birds.weak('name of a person')}", "--database-url", scene.database
    )
    shutil.copy(scene.folder / "broken" / "broken.yaml", scene.folder / "rules" / "broken.yaml")
    await scene.until_kind(EntryKind.RULES_REJECTED)
    return said


def secret_file(folder: Path, name: str, text: str) -> str:
    """Make a private file; return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def kubeconfig(scene: Scene, birds: Aviary) -> str:
    """Return a kubeconfig with a token, another user's password, and a key."""
    token = scene.cluster.server.add_user("ops", MASTERS, token=birds.strong("kubeconfig token"))
    document = scene.cluster.server.kubeconfig(token=token)
    document["users"].append(
        {"name": "other", "user": {"username": "x", "password": birds.weak("kubeconfig password")}}
    )
    document["users"].append({"name": "keyed", "user": {"client-key-data": _base64(birds.strong("kubeconfig key"))}})
    return secret_file(scene.folder, "kubeconfig", yaml.safe_dump(document))


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
        assert await daemon.stop() == 0
    outputs |= await start_in_vain(scene, birds)
    outputs |= await stored(database)
    outputs |= {"log": daemon.log.read_text(), "people": "\n".join(pager.heard)}
    outputs |= {f"file {file.name}": file.read_text() for file in daemon.state_dir.iterdir() if file.is_file()}
    outputs["requests"] = "\n".join(map(repr, scene.cluster.requests))
    outputs["server log"] = (Path(parse_qs(urlsplit(database).query)["host"][0]).parent / "server.log").read_text()
    assert len(birds.planted) >= AT_LEAST
    escaped = birds.escaped(outputs)
    assert not escaped, f"{len(escaped)} of {len(birds.planted)} secrets\n" + "\n".join(escaped)


@pytest.mark.parametrize("spelt", ["{}", "x{}y"])
def test_an_escaped_canary_is_found(spelt: str) -> None:
    """What the test above relies on: whole, half, and in base64."""
    birds = Aviary()
    for secret in (birds.weak("one"), birds.strong("two")):
        for text in (secret, secret[:12], secret[-12:], _base64(secret)):
            assert len({one.partition(" in ")[0] for one in birds.escaped({"here": spelt.format(text)})}) == 1
