"""Where secrets are planted: in a cluster, in alerts, in rule files, in files of credentials."""

from __future__ import annotations

import base64
import json
import shutil
from functools import partial
from pathlib import Path

import yaml

from remediator.adapters.clock import SystemClock
from remediator.sandbox.auth import MASTERS
from remediator.sandbox.resources import DEPLOYMENTS, PODS, Json
from tests.acceptance.canaries import Aviary
from tests.acceptance.daemon import RULES
from tests.acceptance.scene import BACKSTAGE, Scene, body

PORTAL = {**BACKSTAGE, "namespace": "dev-portal"}
DATABASE = {"alertname": "DatabaseDown", "namespace": "backstage", "deployment": "postgres"}
SLOW = {"alertname": "SlowAnswers", "namespace": "backstage", "deployment": "backstage"}


def plant_in_cluster(scene: Scene, birds: Aviary) -> None:
    """Plant in everything of the cluster that evidence, facts and before-images are made of."""
    for namespace in ("backstage", "dev-portal"):
        scene.cluster.store.mutate(DEPLOYMENTS, namespace, "backstage", partial(_hostile, birds, namespace))
    scene.cluster.put(
        [
            _object("Secret", "portal-secret", {"data": {"password": in_base64(birds.weak("Secret data"))}}),
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


def in_base64(text: str) -> str:
    """Return a text as Secrets and headers spell it."""
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
    document["users"].append({"name": "keyed", "user": {"client-key-data": in_base64(birds.strong("kubeconfig key"))}})
    return secret_file(scene.folder, "kubeconfig", yaml.safe_dump(document))
