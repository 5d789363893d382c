"""Who may do what: bearer tokens to users, and the rules of Role and RoleBinding objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from remediator.sandbox.calls import Target, User
from remediator.sandbox.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    GroupResource,
    Json,
)
from remediator.sandbox.status import ApiError
from remediator.sandbox.store import Store

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
OPEN_PATHS = ("/version", "/livez", "/readyz", "/healthz")
_DISCOVERY = ("/api", "/apis", "/openapi", "/version")
SELF_RULES: tuple[Json, ...] = (
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Attributes(NamedTuple):
    """What is asked for, in the words of RBAC."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        """Return the resource with its subresource, as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Tokens:
    """The bearer tokens that are known."""

    def __init__(self) -> None:
        """Begin with none."""
        self._users: dict[str, User] = {}

    def add(self, token: str, user: User) -> None:
        """Let `token` stand for `user`, who becomes an authenticated one."""
        groups = user.groups if AUTHENTICATED in user.groups else (*user.groups, AUTHENTICATED)
        self._users[token] = User(user.name, groups, user.uid)

    def revoke(self, token: str) -> None:
        """Forget a token; an unknown one is no error."""
        self._users.pop(token, None)

    def find(self, token: str) -> User | None:
        """Return whose token it is, or None."""
        return self._users.get(token)

    def authenticate(self, header: str | None) -> User:
        """Return who sent an Authorization header; none is anonymous, an unknown token ApiError 401."""
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Return the user that a ServiceAccount is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def attributes_of(target: Target, method: str, *, watch: bool, field_name: str | None = None) -> Attributes:
    """Return what a request asks for; `field_name` is the object that a field selector names."""
    if method == "DELETE":
        verb = "delete" if target.name else "deletecollection"
    elif method in _VERBS:
        verb = _VERBS[method]
    elif target.name:
        verb = "get"
    else:
        verb = "watch" if watch or target.watching else "list"
    return Attributes(
        verb, target.group, target.plural, target.subresource, target.namespace, target.name or field_name or ""
    )


class Authorizer:
    """Decides by the Role, ClusterRole and binding objects of the store."""

    def __init__(self, store: Store) -> None:
        """Read rules from `store` at each question, so that a changed Role holds at once."""
        self._store = store

    def check_path(self, user: User, path: str, method: str) -> None:
        """Refuse (ApiError 403) a path outside of the resources to those who may not see it."""
        if MASTERS in user.groups or path.startswith(OPEN_PATHS):
            return
        if AUTHENTICATED in user.groups and path.startswith(_DISCOVERY):
            return
        message = f'forbidden: User "{user.name}" cannot {method.lower()} path "{path}"'
        raise ApiError(403, message, "Forbidden", {})

    def check(self, user: User, wanted: Attributes) -> None:
        """Refuse (ApiError 403) what no rule allows."""
        if MASTERS in user.groups or self.allowed(user, wanted) is not None:
            return
        kind = str(GroupResource(wanted.group, wanted.resource))
        subject = f'{kind} "{wanted.name}"' if wanted.name else kind
        where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
        message = (
            f'{subject} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" '
            f'in API group "{wanted.group}" {where}'
        )
        details = {"name": wanted.name, "group": wanted.group, "kind": wanted.resource}
        raise ApiError(403, message, "Forbidden", {key: value for key, value in details.items() if value})

    def allowed(self, user: User, wanted: Attributes) -> str | None:
        """Return why it is allowed, or None when it is not."""
        if MASTERS in user.groups:
            return ""
        if AUTHENTICATED in user.groups and any(_covers(rule, wanted) for rule in SELF_RULES):
            return ""
        for reason, rule in self.rules(user, wanted.namespace):
            if _covers(rule, wanted):
                return reason
        return None

    def rules(self, user: User, namespace: str) -> Iterator[tuple[str, Json]]:
        """Yield the rules that hold for a user there, each with the reason that names its binding."""
        for binding in self._store.list(CLUSTER_ROLE_BINDINGS):
            yield from self._bound(user, binding, "")
        if namespace:
            for binding in self._store.list(ROLE_BINDINGS, namespace):
                yield from self._bound(user, binding, namespace)

    def _bound(self, user: User, binding: Json, namespace: str) -> Iterator[tuple[str, Json]]:
        subject = next((item for item in binding.get("subjects") or () if _is_subject(user, item)), None)
        if subject is None:
            return
        reference = binding["roleRef"]
        where = namespace if reference["kind"] == "Role" else ""
        role = self._store.find(ROLES if where else CLUSTER_ROLES, where, reference["name"])
        name = binding["metadata"]["name"]
        place = f"{name}/{namespace}" if namespace else name
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        whom = f"{subject['name']}/{subject['namespace']}" if subject.get("namespace") else subject["name"]
        reason = (
            f'RBAC: allowed by {kind} "{place}" of {reference["kind"]} "{reference["name"]}" '
            f'to {subject["kind"]} "{whom}"'
        )
        for rule in (role or {}).get("rules") or ():
            yield reason, rule


def _is_subject(user: User, subject: Json) -> bool:
    match subject.get("kind"):
        case "ServiceAccount":
            return user.name == f"system:serviceaccount:{subject.get('namespace', '')}:{subject.get('name')}"
        case "User":
            return user.name == subject.get("name")
        case "Group":
            return subject.get("name") in user.groups
        case _:
            return False


def _covers(rule: Json, wanted: Attributes) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        _among(wanted.verb, rule.get("verbs"))
        and _among(wanted.group, rule.get("apiGroups"))
        and (_among(wanted.full_resource, rule.get("resources")) or f"*/{wanted.subresource}" in rule["resources"])
        and (not names or wanted.name in names)
    )


def _among(value: str, values: list[str] | None) -> bool:
    return values is not None and (value in values or "*" in values)
