"""The mutants of the guards: each guard in turn says nothing any more."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

FOLDER = "remediator/core/guardrails"
PLAIN, WORLD = "tests/core/test_guards.py", "tests/core/test_guards_world.py"


def _mute(name: str, question: str, killer: str, *others: str) -> Mutant:
    """Return the mutant in which a guard lets everything pass; ``question``: the docstring of its ``check``."""
    line = f'    """{question}"""\n'
    edit = Edit(f"{FOLDER}/{name}.py", line, f"{line}    return None\n")
    return Mutant(f"guard {name}", (edit,), (killer, *others))


GUARD_MUTANTS: tuple[Mutant, ...] = (
    _mute("paused", "Refuse to change what is paused.", f"{WORLD}::test_a_pause_stops_its_scope"),
    _mute("frozen", "Refuse to change anything in a freeze.", f"{WORLD}::test_a_freeze_holds_in_its_time_and_place"),
    _mute(
        "brake",
        "Refuse while one of the policy's platform alerts fires often enough.",
        f"{WORLD}::test_the_platform_comes_first",
    ),
    _mute("storm", "Refuse while a storm is on.", f"{WORLD}::test_a_storm_begins_and_ends"),
    _mute(
        "self_protection",
        "Refuse to change what remediator runs on.",
        f"{WORLD}::test_remediator_does_not_operate_on_itself",
    ),
    _mute("protected", "Refuse to change a protected target.", f"{PLAIN}::test_protected_targets_are_refused"),
    _mute(
        "opted_out",
        "Refuse to change a workload that carries the annotation.",
        f"{PLAIN}::test_owners_may_opt_out",
    ),
    _mute(
        "not_opted_in",
        "Refuse to change a workload that did not opt in, where the policy asks for that.",
        f"{WORLD}::test_only_where_it_was_asked_for",
    ),
    _mute(
        "not_firing",
        "Refuse when the alert has stopped firing since the candidate was made.",
        f"{PLAIN}::test_an_alert_that_is_over_is_not_acted_on",
    ),
    _mute(
        "target_unknown",
        "Refuse facts without a workload in them; ask again soon where the cluster was out of reach.",
        f"{PLAIN}::test_unknown_is_never_healthy",
    ),
    _mute(
        "target_busy",
        "Refuse while another action on the target is open, or waits for a person's answer.",
        f"{PLAIN}::test_one_open_action_a_target",
        f"{PLAIN}::test_a_question_is_asked_once",
    ),
    _mute(
        "namespace_busy",
        "Refuse while as many changing actions are open in the namespace as the policy allows.",
        f"{PLAIN}::test_open_actions_in_a_namespace",
    ),
    _mute(
        "cluster_busy",
        "Refuse while as many changing actions are open in the cluster as the policy allows.",
        f"{PLAIN}::test_open_actions_in_the_cluster",
    ),
    _mute(
        "stateful_stop",
        "Refuse a stateful target whose latest verdict of the last day is that it did not help.",
        f"{WORLD}::test_what_keeps_data_gets_one_attempt",
    ),
    _mute(
        "quarantine",
        "Refuse a target on which so many attempts of the window did not help; people are told.",
        f"{WORLD}::test_quarantine_after_three_failures_in_a_day",
    ),
    _mute(
        "masking",
        "Refuse the same action on a target that it has helped so often within the window; people are told.",
        f"{WORLD}::test_a_remedy_that_masks",
    ),
    _mute(
        "storm_evidence",
        "Refuse to look while a storm is on and enough was looked at. "
        "What changes something is the storm's own matter.",
        f"{PLAIN}::test_looking_and_telling_are_asked_two_questions_only",
    ),
    Mutant(
        "guard cooldown",
        (
            Edit(
                f"{FOLDER}/cooldown.py",
                "    if not attempts:\n        return None\n    latest",
                "    if attempts or not attempts:\n        return None\n    latest",
            ),
        ),
        (f"{PLAIN}::test_cooldown_at_its_last_second",),
    ),
    Mutant(
        "doubling of the cooldown",
        (
            Edit(
                f"{FOLDER}/cooldown.py",
                "    doublings = min(failures, policy.cooldown_cap_s.bit_length())\n",
                "    doublings = 0\n",
            ),
        ),
        (f"{PLAIN}::test_failures_double_the_cooldown",),
    ),
    *(
        _mute(
            f"limit_{kind}", f"Refuse when a window of the {kind} is full.", f"{PLAIN}::test_limits_at_their_last_place"
        )
        for kind in ("target", "rule", "namespace", "cluster")
    ),
    Mutant(
        "the place beyond the limit",
        (
            Edit(
                f"{FOLDER}/windows.py", "if window.count >= scope.limit.count:", "if window.count > scope.limit.count:"
            ),
        ),
        (
            f"{PLAIN}::test_limits_at_their_last_place",
            "tests/core/test_admit.py::test_no_limit_is_exceeded_inside_a_batch",
        ),
    ),
    _mute(
        "blast_namespace",
        "Refuse a further target where a large share of its namespace was touched.",
        f"{WORLD}::test_a_share_of_a_namespace",
    ),
    _mute(
        "blast_cluster",
        "Refuse a further target where a large share of the cluster was touched.",
        f"{WORLD}::test_other_namespaces_count_in_the_cluster_only",
    ),
    Mutant(
        "unknown is not unlimited",
        (
            Edit(
                f"{FOLDER}/shares.py",
                "    if share.percent >= ALL:\n",
                "    if share.percent >= ALL or share.workloads is None:\n",
            ),
        ),
        (f"{WORLD}::test_a_share_of_a_namespace",),
    ),
    _mute(
        "spacing",
        "Refuse within the policy's spacing after the latest admission in the cluster.",
        f"{PLAIN}::test_spacing_to_the_second",
    ),
    _mute(
        "min_healthy",
        "Refuse a disruptive plan on a workload below the healthy share.",
        f"{PLAIN}::test_minimum_healthy",
    ),
    _mute(
        "rollout_in_progress",
        "Refuse a disruptive plan on a workload that is rolling.",
        f"{PLAIN}::test_no_restart_on_top_of_a_rollout",
    ),
    _mute(
        "recently_deployed",
        "Refuse to end pods of a workload that somebody else has rolled out lately; people are told.",
        f"{WORLD}::test_after_a_deployment_people_decide",
    ),
    _mute(
        "stale_facts",
        "Refuse facts older than the rule's shelf life, and those that claim to be as far in the future.",
        f"{PLAIN}::test_facts_have_a_shelf_life",
    ),
    Mutant(
        "all guards are asked",
        (Edit(f"{FOLDER}/__init__.py", '    Guard("masking", masking.check),\n'),),
        ("tests/core/test_guards_registered.py::test_every_guard_is_asked",),
    ),
)
