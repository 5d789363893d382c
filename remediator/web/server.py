"""The listening server: start, the port it got, and a stop that lets work in hand finish."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass

from aiohttp import web

from remediator.model.errors import ConfigError
from remediator.web.app import App
from remediator.web.door import Door

_LINGER_S = 2.0
_BACKLOG = 1024
_FORCED_S = 1.0
_KEEP_ALIVE_S = 3600.0
"""Longer than the door's own deadlines, which are the ones that count."""


@dataclass(frozen=True, slots=True)
class ListenAt:
    """Where to listen; port 0 lets the system choose. ``tls`` None: plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class WebServer:
    """Serves one application at one address."""

    def __init__(self, app: App, door: Door, at: ListenAt) -> None:
        """Be ready to start. The door has been made with the same TLS context."""
        self.app = app
        self.door = door
        self._at = at
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None
        self.port = at.port

    @property
    def url(self) -> str:
        """Return the address as a client would write it."""
        host = f"[{self._at.host}]" if ":" in self._at.host else self._at.host
        return f"{'https' if self._at.tls else 'http'}://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return self.door.connections

    async def start(self) -> None:
        """Listen. Raises ConfigError that names the flag where the address cannot be had."""
        http = web.Server(
            self.app.handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGER_S,
            max_headers=64,
        )
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self.door.serve(http), self._at.host, self._at.port, backlog=_BACKLOG
            )
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--listen {self._at.host}:{self._at.port}: {_why(error)}") from error
        self._http = http
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self, drain_s: float) -> None:
        """Take no more connections, let requests in hand finish for up to ``drain_s`` seconds, close the rest."""
        if self._server is None or self._http is None:
            return
        self._server.close()
        http, self._http, self._server = self._http, None, None
        await self.door.drain(drain_s)
        self.door.close()
        http.pre_shutdown()
        await http.shutdown(_FORCED_S)


def _why(error: OSError | OverflowError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such address on this machine; give an IP address or a name that resolves"
    code = error.errno if isinstance(error, OSError) else None
    reasons = {
        errno.EADDRINUSE: "the port is in use; stop what listens there, or choose another (0: any free one)",
        errno.EADDRNOTAVAIL: "no interface of this machine has this address",
        errno.EACCES: "not permitted; choose a port above 1023",
    }
    return reasons.get(code or 0, str(error))
