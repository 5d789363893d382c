"""The rules themselves: pure functions from a parsed file to its faults, each ``(line, what is wrong)``."""

import ast
import re
from collections.abc import Iterator

MODULE_LINES = 400
FUNCTION_LINES = 70
#: Names that say nothing about what is inside.
EMPTY_NAMES = frozenset({"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})
#: A test proves something where one of these is in it: assert, or a call whose name says that it asserts.
PROVES = ("assert", "check", "expect", "raises", "verify", "warns", "fail")

Fault = tuple[int, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_size(module: ast.Module, lines: int) -> Iterator[Fault]:
    """A module that does not fit into a head."""
    if lines > MODULE_LINES:
        yield 1, f"{lines} lines, at most {MODULE_LINES}"
    for function in functions(module):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES:
            yield function.lineno, f"{function.name} has {length} lines, at most {FUNCTION_LINES}"


def functions(module: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tests(module: ast.Module) -> Iterator[Function]:
    """Every test that pytest would collect: functions and methods of Test classes."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (inner for inner in functions(node) if inner.name.startswith("test_"))


def docstrings(module: ast.Module) -> Iterator[Fault]:
    """A module without a docstring, and a test without one."""
    if module.body and not ast.get_docstring(module):
        yield 1, "the module has no docstring"
    for test in tests(module):
        if not ast.get_docstring(test):
            yield test.lineno, f"{test.name} has no docstring"


def proofs(module: ast.Module) -> Iterator[Fault]:
    """A test that cannot fail because it asserts nothing, neither itself nor by a function of its own module."""
    proven = {function.name for function in functions(module) if _asserts(function)}
    for test in tests(module):
        if not (_asserts(test) or proven & {_name(call.func) for call in ast.walk(test) if isinstance(call, ast.Call)}):
            yield test.lineno, f"{test.name} asserts nothing"


def _asserts(function: Function) -> bool:
    """Whether a function holds an assertion, or calls what says in its name that it asserts."""
    names = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(function)}
    return any(isinstance(node, ast.Assert) for node in ast.walk(function)) or any(
        word in name.lower() for name in names if isinstance(name, str) for word in PROVES
    )


def unfinished(module: ast.Module) -> Iterator[Fault]:
    """Work that is promised and not done."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield node.lineno, "NotImplementedError"


def swallowed(module: ast.Module) -> Iterator[Fault]:
    """An error that vanishes without a word."""
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler) and all(_does_nothing(statement) for statement in node.body):
            yield node.lineno, "an exception is swallowed without a word"
        if isinstance(node, ast.Call) and _name(node.func).endswith("suppress"):
            broad = {_name(argument) for argument in node.args} & {"Exception", "BaseException"}
            if broad:
                yield node.lineno, f"suppress({', '.join(sorted(broad))}) swallows everything"


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is pass, ``...`` or a bare string."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _name(node: ast.expr) -> str:
    """The dotted name of an expression, or nothing."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def doubles(module: ast.Module) -> Iterator[Fault]:
    """Mocks, and our own code replaced while a test runs."""
    ours = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [alias.name for alias in node.names]
            if any(f"{origin}.{name}".lstrip(".").startswith("unittest.mock") for name in names):
                yield node.lineno, "unittest.mock"
            if origin.startswith("remediator") or any(name.startswith("remediator") for name in names):
                ours |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and _name(call.func) in {"monkeypatch.setattr", "monkeypatch.setitem"}:
            target = call.args[0] if call.args else call
            text = target.value if isinstance(target, ast.Constant) else ""
            root = _name(target).partition(".")[0]
            if root in ours or (isinstance(text, str) and text.startswith("remediator")):
                yield call.lineno, "our own code is patched: give it a real part or a contract-tested fake"


def sleeps(module: ast.Module) -> Iterator[Fault]:
    """A unit test that waits for real time to pass. A poll in a while loop waits for a condition and is left alone."""
    polls = {node for loop in ast.walk(module) if isinstance(loop, ast.While) for node in ast.walk(loop)}
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and _name(node.func) in {"time.sleep", "asyncio.sleep"} and node not in polls:
            wait = node.args[0] if node.args else None
            if not (isinstance(wait, ast.Constant) and wait.value == 0):
                yield node.lineno, "a unit test sleeps: let it move the clock by hand"


def sql_strings(module: ast.Module) -> Iterator[Fault]:
    """SQL outside .sql files."""
    looks = re.compile(
        r"^\s*(SELECT\s+\S+.*\bFROM\b|INSERT\s+INTO\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b"
        r"|(CREATE|DROP|ALTER|TRUNCATE)\s+(TABLE|INDEX|SCHEMA|ROLE|VIEW|FUNCTION)\b)",
        re.DOTALL,
    )
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and looks.match(node.value):
            yield node.lineno, f"SQL belongs into a .sql file: {node.value.strip()[:40]}"


def suppressions(text: str) -> Iterator[Fault]:
    """A check that is switched off without saying why, on its line or in a comment on the line above."""
    pattern = re.compile(
        r"#\s*(?P<what>noqa|type: ignore|pragma: no cover)(:?\s*[A-Z]+\d+,?|\[[\w\-, ]+\])*(?P<rest>.*)$"
    )
    above = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = pattern.search(line)
        if found and not re.search(r"[-#]\s*\w", found["rest"]) and not above.lstrip().startswith("# "):
            yield number, f"{found['what']} without a reason (write it behind a dash)"
        above = line


def leftovers(text: str) -> Iterator[Fault]:
    """Notes to oneself."""
    pattern = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield number, f"{found[0]}: finish it, or put it where work is planned"


def foreign_words(text: str, words: re.Pattern[str]) -> Iterator[Fault]:
    """Words that are true on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := words.search(line):
            yield number, f"{found[0]!r} belongs to one machine, not to the project"
