"""One policy, compiled; and what it decides about one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remediator.sandbox.admission.expressions import (
    ALL_NAMES,
    REQUEST_NAMES,
    CompileFault,
    EvaluationFault,
    Program,
    compile_expression,
)
from remediator.sandbox.resources import Json

LONGEST_MESSAGE = 5 * 1024
_INVALID = "Invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """One thing that must hold."""

    program: Program
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A ValidatingAdmissionPolicy, ready to be asked. ``fails_closed``: what cannot be evaluated is a no."""

    name: str
    constraints: Json
    conditions: tuple[Program, ...]
    variables: tuple[tuple[str, Program], ...]
    validations: tuple[Validation, ...]
    fails_closed: bool


@dataclass(frozen=True, slots=True)
class Denial:
    """One no: what the client is told, and the reason that becomes the code of the answer."""

    message: str
    reason: str = _INVALID


def compile_policy(policy: Json) -> Policy:
    """Return a stored policy, compiled; raises CompileFault."""
    spec = policy["spec"]
    return Policy(
        name=policy["metadata"]["name"],
        constraints=spec.get("matchConstraints") or {},
        conditions=tuple(
            compile_expression(item["expression"], REQUEST_NAMES, "bool") for item in spec.get("matchConditions") or ()
        ),
        variables=tuple(
            (item["name"], compile_expression(item["expression"], ALL_NAMES, "any"))
            for item in spec.get("variables") or ()
        ),
        validations=tuple(_validation(item) for item in spec.get("validations") or ()),
        fails_closed=spec.get("failurePolicy", "Fail") == "Fail",
    )


def _validation(item: Json) -> Validation:
    text = item.get("messageExpression")
    return Validation(
        program=compile_expression(item["expression"], ALL_NAMES, "bool"),
        message=str(item.get("message", "")).strip(),
        message_program=compile_expression(text, ALL_NAMES, "string") if text else None,
        reason=item.get("reason") or _INVALID,
    )


def faults(spec: Json) -> Iterator[tuple[str, str, str]]:
    """Yield path, expression and fault of every expression of a policy that cannot be compiled."""
    for part, names, wanted in (
        ("matchConditions", REQUEST_NAMES, "bool"),
        ("variables", ALL_NAMES, "any"),
        ("validations", ALL_NAMES, "bool"),
    ):
        for index, item in enumerate(spec.get(part) or ()):
            yield from _fault(f"spec.{part}[{index}].expression", item.get("expression"), names, wanted)
            if item.get("messageExpression"):
                place = f"spec.{part}[{index}].messageExpression"
                yield from _fault(place, item["messageExpression"], names, "string")


def _fault(path: str, text: str | None, names: tuple[str, ...], wanted: Any) -> Iterator[tuple[str, str, str]]:
    try:
        compile_expression(text or "", names, wanted)
    except CompileFault as fault:
        yield path, text or "", str(fault)


def decide(policy: Policy, data: Mapping[str, Any]) -> list[Denial]:
    """Return every no of a policy to a request that it concerns; ``data`` are the names an expression may use."""
    try:
        if not _holds(policy.conditions, data):
            return []
    except EvaluationFault as fault:
        return [Denial(str(fault))] if policy.fails_closed else []
    everything = dict(data) | {"variables": (composed := _Composed(policy.variables, data)).values}
    found = (_judge(policy, item, everything, composed) for item in policy.validations)
    return [denial for denial in found if denial is not None]


def _holds(conditions: tuple[Program, ...], data: Mapping[str, Any]) -> bool:
    """Tell whether all conditions hold. One that is false settles it, whatever goes wrong with the others."""
    failed: EvaluationFault | None = None
    for condition in conditions:
        try:
            if condition.evaluate(data) is not True:
                return False
        except EvaluationFault as fault:
            failed = fault
    if failed is not None:
        raise failed
    return True


class _Composed:
    """The variables of a policy on one request. A faulty one matters only to the expressions that use it."""

    def __init__(self, variables: tuple[tuple[str, Program], ...], data: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self.faults: dict[str, str] = {}
        for name, program in variables:
            try:
                self.values[name] = program.evaluate({**data, "variables": self.values})
            except EvaluationFault as fault:
                self.faults[name] = f'composited variable "{name}" fails to evaluate: {self.cause(program, fault)}'

    def cause(self, program: Program, fault: EvaluationFault) -> str:
        """Return why an expression failed: because of a variable that did, where it uses such a one."""
        return next((why for name, why in self.faults.items() if f"variables.{name}" in program.text), str(fault))


def _judge(policy: Policy, item: Validation, data: Mapping[str, Any], composed: _Composed) -> Denial | None:
    try:
        if item.program.evaluate(data) is True:
            return None
    except EvaluationFault as fault:
        if not policy.fails_closed:
            return None
        return Denial(f"expression '{item.program.text}' resulted in error: {composed.cause(item.program, fault)}")
    return Denial(_message(item, data), item.reason)


def _message(item: Validation, data: Mapping[str, Any]) -> str:
    """Return what a failed validation says: its computed message where that is one line, its own, its expression."""
    if item.message_program is not None:
        try:
            said = str(item.message_program.evaluate(data)).strip()
        except EvaluationFault:
            said = ""
        if said and "\n" not in said and len(said) <= LONGEST_MESSAGE:
            return said
    return item.message or f"failed expression: {item.program.text.strip()}"
