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
)
