"""CEL: texts to programs, and programs on plain data to plain results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from remediator.sandbox.status import ApiError

REQUEST_NAMES = ("object", "oldObject", "request")
ALL_NAMES = (*REQUEST_NAMES, "namespaceObject", "variables")
_FAILED = frozenset({"ERROR", "UNKNOWN"})
Wanted = Literal["bool", "string", "any"]


class CompileFault(Exception):
    """An expression cannot be compiled, or gives another type than it must; the text says why."""


class EvaluationFault(Exception):
    """An expression that was compiled fails on this data; the text says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """One compiled expression."""

    text: str
    _compiled: Any

    def evaluate(self, data: Mapping[str, Any]) -> Any:
        """Return the result as plain data; raises EvaluationFault.

        A name that ``data`` lacks is an error only where the expression needs it.
        """
        try:
            result = self._compiled.eval(data=dict(data))
            kind, value = result.type().name(), result.plain_value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationFault(_first_line(error)) from error
        if kind in _FAILED:
            raise EvaluationFault(str(value))
        return value


def compile_expression(text: str, names: tuple[str, ...], wanted: Wanted) -> Program:
    """Return the program of an expression that may use these names; raises CompileFault.

    ``wanted`` is what it must give. As in the API server, what is known only at run time is neither bool nor string.
    """
    environment, types = _environment(names)
    try:
        compiled = environment.compile(text)
    except RuntimeError as error:
        raise CompileFault(f"compilation failed: {_without_code(error)}") from error
    if wanted != "any" and compiled.return_type() != types[wanted]:
        raise CompileFault(f"must evaluate to {wanted}")
    return Program(text, compiled)


@cache
def _environment(names: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]  # compiled, without types
        from cel_expr_python.ext import ext_optional, ext_strings  # type: ignore[import-untyped]  # as above
    except ImportError as error:
        message = "admission policies need the package cel-expr-python: pip install 'remediator[sandbox]'"
        raise ApiError(500, message, "InternalError") from error
    variables = dict.fromkeys(names, cel.Type.DYN)
    environment = cel.NewEnv(variables=variables, extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()])
    return environment, {"bool": cel.Type.BOOL, "string": cel.Type.STRING}


def _without_code(error: Exception) -> str:
    text = str(error).removeprefix("INVALID_ARGUMENT: ")
    return text.rpartition(" [INVALID_ARGUMENT]")[0] or text


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
