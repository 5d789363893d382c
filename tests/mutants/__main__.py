"""``python -m tests.mutants``: take out one safeguard after the other, and see a test fail for each.

Everything happens in a throw-away copy of the tree. The exit code is 0 if every mutant was killed, else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.workshop import Verdict, Workshop, WorkshopError

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these words")
    parser.add_argument("--list", action="store_true", help="print their names, and what they change")
    options = parser.parse_args(arguments)
    chosen = [one for one in MUTANTS if not options.words or any(word in one.name for word in options.words)]
    if not chosen:
        parser.error("no mutant has such a name; --list prints them")
    if options.list:
        print("\n".join(f"{one.name:<48} {one.where}" for one in chosen))
        return 0
    verdicts = tried(chosen, lambda line: print(line, flush=True))
    return 0 if len(verdicts) == len(chosen) and all(one.killed for one in verdicts) else 1


def tried(mutants: Sequence[Mutant], say: Say) -> list[Verdict]:
    """Try the mutants, say what becomes of each, and return it: nothing where the tests fail as things are."""
    verdicts: list[Verdict] = []
    with Workshop.opened() as workshop:
        try:
            say(f"{workshop.prove(mutants)} tests pass before anything is taken out")
        except WorkshopError as error:
            say(str(error))
            return verdicts
        say(f"{'mutant':<48} {'killed by':<72} seconds  where")
        for mutant in mutants:
            verdicts.append(workshop.try_out(mutant))
            for line in _lines(verdicts[-1]):
                say(line)
    alive = [verdict.mutant.name for verdict in verdicts if not verdict.killed]
    say(f"mutants: {len(verdicts)}, killed {len(verdicts) - len(alive)}, survived {len(alive)}")
    return verdicts


def _lines(verdict: Verdict) -> list[str]:
    """Return the row of a mutant, with a line for each further killer."""
    mutant = verdict.mutant
    if not verdict.killed:
        return [f"{mutant.name:<48} NOT KILLED: {verdict.problem}"]
    first, *others = (killer.rpartition("::")[2] for killer in mutant.killers)
    row = f"{mutant.name:<48} {first:<72} {verdict.seconds:7.1f}  {mutant.where}"
    return [row, *(f"{'':<48} {other}" for other in others)]


if __name__ == "__main__":
    sys.exit(main())
