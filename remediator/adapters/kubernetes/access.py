"""Where the API server is and how we prove who we are: an address, a kubeconfig, or the pod's own service account."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from remediator.adapters.kubernetes.errors import NotSentError
from remediator.model.errors import ConfigError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

_TOKEN_KEY = "BearerToken"  # noqa: S105 - the library's name for it, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """One of three ways in: ``url`` (with ``token_file``, ``ca_file``), ``in_cluster``, or ``kubeconfig``.

    ``kubeconfig`` is a path or a list of paths as in $KUBECONFIG; ``context`` names a context in it ("": the current).
    """

    url: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False


def find_access(environ: Mapping[str, str], home: Path) -> ClusterAccess:
    """Choose: $KUBECONFIG, the pod's service account, then ~/.kube/config. ConfigError if none is there."""
    named = environ.get("KUBECONFIG", "")
    if named:
        return ClusterAccess(kubeconfig=named)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return ClusterAccess(in_cluster=True)
    default = home / ".kube" / "config"
    if default.is_file():
        return ClusterAccess(kubeconfig=str(default))
    raise ConfigError(f"no cluster: set KUBECONFIG or a cluster URL, or put a kubeconfig at {default}")


def chosen_access(
    kubeconfig: Path | None, context: str, environ: Mapping[str, str], home: Path
) -> ClusterAccess | None:
    """Return the way in that an operator named, else the one that is there, else None.

    Raises ConfigError for a kubeconfig that was named and is not there.
    """
    if kubeconfig is not None:
        if not kubeconfig.is_file():
            raise ConfigError(f"--kubeconfig {kubeconfig}: there is no such file")
        return ClusterAccess(kubeconfig=str(kubeconfig), context=context)
    try:
        return find_access(environ, home)
    except ConfigError:
        return None


class Credentials:
    """The library's configuration, and how to load it again."""

    def __init__(self, access: ClusterAccess, configuration: Configuration) -> None:
        """Take a configuration that ``load_credentials`` made from ``access``."""
        self.configuration = configuration
        self._access = access
        self._loading = asyncio.Lock()

    async def authorization(self) -> str:
        """Return the value of the Authorization header, "" for none; a pod's token file is re-read each minute."""
        try:
            token = await self.configuration.get_api_key_with_prefix(_TOKEN_KEY)
        except Exception as error:  # a hook of the library: it may run a program or read a file
            raise NotSentError(
                "credentials", f"the credentials cannot be renewed: {type(error).__name__}", retryable=True
            ) from error
        return str(token or "").strip()

    async def reload(self) -> bool:
        """Load the credentials anew; tell whether the token changed, so that asking again makes sense.

        A client certificate is not renewed: the connections hold it until the process starts again.
        """
        before = self.configuration.api_key.get(_TOKEN_KEY)
        async with self._loading:
            if self.configuration.api_key.get(_TOKEN_KEY) != before:
                return True
            try:
                fresh = await _configuration(self._access)
            except ConfigError:
                return False
            self.configuration.api_key = fresh.api_key
            self.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
        return bool(fresh.api_key.get(_TOKEN_KEY) != before)


async def load_credentials(access: ClusterAccess) -> Credentials:
    """Read kubeconfig, token and certificates. ConfigError names the file and the fault."""
    return Credentials(access, await _configuration(access))


def environment_proxy(url: str) -> str:
    """Return the proxy that the environment names for this address, "" for none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return ""
    return getproxies().get(parts.scheme, "")


async def _configuration(access: ClusterAccess) -> Configuration:
    from kubernetes_asyncio.client import Configuration

    configuration = Configuration()
    if access.url:
        _from_url(access, configuration)
    elif access.in_cluster:
        _from_pod(configuration)
    else:
        await _from_kubeconfig(access, configuration)
    # A kubeconfig may name no server at all, and then the library would ask whatever it takes for a default.
    if urlsplit(configuration.host).scheme not in {"http", "https"}:
        raise ConfigError(f"{_place(access)}: the API server's address {configuration.host!r} is not a URL")
    return configuration


def _from_url(access: ClusterAccess, configuration: Configuration) -> None:
    configuration.host = access.url
    if access.ca_file is not None:
        if not access.ca_file.is_file():
            raise ConfigError(f"{access.ca_file}: the API server's CA file is not there")
        configuration.ssl_ca_cert = str(access.ca_file)
    if access.token_file is not None:
        try:
            token = access.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{access.token_file}: the token cannot be read: {type(error).__name__}") from error
        if not token or any(mark.isspace() for mark in token):
            raise ConfigError(f"{access.token_file}: must hold one token and nothing else")
        configuration.api_key[_TOKEN_KEY] = f"Bearer {token}"


def _from_pod(configuration: Configuration) -> None:
    from kubernetes_asyncio.config import ConfigException, load_incluster_config

    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's gap
    except (ConfigException, OSError) as error:
        raise ConfigError(f"the pod's service account cannot be used: {error}") from error


async def _from_kubeconfig(access: ClusterAccess, configuration: Configuration) -> None:
    from kubernetes_asyncio.config import load_kube_config

    if not _any_file(access.kubeconfig):
        raise ConfigError(f"kubeconfig {access.kubeconfig!r}: no such file")
    try:
        await load_kube_config(
            config_file=access.kubeconfig,
            context=access.context or None,
            client_configuration=configuration,
            persist_config=False,
        )
    except Exception as error:
        # The library lets through whatever a broken file causes, YAML's and the exec plugin's errors included.
        raise ConfigError(f"{_place(access)}: {type(error).__name__}: {str(error)[:200]}") from error


def _any_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def _place(access: ClusterAccess) -> str:
    if access.url:
        return "cluster URL"
    if access.in_cluster:
        return "service account"
    context = f", context {access.context!r}" if access.context else ""
    return f"kubeconfig {access.kubeconfig!r}{context}"
