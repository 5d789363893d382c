"""The files of the repository as the rules see them: path, text and syntax tree, each read once."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Folders that hold nothing of ours: environments, caches, builds.
NOT_OURS = frozenset({".git", ".venv", ".reports", "__pycache__", "build", "dist", "htmlcov", "node_modules"})
#: What text files end with; everything else (a picture, a database) is not read.
TEXT = frozenset({"", ".cfg", ".html", ".ini", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".yaml", ".yml"})


@cache
def files() -> tuple[Path, ...]:
    """Every text file of the repository, relative to its root, without lock files and hidden caches."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    """The text files below one folder."""
    for path in folder.iterdir():
        if path.name in NOT_OURS or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix in TEXT and not path.name.startswith(".coverage"):
            yield path.relative_to(ROOT)


def python(*folders: str) -> list[Path]:
    """The Python files of the given top-level folders."""
    return [path for path in files() if path.suffix == ".py" and path.parts[0] in folders]


@cache
def text(path: Path) -> str:
    """The text of a file; broken rule files of the tests are not all UTF-8."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(text(path), filename=str(path))
