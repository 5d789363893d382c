"""Looks at the cluster, for checks: whole lists page by page, one object, the end of a log. Never Secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.logs import LogSource, read_log
from remediator.adapters.kubernetes.names import core_path, group_path, is_name, is_namespace
from remediator.adapters.kubernetes.summaries import dig, items_of
from remediator.model.errors import ClusterError
from remediator.model.look import Objects, PodLog, Seen, Unseen

PAGE = 500
MOST_ITEMS = 10_000
HIDDEN = frozenset({"secrets"})
"""What nobody looks at for a report."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KubernetesLooker:
    """Answers looks at the cluster (ports.looking.Looker, as far as it goes): pages of ``page``, ``most`` in all."""

    client: KubeClient
    page: int = PAGE
    most: int = MOST_ITEMS

    async def look(self, look: Objects | PodLog) -> Seen | Unseen:
        """See Looker."""
        refusal = _refused(look)
        if refusal:
            return Unseen(reason="refused", message=refusal)
        try:
            return await self._log(look) if isinstance(look, PodLog) else await self._objects(look)
        except ClusterError as error:
            return Unseen(reason=error.reason, message=_advice(look, error))

    async def _log(self, look: PodLog) -> Seen:
        source = LogSource(pod=look.pod, container=look.container, previous=look.previous)
        text, cut = await read_log(self.client, look.namespace, source, look.lines)
        return Seen(text=text, cut=cut)

    async def _objects(self, look: Objects) -> Seen:
        path = _path(look)
        if look.name:
            return Seen(items=(await self.client.read(path, Json),))
        query = {"limit": str(self.page)} | ({"labelSelector": look.labels} if look.labels else {})
        items: list[Json] = []
        while True:
            page = await self.client.read(path, Json, query)
            items += items_of(page)
            following = dig(page, "metadata", "continue")
            if not following or len(items) >= self.most:
                return Seen(items=tuple(items[: self.most]), cut=bool(following) or len(items) > self.most)
            query["continue"] = str(following)


def _refused(look: Objects | PodLog) -> str:
    """Return why a look is not ours, or names nothing that Kubernetes could have; "" where it is a fair one."""
    if isinstance(look, PodLog):
        fair = is_namespace(look.namespace) and is_name(look.pod) and is_name(look.container)
    else:
        words = (look.resource, look.version, *look.group.split("."))
        fair = all(is_name(word) for word in words if word) and bool(look.resource and look.version)
        fair = fair and look.namespace in {"", look.namespace if is_namespace(look.namespace) else ""}
        fair = fair and (not look.name or is_name(look.name))
        if look.resource in HIDDEN:
            return f"{look.resource} are not looked at"
    return "" if fair else f"{look} is not a name that Kubernetes allows"


def _path(look: Objects) -> str:
    if look.namespace:
        if look.group:
            return group_path(f"{look.group}/{look.version}", look.namespace, look.resource, look.name)
        return core_path(look.namespace, look.resource, look.name)
    root = f"/apis/{look.group}/{look.version}" if look.group else f"/api/{look.version}"
    return f"{root}/{look.resource}" + (f"/{look.name}" if look.name else "")


def _advice(look: Objects | PodLog, error: ClusterError) -> str:
    if error.reason == "forbidden":
        what = "get pods/log" if isinstance(look, PodLog) else f"{'get' if look.name else 'list'} {look.resource}"
        where = f" in {look.namespace}" if look.namespace else " in the cluster"
        return f"let remediator {what}{where}"
    return error.message
