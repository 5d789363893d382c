"""The mutants of what changes a database once, and never more of it than its owner allows."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

SETUP = "remediator/adapters/databases/sql/setup.sql"
CHANGE = "remediator/adapters/databases/change.py"
LOOK = "remediator/adapters/databases/look.py"
DECIDE = "remediator/core/decide.py"
DOUBT = "remediator/flow/doubt.py"
LIMITS = "tests/adapters/databases/test_limits.py"
SERVER = "tests/adapters/databases/test_server.py"
STAGES = "tests/adapters/databases/test_stages.py"

ANEW = Edit(SETUP, "CASE WHEN v_mark.action_id IS NULL THEN 'new' ELSE 'again' END", "'new'")
"""Without which what was begun before would still not be done again."""

DATABASE_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "database: the mark ends a second attempt",
        (Edit(SETUP, "    IF v_mark.state = 'done' THEN\n        RETURN", "    IF false THEN\n        RETURN"), ANEW),
        (f"{LIMITS}::test_two_replicas_race",),
    ),
    Mutant(
        "database: what was given up stays undone",
        (Edit(SETUP, "    ELSIF v_mark.state = 'void' THEN\n", "    ELSIF false THEN\n"), ANEW),
        (f"{LIMITS}::test_doubt_is_settled_by_the_mark",),
    ),
    Mutant(
        "database: a later fence refuses an older",
        (Edit(SETUP, "    ELSIF p_fence < v_seen THEN\n", "    ELSIF false THEN\n"),),
        (f"{LIMITS}::test_a_stale_fence_is_refused", f"{SERVER}::test_overtaken_changed_or_too_high"),
    ),
    Mutant(
        "database: only the value that was seen is replaced",
        (Edit(SETUP, "        ELSIF v_now IS DISTINCT FROM v_wish.before THEN\n", "        ELSIF false THEN\n"),),
        (f"{LIMITS}::test_another_value_than_was_seen_is_refused",),
    ),
    Mutant(
        "database: its owner's caps",
        (Edit(SETUP, "        IF v_most IS NULL OR v_wish.scope = 'server' OR", "        IF false AND"),),
        (f"{LIMITS}::test_the_owner_of_the_database_has_the_last_word",),
    ),
    Mutant(
        "database: whose sessions are never ended",
        (Edit(SETUP, "       AND NOT role.rolsuper AND NOT role.rolreplication\n"),),
        (f"{LIMITS}::test_idle_sessions_end_and_are_told",),
    ),
    Mutant(
        "database: one at a time between intent and effect",
        (Edit(CHANGE, '    await session.execute(QUERIES["lock_server"])\n'),),
        (f"{SERVER}::test_nobody_is_between_an_intent_and_its_effect",),
    ),
    Mutant(
        "threshold: a measure is given time to follow the action",
        (Edit("remediator/core/judge.py", " and question.now >= question.half_time", ""),),
        ("tests/core/test_judge_measures.py::test_a_measure_is_given_time_to_follow",),
    ),
    Mutant(
        "threshold: what is back inside is not worse",
        (Edit("remediator/core/judge.py", " and measure.calm_since is None", ""),),
        ("tests/core/test_judge_measures.py::test_a_measure_is_given_time_to_follow",),
    ),
    Mutant(
        "database: what follows something unknown asks",
        (
            Edit(
                "remediator/core/planning.py",
                "found.asks or any(one.unknown for one in passed)",
                "found.asks",
            ),
        ),
        ("tests/core/test_planning.py::test_what_follows_something_unknown_asks_first",),
    ),
    Mutant(
        "database: what is in use does not go back",
        (Edit("remediator/flow/returning.py", "why = still_needed(view, wanted)", 'why = ""'),),
        (f"{STAGES}::test_a_lent_limit_goes_back",),
    ),
    Mutant(
        "database: never our own",
        (Edit(LOOK, "    if identifier in own:\n", "    if False:\n"),),
        (f"{LIMITS}::test_our_own_store_is_never_touched",),
    ),
    Mutant(
        "database: giving up closes the action there",
        (
            Edit(
                DOUBT,
                "self._ask_database(claim, statement, close=may_land)",
                "self._ask_database(claim, statement, close=False)",
            ),
        ),
        (f"{STAGES}::test_given_up_means_never",),
    ),
    Mutant(
        "database: restarts and configuration ask first",
        (
            Edit(
                DECIDE,
                "        case Mode.ENFORCE if case.plan.asks and not",
                "        case Mode.ENFORCE if False and not",
            ),
        ),
        (f"{STAGES}::test_configuring_asks_first", f"{STAGES}::test_restarting_a_database_asks_first"),
    ),
)
