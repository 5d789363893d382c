"""A Dockerfile as data, and the rules that the image's recipe is held to."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, continuation lines joined: its keyword, its arguments, the stage that it belongs to (from 0)."""

    keyword: str
    arguments: str
    stage: int

    def flags(self) -> dict[str, str]:
        """The --name=value options before the arguments."""
        return dict(re.findall(r"--([a-z-]+)=(\S+)", self.arguments))

    def words(self) -> list[str]:
        """The arguments without options; those of an exec form as its list."""
        plain = re.sub(r"--[a-z-]+=\S+\s*", "", self.arguments).strip()
        return list(json.loads(plain)) if plain.startswith("[") else plain.split()


def parse(text: str) -> list[Instruction]:
    """Read a Dockerfile. Comments go, continuation lines are joined."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, map(str.strip, joined.splitlines())):
        keyword, _, arguments = line.partition(" ")
        stage += keyword == "FROM"
        found.append(Instruction(keyword, arguments.strip(), stage))
    return found


def faults(text: str) -> list[str]:
    """Everything that a careful reader would send back."""
    recipe = parse(text)
    last = [instruction for instruction in recipe if instruction.stage == recipe[-1].stage]
    return [*_bases(recipe), *_copies(recipe), *_commands(recipe), *_user(last), *_start(last)]


def _bases(recipe: list[Instruction]) -> Iterator[str]:
    """Each stage starts from an exact release, all from the same."""
    images = {instruction.words()[0] for instruction in recipe if instruction.keyword == "FROM"}
    for image in sorted(images):
        if not re.search(r":\d+\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?$", image):
            yield f"FROM {image}: pin an exact release, slim"
    if len(images) > 1:
        yield "the stages start from different bases: the environment is copied from one to the other"


def _copies(recipe: list[Instruction]) -> Iterator[str]:
    """Files come from the build context, and belong to root in the end."""
    for instruction in recipe:
        if instruction.keyword == "ADD":
            yield f"ADD {instruction.arguments}: use COPY; nothing is fetched or unpacked by the way"
        final = instruction.stage == recipe[-1].stage
        if instruction.keyword == "COPY" and final and instruction.flags().get("chown") != "0:0":
            yield f"COPY {instruction.arguments}: say --chown=0:0"
        if instruction.keyword == "COPY" and instruction.words()[0] == ".":
            yield "COPY .: name what is copied"


def _commands(recipe: list[Instruction]) -> Iterator[str]:
    """What is run while building installs by hash or without an index, and leaves nothing behind."""
    for command in (instruction.arguments for instruction in recipe if instruction.keyword == "RUN"):
        if "pip" in command and " install " in command and not re.search(r"--require-hashes|--no-index", command):
            yield f"RUN {command}: install by hash"
        if "apt-get install" in command and "--no-install-recommends" not in command:
            yield f"RUN {command}: --no-install-recommends"
        if "apt-get install" in command and "rm -rf /var/lib/apt/lists" not in command:
            yield f"RUN {command}: remove the package lists in the same layer"
        if re.search(r"\b(sudo|curl|wget)\b|(?<!\|)\|(?!\|)", command):
            yield f"RUN {command}: nothing is fetched past the package installer, and a pipe hides failures"


def _user(last: list[Instruction]) -> Iterator[str]:
    """The image runs as a numbered user, so that a cluster can check that it is not root."""
    users = [instruction.arguments for instruction in last if instruction.keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        yield f"USER {users[-1] if users else 'is missing'}: say a number that is not 0, and a group"


def _start(last: list[Instruction]) -> Iterator[str]:
    """Started without a shell, watched, with its state in a volume and labels that say what it is."""
    found = {instruction.keyword: instruction for instruction in last}
    for keyword in ("ENTRYPOINT", "CMD", "VOLUME"):
        if keyword not in found or not found[keyword].arguments.startswith("["):
            yield f"{keyword} in exec form is missing"
    health = found.get("HEALTHCHECK")
    if health is None or " CMD [" not in f" {health.arguments}" or not {"interval", "timeout"} <= set(health.flags()):
        yield "HEALTHCHECK with interval, timeout and a command in exec form is missing"
    labels = found["LABEL"].arguments if "LABEL" in found else ""
    for name in ("title", "licenses", "version", "description"):
        if f"org.opencontainers.image.{name}=" not in labels:
            yield f"LABEL org.opencontainers.image.{name} is missing"
