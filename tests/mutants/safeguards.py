"""The mutants of what makes nothing lost and nothing doubled, from the door to the write and back."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

ACTIONS = "remediator/adapters/ledger/sql/actions.sql"
ADMIT = "remediator/adapters/ledger/sql/admit.sql"
DOUBT = "remediator/flow/doubt.py"
EXECUTE = "remediator/flow/execute.py"
PREFLIGHT = "remediator/core/preflight.py"
SPINE = "remediator/adapters/ledger/migrations/0001_spine.sql"
WRITER = "remediator/adapters/kubernetes/writer.py"

WRITE_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "resourceVersion precondition",
        (Edit(WRITER, '            "resourceVersion": mark.resource_version,\n'),),
        (
            "tests/adapters/kubernetes/test_writer.py::test_a_patch_carries_preconditions_and_marks",
            "tests/flow/test_overtaken.py::test_who_is_overtaken_after_its_intent_is_refused_for_the_version",
        ),
    ),
    Mutant(
        "uid precondition",
        (Edit(WRITER, '            "uid": mark.uid,\n'),),
        ("tests/adapters/kubernetes/test_writer.py::test_a_patch_carries_preconditions_and_marks",),
    ),
    Mutant(
        "the object is the one that was decided about",
        (
            Edit(
                PREFLIGHT,
                "        _other_object(action, workload)\n        or not_allowed",
                "        not_allowed",
            ),
        ),
        ("tests/core/test_preflight.py::test_a_restart_is_refused_on_what_the_object_is_now",),
    ),
    Mutant(
        "marker on the object",
        (Edit(WRITER, '"annotations": {ACTION: mark.action_id, FENCE:', '"annotations": {FENCE:'),),
        ("tests/adapters/kubernetes/test_writer.py::test_a_patch_carries_preconditions_and_marks",),
    ),
    Mutant(
        "every marker",
        (
            Edit(WRITER, '"annotations": {ACTION: mark.action_id, FENCE:', '"annotations": {FENCE:'),
            Edit(WRITER, "    if step.mark_template:\n        marks", "    if False:\n        marks"),
        ),
        ("tests/flow/test_doubt.py::test_an_owner_that_died_after_its_write",),
    ),
    Mutant(
        "fence on the object",
        (Edit(WRITER, ", FENCE: str(mark.fence)}", "}"),),
        ("tests/adapters/kubernetes/test_writer.py::test_a_patch_carries_preconditions_and_marks",),
    ),
    Mutant(
        "a later owner's fence is respected",
        (Edit(EXECUTE, "        if live.fence >= action.fence:\n", "        if False:\n"),),
        ("tests/flow/test_hostile_between.py::test_what_has_happened_is_respected",),
    ),
    Mutant(
        "the cluster refuses a stale fence",
        (
            Edit(
                "remediator/adapters/kubernetes/policy.yaml",
                "so its fence may stand already.\n"
                "    - expression: >-\n        int(variables.fence) > int(variables.oldFence)\n",
                "so its fence may stand already.\n    - expression: >-\n        true\n",
            ),
        ),
        ("tests/adapters/kubernetes/test_policy.py::test_fences_only_rise",),
    ),
)

FENCE_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "fence of a claim",
        (Edit(ACTIONS, "    fence = nextval('remediator.fences'), attempts", "    fence = 1, attempts"),),
        ("tests/adapters/ledger/test_actions_store.py::test_a_lease_that_ended_makes_way_under_a_higher_fence",),
    ),
    Mutant(
        "lease of a claim",
        (Edit(ACTIONS, "'in_doubt') AND lease_until < statement_timestamp()", "'in_doubt')"),),
        ("tests/adapters/ledger/test_actions_store.py::test_a_lease_that_ended_makes_way_under_a_higher_fence",),
    ),
    Mutant(
        "fence of a move",
        (Edit(ACTIONS, " AND action.fence = given.fence AND action.ended_at IS NULL", " AND action.ended_at IS NULL"),),
        (
            "tests/adapters/ledger/test_actions_store.py::test_no_move_is_made_under_an_old_fence[dispatched]",
            "tests/adapters/ledger/test_actions_store.py::test_no_move_is_made_under_an_old_fence[conclude]",
            "tests/flow/test_overtaken.py::test_who_is_overtaken_before_its_intent_sends_nothing",
        ),
    ),
    Mutant(
        "fence of a renewal",
        (
            Edit(
                ACTIONS,
                "WHERE number = $1 AND fence = $2 AND ended_at IS NULL",
                "WHERE number = $1 AND fence >= $2 AND ended_at IS NULL",
            ),
        ),
        ("tests/adapters/ledger/test_actions_store.py::test_no_move_is_made_under_an_old_fence[renew]",),
    ),
    Mutant(
        "fence of a next look",
        (
            Edit(
                ACTIONS,
                " AND action.number = given.number AND action.fence = given.fence\n    WHERE",
                " AND action.number = given.number\n    WHERE",
            ),
        ),
        ("tests/adapters/ledger/test_actions_store.py::test_no_move_is_made_under_an_old_fence[look_again]",),
    ),
    Mutant(
        "an end is an end",
        (
            Edit(
                ACTIONS,
                " AND action.fence = given.fence AND action.ended_at IS NULL",
                " AND action.fence = given.fence",
            ),
        ),
        ("tests/adapters/ledger/test_actions_store.py::test_no_move_is_made_after_the_end",),
    ),
)

DOUBT_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "read-back of a lost answer",
        (Edit(DOUBT, "            answer = await self._read_back(claim, before)\n", "            answer = False\n"),),
        ("tests/flow/test_doubt.py::test_an_answer_that_is_lost_is_read_back",),
    ),
    Mutant(
        "read-back of what a dead owner left",
        (
            Edit(
                DOUBT,
                "        else:\n            if live.marker == claim.action.id:\n",
                "        else:\n            return True\n            if live.marker == claim.action.id:\n",
            ),
        ),
        ("tests/flow/test_doubt.py::test_a_doubt_that_nobody_can_settle_goes_to_people",),
    ),
    Mutant(
        "an object that has moved is a riddle",
        (
            Edit(
                DOUBT,
                "    return live.image.uid != before.uid or live.image.generation != before.generation\n",
                "    return False\n",
            ),
        ),
        ("tests/flow/test_doubt.py::test_a_doubt_that_nobody_can_settle_goes_to_people",),
    ),
    Mutant(
        "the marker is looked for before a write",
        (Edit(EXECUTE, "        if live.marker == claim.action.id:\n", "        if False:\n"),),
        ("tests/flow/test_hostile_between.py::test_a_write_of_a_dead_owner_is_looked_for_with_a_read_of_its_own",),
    ),
)

DECISION_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "one open action a target",
        (Edit(SPINE, "CREATE UNIQUE INDEX actions_one_open", "CREATE INDEX actions_one_open"),),
        ("tests/adapters/ledger/test_admission_store.py::test_a_second_open_action_on_a_target_fails_the_transaction",),
    ),
    Mutant(
        "admission lock",
        (
            Edit(
                ADMIT,
                "SELECT pg_advisory_xact_lock(hashtextextended('remediator.admission', 0));",
                "SELECT 'nobody waits';",
            ),
        ),
        ("tests/adapters/ledger/test_admission_lock.py::test_a_decision_waits_for_the_one_under_way",),
    ),
    Mutant(
        "pause read in the claim",
        (Edit(ACTIONS, " OR remediator.pause_on(namespace, rule, target_key) IS NULL)", " OR true)"),),
        ("tests/flow/test_pause.py::test_a_pause_after_the_admission_is_read_at_the_claim",),
    ),
    Mutant(
        "pause read with the intent",
        (
            Edit(
                ACTIONS,
                "               AND remediator.pause_on(action.namespace, action.rule, action.target_key) IS NULL\n",
            ),
        ),
        ("tests/flow/test_pause.py::test_a_pause_after_the_claim_is_read_before_the_write",),
    ),
    Mutant(
        "pause file before the write",
        (
            Edit(
                EXECUTE,
                "            stopped(self.parts.paused_here(), action.target, action.rule, now)\n            or ",
                "            ",
            ),
        ),
        ("tests/flow/test_pause.py::test_the_file_stops_this_replica",),
    ),
    Mutant(
        "freeze before the write",
        (Edit(EXECUTE, "            or freezing(freezes, action.target, now)\n"),),
        ("tests/flow/test_pause.py::test_a_freeze_that_begins_before_the_write",),
    ),
    Mutant(
        "shelf life at the claim",
        (Edit(EXECUTE, "        if claim.now > action.good_until:\n", "        if False:\n"),),
        ("tests/flow/test_flow.py::test_a_decision_past_its_shelf_life_is_made_anew",),
    ),
    Mutant(
        "shelf life with the intent",
        (Edit(ACTIONS, "OR (clock_timestamp() <= action.good_until\n", "OR (true\n"),),
        ("tests/adapters/ledger/test_actions_store.py::test_an_intent_needs_a_reason_in_its_moment",),
    ),
    Mutant(
        "a firing alert with the intent",
        (
            Edit(
                ACTIONS, "                   SELECT count(*) > 0\n", "                   SELECT true OR count(*) > 0\n"
            ),
        ),
        ("tests/adapters/ledger/test_actions_store.py::test_an_intent_needs_a_reason_in_its_moment",),
    ),
)

LAST_LOOK_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "ceiling of the mode",
        (
            Edit(
                "remediator/core/decide.py",
                "    return min(rule.mode, policy.ceiling, key=lambda mode: mode.rank)\n",
                "    return rule.mode\n",
            ),
        ),
        ("tests/core/test_decide.py::test_the_lower_mode_decides",),
    ),
    Mutant(
        "mode before the write",
        (
            Edit(
                PREFLIGHT,
                "        _lowered(action, rule, policy, approved=approved)\n        or _forbidden",
                "        _forbidden",
            ),
        ),
        ("tests/core/test_preflight.py::test_an_operator_who_was_quicker_is_obeyed",),
    ),
    Mutant(
        "protected before the write",
        (Edit(PREFLIGHT, "        or shield(workload.target, policy)\n"),),
        ("tests/core/test_preflight.py::test_an_operator_who_was_quicker_is_obeyed",),
    ),
    Mutant(
        "opted out before the write",
        (Edit(PREFLIGHT, "        or objection(workload)\n"),),
        ("tests/core/test_preflight.py::test_a_restart_is_refused_on_what_the_object_is_now",),
    ),
    Mutant(
        "nobody has built on what is taken back",
        (Edit(EXECUTE, "            or touched_since(", "            or None and touched_since("),),
        ("tests/flow/test_undo.py::test_a_change_between_decision_and_write_is_seen",),
    ),
)

INTAKE_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "one row a signal",
        (
            Edit(SPINE, ",\n    UNIQUE (source, fingerprint, starts_at, status)\n", "\n"),
            Edit(
                "remediator/adapters/ledger/sql/inbox.sql",
                """\
    ON CONFLICT (source, fingerprint, starts_at, status) DO UPDATE
        SET last_seen_at = clock_timestamp(),
            ends_at = greatest(known.ends_at, excluded.ends_at),
            confirmed_at = greatest(known.confirmed_at, excluded.confirmed_at)
        WHERE known.last_seen_at < clock_timestamp() - interval '1 minute'
           OR excluded.ends_at > known.ends_at OR excluded.confirmed_at IS NOT NULL
""",
            ),
        ),
        ("tests/adapters/ledger/test_inbox_store.py::test_a_repeat_writes_no_row_and_moves_last_seen_once_a_minute",),
    ),
    Mutant(
        "commit before 200",
        (
            Edit(
                "remediator/adapters/ledger/inbox.py",
                "            receipt = await self._commits.put(delivery)\n",
                """\
            import asyncio
            self._later = asyncio.ensure_future(self._commits.put(delivery))
            receipt = Receipt(new=size, known=0, quarantined=len(delivery.quarantined))
""",
            ),
        ),
        ("tests/adapters/ledger/test_inbox_store.py::test_5000_alerts_in_one_delivery",),
    ),
    Mutant(
        "the answer waits for the inbox",
        (
            Edit(
                "remediator/web/webhook.py",
                "            return await self._parts.inbox.accept(delivery)\n",
                """\
            self._later = asyncio.ensure_future(self._parts.inbox.accept(delivery))
            return Receipt(new=len(delivery.signals), known=0, quarantined=0)
""",
            ),
        ),
        ("tests/web/test_webhook.py::test_the_answer_waits_for_the_commit",),
    ),
    Mutant(
        "synchronous_commit on intake",
        (
            Edit(
                "remediator/adapters/ledger/pool.py",
                "    if purpose is Purpose.LEASES:\n",
                "    if purpose in {Purpose.LEASES, Purpose.INTAKE}:\n",
            ),
        ),
        ("tests/adapters/ledger/test_pool.py::test_every_transaction_is_alike[intake-direct]",),
    ),
    Mutant(
        "the ledger is only added to",
        (
            Edit(
                "remediator/adapters/ledger/migrations/0002_application_role.sql",
                "        GRANT SELECT, INSERT ON remediator.ledger,",
                "        GRANT SELECT, INSERT, UPDATE, DELETE ON remediator.ledger,",
            ),
            Edit(
                "remediator/adapters/ledger/migrations/0003_seals.sql",
                "CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON remediator.ledger\n",
                "CREATE TRIGGER only_added_to BEFORE TRUNCATE ON remediator.ledger\n",
            ),
        ),
        ("tests/adapters/ledger/test_pool.py::test_ledger_is_append_only",),
    ),
)

SAFEGUARD_MUTANTS = (
    *WRITE_MUTANTS,
    *FENCE_MUTANTS,
    *DOUBT_MUTANTS,
    *DECISION_MUTANTS,
    *LAST_LOOK_MUTANTS,
    *INTAKE_MUTANTS,
)
