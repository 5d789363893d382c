"""How the API says no: errors that carry the Status body which a Kubernetes API server answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.sandbox.resources import Json, Resource


class Cause(NamedTuple):
    """One fault of an object: the reason of the cause, its message and the field it is about."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """A refusal with a Status body; `reason` and `details` are left out of the body when None."""

    def __init__(
        self,
        code: int,
        message: str,
        reason: str | None = None,
        details: Json | None = None,
        metadata: Json | None = None,
    ) -> None:
        """Keep the parts of the Status; `code` is the HTTP status."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details
        self.metadata = metadata or {}

    @property
    def retry_after(self) -> int | None:
        """Return the seconds for the Retry-After header, if any."""
        return (self.details or {}).get("retryAfterSeconds")

    def body(self) -> Json:
        """Return the Status object."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason is not None:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}


class TextError(Exception):
    """A refusal whose body is plain text, as for paths that no API group owns."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the HTTP status and the text."""
        super().__init__(text)
        self.code = code
        self.text = text


def details_of(resource: Resource, name: str = "", *, kind: str | None = None, **more: object) -> Json:
    """Return the details of a Status: name, group and kind, without what is empty."""
    details: Json = {"name": name, "group": resource.storage.group, "kind": kind or resource.plural, **more}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> ApiError:
    """The request cannot be understood: 400."""
    return ApiError(400, message, "BadRequest")


def not_found(resource: Resource, name: str) -> ApiError:
    """There is no such object: 404."""
    return ApiError(404, f'{resource.storage} "{name}" not found', "NotFound", details_of(resource, name))


def no_such_resource() -> ApiError:
    """The group is served, but not this resource or version: 404 that names nothing."""
    return ApiError(404, "the server could not find the requested resource", "NotFound", {})


def method_not_allowed() -> ApiError:
    """The path exists, but not for this method: 405."""
    return ApiError(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """An object of that name is there: 409."""
    return ApiError(409, f'{resource.storage} "{name}" already exists', "AlreadyExists", details_of(resource, name))


def conflict(resource: Resource, name: str, message: str) -> ApiError:
    """The object changed since it was read: 409."""
    return ApiError(409, message, "Conflict", details_of(resource, name))


def forbidden(resource: Resource, name: str, message: str, causes: Sequence[Cause] = ()) -> ApiError:
    """The content or the moment does not allow it: 403."""
    subject = f'{resource.storage} "{name}"' if name else str(resource.storage)
    details = details_of(resource, name, causes=cause_list(causes))
    return ApiError(403, f"{subject} is forbidden: {message}", "Forbidden", details)


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> ApiError:
    """The object breaks a rule of its kind: 422, with a cause for each."""
    return invalid_kind(resource.kind, resource.storage.group, name, causes)


def invalid_kind(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """As `invalid`, for something that is no served resource (options, reviews, patches)."""
    faults = list(
        dict.fromkeys(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes)
    )
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    subject = f"{kind}.{group}" if group else kind
    details = {"name": name, "group": group, "kind": kind}
    return ApiError(
        422,
        f'{subject} "{name}" is invalid: {text}',
        "Invalid",
        {**{key: value for key, value in details.items() if value}, "causes": cause_list(causes)},
    )


def invalid_options(options: str, cause: Cause) -> ApiError:
    """A query parameter has a value that it cannot have: 422 about ListOptions, PatchOptions and so on."""
    return invalid_kind(options, "meta.k8s.io", "", [cause])


def unprocessable_patch() -> ApiError:
    """A JSON patch that cannot be applied, a failing `test` included: 422 with one fixed text."""
    return ApiError(422, "the server rejected our request due to an error in our request", "Invalid", {})


def rejected_patch(quoted: str, fault: str) -> ApiError:
    """The patched object cannot be read as its kind: 422 whose only field is `patch`."""
    return invalid_kind("", "", "", [Cause("FieldValueInvalid", f'Invalid value: "{quoted}": {fault}', "patch")])


def unsupported_media(message: str, details: Json | None = None) -> ApiError:
    """The content type is not taken here: 415."""
    return ApiError(415, message, "UnsupportedMediaType", details)


def expired(message: str, *, token: str | None = None) -> ApiError:
    """The version is older than what is kept: 410, with a fresh continue token if there is one."""
    return ApiError(410, message, "Expired", metadata={"continue": token} if token else None)


def cause_list(causes: Sequence[Cause]) -> list[Json]:
    """Return causes as they stand in a Status, without empty parts."""
    return [{key: value for key, value in cause._asdict().items() if value} for cause in causes]


def success(resource: Resource, name: str, uid: str) -> Json:
    """Return the Status that answers a delete after which nothing is left."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(resource, name, uid=uid),
    }
