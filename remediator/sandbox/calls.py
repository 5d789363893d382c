"""One request as the API sees it: who asks, for which object, with which options, and what the answer is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from aiohttp import web

from remediator.sandbox.resources import Catalogue, Json, Resource
from remediator.sandbox.status import ApiError, Cause, TextError, bad_request, invalid_options, no_such_resource

_TRUE = {"true", "True", "1", "t", "T", "TRUE"}
_DURATION = re.compile(r"^([0-9]+(\.[0-9]*)?(ns|us|ms|s|m|h))+$")
_MIN_RESOURCE_SEGMENTS = 2
_WORDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


@dataclass(frozen=True, slots=True)
class User:
    """Who sent a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class Target(NamedTuple):
    """The object or collection that a path names, whether or not it is served."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str
    watching: bool


class Gate(Protocol):
    """What every write must pass before it is stored."""

    def __call__(self, call: Call, resource: Resource, new: Json | None, old: Json | None) -> None:
        """Look at the object as it would be (None: deleted) and as it is (None: not there); ApiError refuses it."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request after authentication; `target` is None for paths outside of the API groups' resources.

    `warned` takes what is to be said in Warning headers besides the warnings of the answer.
    """

    http: web.Request
    method: str
    path: str
    query: Mapping[str, str]
    user: User
    body: bytes
    target: Target | None
    gate: Gate | None = None
    warned: list[str] = field(default_factory=list)

    def admit(self, resource: Resource) -> Callable[[Json | None, Json | None], None] | None:
        """Return what this request's write of that resource must pass; None: nothing stands in its way."""
        return partial(self.gate, self, resource) if self.gate is not None else None

    @property
    def content_type(self) -> str:
        """Return the media type of the body, without parameters; "" when none was given."""
        return self.http.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def accept(self) -> str:
        """Return the Accept header."""
        return self.http.headers.get("Accept", "")

    @property
    def manager(self) -> str:
        """Return the field manager: the parameter, else the first word of the User-Agent."""
        return self.query.get("fieldManager") or self.http.headers.get("User-Agent", "unknown").partition("/")[0]

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter; absent is False."""
        return self.query.get(name, "") in _TRUE

    def number(self, name: str) -> int | None:
        """Return a whole number from the query, None when absent; ApiError 400 when it is none."""
        text = self.query.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def check_timeout(self) -> None:
        """Refuse (ApiError 400) a timeout that is no duration; this server is quicker than any."""
        text = self.query.get("timeout")
        if text and not _DURATION.match(text):
            message = f'invalid timeout specified in the request URL - time: invalid duration "{text}"'
            raise bad_request(message)

    @property
    def dry_run(self) -> bool:
        """Tell whether nothing is to be stored; ApiError 422 for any value but All."""
        text = self.query.get("dryRun", "")
        if text in {"", "All"}:
            return text == "All"
        message = f'Unsupported value: ["{text}"]: supported values: "All"'
        raise invalid_options(_WORDS[self.method], Cause("FieldValueNotSupported", message, "dryRun"))

    @property
    def field_validation(self) -> str:
        """Return Strict, Warn or Ignore; ApiError 422 for anything else."""
        text = self.query.get("fieldValidation", "")
        if text in {"", "Ignore", "Strict", "Warn"}:
            return text or "Warn"
        message = f'Unsupported value: "{text}": supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid_options(_WORDS[self.method], Cause("FieldValueNotSupported", message, "fieldValidation"))


@dataclass(slots=True)
class Answer:
    """What goes back: a JSON document or text, with the headers that matter."""

    body: Json | str
    status: int = 200
    content_type: str = "application/json"
    warnings: list[str] = field(default_factory=list)
    retry_after: int | None = None


def parse_path(path: str) -> Target | None:
    """Return what a path names, or None when it lies outside of /api and /apis or names no resource."""
    parts = [part for part in path.split("/") if part]
    if len(parts) > _MIN_RESOURCE_SEGMENTS and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) > _MIN_RESOURCE_SEGMENTS + 1 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watching = rest[0] == "watch" and len(rest) > 1
    if watching:
        rest = rest[1:]
    namespace = ""
    # /namespaces/x is an object, /namespaces/x/status its subresource, /namespaces/x/pods a collection within it.
    if rest[0] == "namespaces" and len(rest) > _MIN_RESOURCE_SEGMENTS and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    return Target(group, version, rest[0], namespace, name, subresource, watching)


def find_resource(catalogue: Catalogue, target: Target) -> Resource:
    """Return the resource that a target names; TextError for an unknown group, ApiError for the rest of 404."""
    resource = catalogue.find(target.group, target.version, target.plural)
    if resource is None:
        if all(group != target.group for group, _ in catalogue.groups):
            raise TextError(404, "404 page not found\n")
        raise no_such_resource()
    if target.namespace and not resource.namespaced:
        raise no_such_resource()
    return resource


def parse_version(text: str) -> int:
    """Return a resourceVersion as a number, 0 for ""; ApiError 500 when it is none, as the API server has it."""
    if not text:
        return 0
    if not text.isdecimal():
        raise ApiError(
            500, f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)
