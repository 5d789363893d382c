"""The image's recipe keeps the rules, and its install commands work as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import remediator
from tests.architecture import source
from tests.architecture.test_contracts import exists
from tests.packaging import dockerfile

TEXT = (source.ROOT / "Dockerfile").read_text(encoding="utf-8")
RECIPE = dockerfile.parse(TEXT)


def test_recipe_keeps_the_rules() -> None:
    """Nothing that a careful reader would send back."""
    assert dockerfile.faults(TEXT) == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("python:3.11.14-slim-bookworm", "python:latest"),
        ("FROM python:3.11.14-slim-bookworm\n", "FROM python:3.12.12-slim-bookworm\n"),
        ("USER 10001:10001", "USER remediator"),
        ("USER 10001:10001", "USER 0:0"),
        ("USER 10001:10001\n", ""),
        ("COPY rules source/rules", "ADD https://example.org/rules.tar source/rules"),
        ("COPY rules source/rules", "COPY . source"),
        ("--chown=0:0 ", ""),
        ("install --require-hashes -r requirements.lock", "install remediator"),
        ("RUN useradd", "RUN apt-get update && apt-get install -y --no-install-recommends tini && useradd"),
        ("RUN useradd", "RUN curl -fsSLO https://example.org/tini && useradd"),
        ('ENTRYPOINT ["/opt/remediator/bin/python", "-m", "remediator"]', "ENTRYPOINT remediator"),
        ('VOLUME ["/var/lib/remediator"]\n', ""),
        ("HEALTHCHECK --interval=10s --timeout=5s", "HEALTHCHECK"),
        ('org.opencontainers.image.licenses="Apache-2.0"', ""),
    ],
)
def test_a_planted_fault_is_found(good: str, bad: str) -> None:
    """Each rule finds the fault that it is for."""
    assert good in TEXT
    assert dockerfile.faults(TEXT.replace(good, bad)) != []


def test_continuation_lines_and_comments_are_read() -> None:
    """A command over two lines with a comment between is one instruction."""
    assert dockerfile.parse("FROM a AS b\nRUN x \\\n# why\n    && y\n") == [
        dockerfile.Instruction("FROM", "a AS b", 0),
        dockerfile.Instruction("RUN", "x && y", 0),
    ]


def test_version_is_that_of_the_package() -> None:
    """The label does not lag behind."""
    assert f'org.opencontainers.image.version="{remediator.__version__}"' in TEXT


def test_what_is_copied_is_not_ignored() -> None:
    """Each file that the recipe copies exists and is let through to the builder; nothing else is."""
    ignored = (source.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name for step in RECIPE if step.keyword == "COPY" and not step.flags() for name in step.words()[:-1]}
    assert "*" in ignored
    assert copied == let_through
    assert [name for name in copied if not (source.ROOT / name).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not exists("remediator.__main__"), reason="the command line is not written yet")
def test_install_commands_work_as_they_stand(tmp_path: Path) -> None:
    """The build stage, step by step in an empty folder: its COPY by hand, its RUN word for word."""
    for step in (step for step in RECIPE if step.stage == 0):
        if step.keyword == "COPY":
            *names, target = step.words()
            for name in names:
                copy(name, tmp_path / target)
        elif step.keyword == "RUN":
            run(["sh", "-e", "-c", step.arguments], tmp_path)
    python = tmp_path / "remediator" / "bin" / "python"
    assert run(
        [str(python), "-c", "import remediator; print(remediator.__version__)"], tmp_path / "wheels"
    ).strip() == (remediator.__version__)
    assert "serve" in run([str(python), "-m", "remediator", "--help"], tmp_path / "wheels")
    entry = next(step.words() for step in RECIPE if step.keyword == "CMD")
    said = run([str(python), "-m", "remediator", entry[0], "--help"], tmp_path / "wheels")
    assert [word for word in entry if word.startswith("--") and word not in said] == []


def copy(name: str, target: Path) -> None:
    """COPY as the builder does it: a folder's content into the target, a file into the target folder."""
    origin = source.ROOT / name
    if origin.is_dir():
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, target)


def run(command: list[str], folder: Path) -> str:
    """Run a command as the builder would, with this Python as the base image's; its output. Fails with what it said."""
    folder.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command, cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
