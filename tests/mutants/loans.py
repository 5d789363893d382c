"""The mutants of what brings back what was lent, and only that."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

RETURNING = "remediator/core/returning.py"
LOANS = "remediator/adapters/ledger/sql/loans.sql"
UNSEEN = "tests/flow/test_returning_unseen.py::test_nothing_goes_back_for_a_measure_that_is_not_known_to_be_well"

LOAN_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "loans: a measure that is unknown keeps what was lent",
        (Edit(RETURNING, "    if facts.undo is not None and facts.undo.uneasy:\n", "    if False:\n"),),
        ("tests/core/test_returning.py::test_what_may_be_needed_stays", UNSEEN),
    ),
    Mutant(
        "loans: a measure that has vanished is unknown",
        (Edit(LOANS, "       OR series.source IS NULL OR", "       OR"),),
        (UNSEEN,),
    ),
    Mutant(
        "loans: what was lent upon a loan goes back first",
        (Edit(LOANS, "AND upon.action > loan.action\n", "AND false\n"),),
        ("tests/flow/test_returning.py::test_a_loan_upon_a_loan_goes_back_first",),
    ),
    Mutant(
        "loans: a third party between two writes of ours is found",
        (
            Edit(
                RETURNING,
                "if one.before is not None and not differences(as_left(last), one.before.object):",
                "if one.before is not None:",
            ),
        ),
        ("tests/core/test_returning.py::test_a_third_party_between_two_writes_of_ours_is_found",),
    ),
    Mutant(
        "loans: what we have set for good since is kept",
        (
            Edit(
                RETURNING,
                "        differences=(*moved, *differences(ours, image)),\n",
                "        differences=differences(ours, image),\n",
            ),
        ),
        ("tests/core/test_returning.py::test_what_we_have_scaled_for_good_since_is_kept",),
    ),
)
