"""Reviews: may I, what may I, who am I, whose token is this; and new tokens for ServiceAccounts."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from remediator.sandbox.auth import MASTERS, SELF_RULES, Attributes, Authorizer, Tokens, service_account
from remediator.sandbox.calls import Answer, Call, Target, User
from remediator.sandbox.clock import timestamp
from remediator.sandbox.decoding import parse_json
from remediator.sandbox.resources import SERVICE_ACCOUNTS, Json
from remediator.sandbox.status import ApiError, bad_request, invalid_kind, not_found
from remediator.sandbox.store import Store
from remediator.sandbox.validation.faults import bad

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
DEFAULT_TOKEN_SECONDS = 3600
_MIN_TOKEN_SECONDS = 600
_OPEN_RULES: tuple[Json, ...] = (
    {"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi"]},
    {"verbs": ["get"], "nonResourceURLs": ["/openapi/*", "/readyz", "/version", "/version/"]},
)
REVIEWS = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
}


class Reviews:
    """Answers the review kinds, which are created but never stored."""

    def __init__(self, store: Store, tokens: Tokens, authorizer: Authorizer) -> None:
        """Answer out of these tokens and rules."""
        self._store = store
        self._tokens = tokens
        self._authorizer = authorizer

    def answer(self, call: Call, target: Target) -> Answer:
        """Answer a POST of a review: 201 with its status; ApiError 400 and 422."""
        review = self._read(call)
        spec = review.get("spec") or {}
        match target.plural:
            case "selfsubjectaccessreviews":
                status = self._access(call.user, spec)
            case "subjectaccessreviews":
                status = self._access(_named_user(spec), spec)
            case "selfsubjectrulesreviews":
                return Answer({**review, "spec": {}, "status": self._rules(call.user, spec)}, 201)
            case "tokenreviews":
                status = self._token(spec)
            case _:
                return Answer(self._myself(call, review), 201)
        return Answer({**review, "metadata": review.get("metadata") or {}, "status": status}, 201)

    @staticmethod
    def _read(call: Call) -> Json:
        try:
            review = parse_json(call.body, find_duplicates=False).value
        except ValueError as error:
            raise bad_request(f"json parse error: {error}") from None
        if not isinstance(review, dict) or not isinstance(review.get("spec") or {}, dict):
            raise bad_request("a review is an object with a spec")
        return {**review, "metadata": review.get("metadata") or {}}

    def _access(self, user: User, spec: Json) -> Json:
        asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (asked is None) == (path is None):
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise invalid_kind("", "authorization.k8s.io", "", [bad("spec.resourceAttributes", None, why)])
        if asked is None:
            return self._path_access(user, path or {})
        keys = ("verb", "group", "resource", "subresource", "namespace", "name")
        reason = self._authorizer.allowed(user, Attributes(*(str(asked.get(key) or "") for key in keys)))
        if reason is None:
            return {"allowed": False}
        return {"allowed": True, "reason": reason} if reason else {"allowed": True}

    def _path_access(self, user: User, asked: Json) -> Json:
        try:
            self._authorizer.check_path(user, str(asked.get("path", "")), str(asked.get("verb", "")))
        except ApiError:
            return {"allowed": False}
        return {"allowed": True}

    def _rules(self, user: User, spec: Json) -> Json:
        namespace = spec.get("namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        own = [rule for _, rule in self._authorizer.rules(user, namespace)]
        if MASTERS in user.groups:
            own.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        rules = {"resourceRules": [*SELF_RULES, *own], "nonResourceRules": list(_OPEN_RULES)}
        return {**rules, "incomplete": False}

    def _token(self, spec: Json) -> Json:
        user = self._tokens.find(str(spec.get("token", "")))
        audiences = spec.get("audiences") or [AUDIENCE]
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        if AUDIENCE not in audiences:
            given = msgspec.json.encode(audiences).decode()
            text = f'token audiences ["{AUDIENCE}"] is invalid for the target audiences {given}'
            return {"user": {}, "error": f"[invalid bearer token, {text}]"}
        return {"authenticated": True, "user": _user_info(user), "audiences": [AUDIENCE]}

    def _myself(self, call: Call, review: Json) -> Json:
        metadata = {"creationTimestamp": timestamp(self._store.clock.now())}
        return {**review, "metadata": metadata, "status": {"userInfo": _user_info(call.user)}}

    def new_token(self, call: Call, target: Target) -> Answer:
        """Answer a TokenRequest for a ServiceAccount: 201 with a token that is good at once; ApiError 404, 422."""
        request = self._read(call)
        account = self._store.find(SERVICE_ACCOUNTS, target.namespace, target.name)
        if account is None:
            raise not_found(self._store.catalogue.stored(SERVICE_ACCOUNTS), target.name)
        seconds = request["spec"].get("expirationSeconds", DEFAULT_TOKEN_SECONDS)
        if seconds < _MIN_TOKEN_SECONDS:
            cause = bad("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
            raise invalid_kind("TokenRequest", "authentication.k8s.io", "", [cause])
        admit = call.admit(self._store.catalogue.stored(SERVICE_ACCOUNTS))
        if admit is not None:
            admit(request, None)
        token = self._store.ids.uid()
        uid = account["metadata"]["uid"]
        self._tokens.add(token, service_account(target.namespace, target.name, uid))
        now = self._store.clock.now()
        body = {
            **request,
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "uid": uid,
                "creationTimestamp": timestamp(now),
            },
            "spec": {"audiences": [AUDIENCE], "expirationSeconds": seconds, "boundObjectRef": None},
            "status": {"token": token, "expirationTimestamp": timestamp(now + timedelta(seconds=seconds))},
        }
        return Answer(body, 201)


def _named_user(spec: Json) -> User:
    name = str(spec.get("user", ""))
    groups = tuple(spec.get("groups") or ())
    prefix, _, rest = name.partition("system:serviceaccount:")
    if not prefix and rest.count(":") == 1:
        namespace, account = rest.split(":")
        return service_account(namespace, account)
    return User(name, groups)


def _user_info(user: User) -> Json:
    info: Json = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {key: value for key, value in info.items() if value}
