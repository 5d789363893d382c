"""What documents name in backticks and code blocks, and whether it exists."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture import source

SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")
FOLDERS = ("remediator", "rules", "tests", "docs", "bench", "helm", ".ci")
PATH = re.compile(rf"^({'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*$")
DOTTED = re.compile(r"^remediator(\.\w+)+(\(\))?$")
METRIC = re.compile(r"^remediator_[a-z0-9_]+$")
MAKE = re.compile(r"^\s*(?:\$ )?make ([a-z]+)\b")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?remediator ([a-z][a-z-]*)\b(.*)$")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
TABLE = re.compile(r"CREATE (?:TABLE|SEQUENCE|VIEW|ROLE)(?: IF NOT EXISTS)? (\S+?)[\s(;]")


def spans(document: str) -> Iterator[str]:
    """What stands in backticks, and each line of each shell block."""
    for block in BLOCK.finditer(document):
        if block["language"] in {"", "sh", "shell", "bash", "console", "text"}:
            yield from block["body"].splitlines()
    for span in SPAN.finditer(BLOCK.sub("", document)):
        yield span[1]


def missing(document: Path) -> list[str]:
    """What a document names that is not there."""
    text = source.text(document)
    found = [fault for span in spans(text) for fault in faults(span.strip())]
    links = [link[1] for link in LINK.finditer(text)]
    dead = [link for link in links if not (source.ROOT / document.parent / link).exists()]
    return [*found, *(f"the link {link} leads nowhere" for link in dead)]


def faults(span: str) -> Iterator[str]:
    """What one span names that is not there; spans that name nothing of ours have no faults. NNNN is any number."""
    if PATH.match(span) and "NNNN" not in span and not list(source.ROOT.glob(span.rstrip("/"))):
        yield f"the path {span} does not exist"
    if DOTTED.match(span) and not symbol_exists(span.removesuffix("()")):
        yield f"{span} is neither a module, a name in one, nor a table"
    if METRIC.match(span) and span not in product_text():
        yield f"{span} occurs nowhere in the package"
    if (make := MAKE.match(span)) and make[1] not in TARGET.findall(source.text(Path("Makefile"))):
        yield f"make {make[1]} is no target of the Makefile"


def symbol_exists(name: str) -> bool:
    """Whether a dotted name is a module of ours, something in a module, or a table of ours."""
    if name in {
        table for path in source.files() if path.suffix == ".sql" for table in TABLE.findall(source.text(path))
    }:
        return True
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        path = source.ROOT / Path(*parts[:end])
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            found: object = importlib.import_module(module)
            for attribute in parts[end:]:
                fields = getattr(found, "__annotations__", {})
                if not hasattr(found, attribute) and attribute not in fields:
                    return False
                found = getattr(found, attribute, None)
            return True
    return False


def product_text() -> str:
    """The text of all of the package's files."""
    return "\n".join(source.text(path) for path in source.files() if path.parts[0] == "remediator")


def commands(document: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The commands of the program that a document shows: name and long options."""
    for span in spans(source.text(document)):
        if found := COMMAND.match(span):
            yield found[1], tuple(re.findall(r"(--[a-z][a-z-]+)", found[2]))
