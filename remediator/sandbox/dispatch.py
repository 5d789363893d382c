"""From a request to the part of the API that answers it: which right it needs, which resource, which method."""

from __future__ import annotations

from collections.abc import Callable

from remediator.sandbox import evicting, patching, podlogs, reading, scaling, writing
from remediator.sandbox.admission.gate import AdmissionGate
from remediator.sandbox.apply import apply_patch
from remediator.sandbox.auth import Authorizer, Tokens, attributes_of
from remediator.sandbox.calls import Answer, Call, Target, find_resource
from remediator.sandbox.discovery import Discovery
from remediator.sandbox.ownership import Owners
from remediator.sandbox.podlogs import LogSource
from remediator.sandbox.resources import ENDPOINTS, Json, Resource
from remediator.sandbox.reviews import REVIEWS, Reviews
from remediator.sandbox.schema import type_name
from remediator.sandbox.selectors import parse_fields
from remediator.sandbox.status import method_not_allowed, no_such_resource, not_found
from remediator.sandbox.store import Store
from remediator.sandbox.watching import Watch

_ENDPOINTS_WARNING = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_Special = Callable[[Resource, Call, Target], Answer]


class Dispatcher:
    """Answers calls out of one store."""

    def __init__(self, store: Store, tokens: Tokens, log_source: LogSource) -> None:
        """Serve `store`, with logs out of `log_source` (which may be replaced later)."""
        self.store = store
        self.log_source = log_source
        self.authorizer = Authorizer(store)
        self.gate = AdmissionGate(store)
        self._discovery = Discovery(store.catalogue)
        self._reviews = Reviews(store, tokens, self.authorizer)
        self._owners = Owners()
        store.listen(self._owners.forget)
        self._special: dict[tuple[str, str], tuple[str, _Special]] = {
            ("pods", "log"): ("GET", self._log),
            ("pods", "resize"): ("PATCH", lambda *place: patching.resize(store, *place)),
            ("pods", "eviction"): ("POST", lambda *place: evicting.evict(store, *place)),
            ("serviceaccounts", "token"): ("POST", lambda _, call, target: self._reviews.new_token(call, target)),
        }

    def answer(self, call: Call) -> Answer | Watch:
        """Check the right to it and answer; ApiError and TextError."""
        target = call.target
        if target is None:
            self.authorizer.check_path(call.user, call.path, call.method)
            return self._discovery.answer(call)
        self._authorize(call, target)
        call.check_timeout()
        if (target.group, target.plural) in REVIEWS:
            if call.method != "POST":
                raise method_not_allowed()
            return self._reviews.answer(call, target)
        resource = find_resource(self.store.catalogue, target)
        if target.subresource:
            answer = self._subresource(resource, call, target)
        elif target.name and not target.watching:
            answer = self._object(resource, call, target)
        else:
            return self._collection(resource, call, target)
        return answer

    def _note_owner(self, resource: Resource, call: Call, before: Json | None, answer: Answer) -> Answer:
        """Remember who wrote what, for the conflicts of server-side apply."""
        if not call.dry_run and isinstance(answer.body, dict) and answer.body.get("kind") == resource.kind:
            self._owners.note_update(type_name(resource), call.manager, before, answer.body)
        return answer

    def _authorize(self, call: Call, target: Target) -> None:
        field_name = None
        selector = call.query.get("fieldSelector")
        if selector and "metadata.name=" in selector:
            resource = self.store.catalogue.find(target.group, target.version, target.plural)
            field_name = parse_fields(resource, selector)[1] if resource is not None else None
        wanted = attributes_of(target, call.method, watch=call.flag("watch"), field_name=field_name)
        self.authorizer.check(call.user, wanted)

    def _object(self, resource: Resource, call: Call, target: Target) -> Answer:
        match call.method:
            case "GET" | "HEAD":
                answer = reading.get(self.store, resource, call, target)
                return _warn_of_endpoints(resource, answer)
            case "PUT":
                before = self.store.find(resource.storage, target.namespace, target.name)
                answer = writing.replace(self.store, resource, call, target)
                return self._note_owner(resource, call, before, answer)
            case "PATCH" if call.content_type == patching.APPLY:
                return apply_patch(self.store, self._owners, resource, call, target)
            case "PATCH":
                before = self.store.find(resource.storage, target.namespace, target.name)
                answer = patching.patch(self.store, resource, call, target)
                return self._note_owner(resource, call, before, answer)
            case "DELETE":
                return writing.delete(self.store, resource, call, target)
            case _:
                raise method_not_allowed()

    def _collection(self, resource: Resource, call: Call, target: Target) -> Answer | Watch:
        match call.method:
            case "GET" | "HEAD":
                if call.flag("watch") or target.watching:
                    return Watch(self.store, resource, call, target)
                answer = reading.list_objects(self.store, resource, call, target)
                return _warn_of_endpoints(resource, answer)
            case "POST" if target.namespace or not resource.namespaced:
                answer = writing.create(self.store, resource, call, target)
                return self._note_owner(resource, call, None, answer)
            case "DELETE" if "deletecollection" in resource.verbs:
                matching = reading.matching(self.store, resource, call, target.namespace)
                return writing.delete_all(self.store, resource, call, matching)
            case _:
                raise method_not_allowed()

    def _subresource(self, resource: Resource, call: Call, target: Target) -> Answer:
        name = target.subresource
        if name == "status":
            return self._status(resource, call, target)
        if name == "scale" and resource.scale:
            return self._scale(resource, call, target)
        special = self._special.get((resource.plural, name))
        if special is None:
            raise no_such_resource()
        method, answer = special
        if call.method != method:
            raise method_not_allowed()
        return answer(resource, call, target)

    def _status(self, resource: Resource, call: Call, target: Target) -> Answer:
        if resource.custom and not resource.status:
            raise not_found(resource, target.name)
        if not resource.status:
            raise no_such_resource()
        if call.method in {"POST", "DELETE"}:
            raise method_not_allowed()
        return self._object(resource, call, target)

    def _scale(self, resource: Resource, call: Call, target: Target) -> Answer:
        match call.method:
            case "GET" | "HEAD":
                return scaling.get_scale(self.store, resource, target)
            case "PUT":
                return scaling.replace_scale(self.store, resource, call, target)
            case "PATCH":
                return scaling.patch_scale(self.store, resource, call, target)
            case _:
                raise method_not_allowed()

    def _log(self, resource: Resource, call: Call, target: Target) -> Answer:
        return podlogs.read_log(self.store, self.log_source, resource, call, target)


def _warn_of_endpoints(resource: Resource, answer: Answer) -> Answer:
    if resource.storage == ENDPOINTS:
        answer.warnings.append(_ENDPOINTS_WARNING)
    return answer
