"""No file holds notes to oneself or words that are true on one machine only."""

import re

from tests.architecture import rules, source

#: Split so that this file does not hold them itself.
MACHINE_WORDS = re.compile(
    "|".join(
        [
            r"(?<![\w.])/wor" + r"k/",
            r"(?<![\w.])/roo" + r"t/(?!\.\.\.)",
            r"(?<![\w.])/hom" + r"e/\w",
            r"/Use" + r"rs/\w",
            r"/tm" + r"p/\w",
            r"/opt/(py" + r"pi|wheels)",
            r"pypi\.o" + r"rg",
            r"pythonhost" + r"ed\.org",
            r"deb\.debi" + r"an\.org",
            r"registry\.npm" + r"js\.org",
            r"issu" + r"e 2\b",
        ]
    )
)
#: Recorded from other systems, as they said it.
RECORDED = ("tests/data/kubernetes-transcripts",)
#: A folder name that tests of permissions need to speak of.
MAY_NAME_ROOT_HOME = ("remediator/adapters/ledger/embedded", "tests/adapters/ledger")


def ours() -> list[tuple[str, str]]:
    """Each text file that we wrote: its path and its text."""
    found = [(path.as_posix(), source.text(path)) for path in source.files()]
    return [(path, text) for path, text in found if not path.startswith(RECORDED)]


def test_no_notes_to_oneself() -> None:
    """Nothing is left to be done in a comment."""
    found = [f"{path}:{line}: {what}" for path, text in ours() for line, what in rules.leftovers(text)]
    assert not found, "\n".join(found)


def test_no_words_of_one_machine() -> None:
    """No path, host or process of the machine that a file was written on."""
    found = [
        f"{path}:{line}: {what}"
        for path, text in ours()
        for line, what in rules.foreign_words(text, MACHINE_WORDS)
        if not ("root" in what and path.startswith(MAY_NAME_ROOT_HOME))
    ]
    assert not found, "\n".join(found)


def test_lock_files_name_no_index() -> None:
    """The lock files install from whatever index the machine is set up for."""
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock"):
        text = (source.ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links", text), name


def test_the_rules_see_what_they_should() -> None:
    """Planted words are found; near misses are not."""
    bad = ["see /wor" + "k/main", "cd /hom" + "e/ann", "https://pypi.o" + "rg/simple", "# TO" + "DO: later"]
    good = ["framework/main", "a network/ path", "pypi", "todo list", "the root/ folder", "/homeless"]
    assert all([*rules.foreign_words(line, MACHINE_WORDS), *rules.leftovers(line)] for line in bad)
    assert not any([*rules.foreign_words(line, MACHINE_WORDS), *rules.leftovers(line)] for line in good)
