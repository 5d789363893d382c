"""The sandbox cluster's API server: one aiohttp server over one store, with its users and its request log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from remediator.sandbox.api import MAX_BODY_BYTES, TOKEN_PATH, Api, Middleware
from remediator.sandbox.auth import MASTERS, Tokens, service_account
from remediator.sandbox.calls import User
from remediator.sandbox.clock import Clock, Ids
from remediator.sandbox.podlogs import LogSource, NoLogs
from remediator.sandbox.requestlog import RequestLog
from remediator.sandbox.resources import NAMESPACES, Catalogue, Json
from remediator.sandbox.store import Store

_SHUTDOWN_SECONDS = 2.0
SYSTEM_NAMESPACES = ("default", "kube-system")


class SandboxServer:
    """A Kubernetes API on loopback.

    `store` is the cluster's state (controllers work on it directly), `requests` everything that was asked,
    `tokens` who may ask, `middlewares` what stands before the API (outermost first; change it at any time).
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        catalogue: Catalogue | None = None,
        log_source: LogSource | None = None,
    ) -> None:
        """Serve `store`, or a new one made of `clock`, `ids` and `catalogue`."""
        self.store = store or Store(clock=clock, ids=ids, catalogue=catalogue)
        self.tokens = Tokens()
        self.admin_token = self.add_user("admin", MASTERS)
        self._api = Api(self.store, self.tokens, log_source or NoLogs())
        self._runner: web.AppRunner | None = None
        self.url = ""
        for name in SYSTEM_NAMESPACES:
            self.add_namespace(name)

    @property
    def requests(self) -> RequestLog:
        """Return the log of what was asked."""
        return self._api.requests

    @property
    def middlewares(self) -> list[Middleware]:
        """Return the list of what stands before the API, outermost first."""
        return self._api.middlewares

    @property
    def log_source(self) -> LogSource:
        """Return where the log subresource gets its lines."""
        return self._api.dispatcher.log_source

    @log_source.setter
    def log_source(self, source: LogSource) -> None:
        self._api.dispatcher.log_source = source

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen and return the URL; port 0 takes any free one. OSError when the port is in use."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._api.handle)
        # Cancelled with its client, so that a watch whose reader is gone does not wait for its timeout.
        runner = web.AppRunner(
            application, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound_host, bound_port = runner.addresses[0][:2]
        self.url = f"http://{bound_host}:{bound_port}"
        return self.url

    async def stop(self) -> None:
        """End all watches and stop listening; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._api.close_watches()
            await runner.cleanup()

    def add_user(self, name: str, *groups: str, token: str | None = None) -> str:
        """Let a user in and return the bearer token that stands for it."""
        token = token or self.store.ids.uid()
        self.tokens.add(token, User(name, groups))
        return token

    def add_service_account(self, namespace: str, name: str, *, uid: str = "", token: str | None = None) -> str:
        """Let a ServiceAccount in and return its bearer token; what it may do is up to Role and RoleBinding objects."""
        token = token or self.store.ids.uid()
        self.tokens.add(token, service_account(namespace, name, uid))
        return token

    def add_namespace(self, name: str, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Make a namespace, active at once; one that is there already stays as it is."""
        if self.store.find(NAMESPACES, "", name) is None:
            namespace: Json = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **dict(labels)}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }
            self.store.create(NAMESPACES, namespace)

    def kubeconfig(self, url: str | None = None, *, token: str | None = None, namespace: str = "default") -> Json:
        """Return a kubeconfig for this server (of the admin, unless another token is given).

        The token stands in the server's address too, because kubectl sends none over plain HTTP.
        """
        token = token or self.admin_token
        address = f"{url or self.url}{TOKEN_PATH}{token}"
        context = {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": address}}],
            "users": [{"name": "sandbox", "user": {"token": token}}],
            "contexts": [{"name": "sandbox", "context": context}],
            "current-context": "sandbox",
        }
        return config

    def write_kubeconfig(self, path: Path, *, token: str | None = None, namespace: str = "default") -> None:
        """Write the kubeconfig to a file that only its owner may read."""
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.kubeconfig(token=token, namespace=namespace)), encoding="utf-8")
