"""Each checker can fail: a valid record with one planted defect must be reported.

By invariant, so that each listed invariant has a working checker.
"""

from __future__ import annotations

import pytest

from rollout.model.spec import Stopped
from rollout.sim.check import checkers, crashes
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.world import World
from tests.sim import plants
from tests.sim import plants_of_rules as rules
from tests.sim.planting import Plant

PLANTS: tuple[tuple[str, Plant], ...] = (
    ("I-01", plants.leaves_before_it_is_durable),
    ("I-02", plants.no_attempt),
    ("I-03", plants.an_id_twice),
    ("I-04", plants.forbidden_action),
    ("I-05", plants.an_id_that_is_not_planned),
    ("I-06", plants.windows_all_along),
    ("I-07", plants.attach_over_a_foreign_key),
    ("I-08", plants.restart_before_the_attach),
    ("I-09", plants.reboot_of_what_is_stopped),
    ("I-10", plants.locked_long_ago),
    ("I-11", plants.two_calls_open),
    ("I-12", plants.restarted_by_two_calls),
    ("I-13", plants.asked_again_at_once),
    ("I-14", plants.rebooted_in_the_minute_of_its_start),
    ("I-15", plants.sent_twice),
    ("I-18", plants.attached_before_the_attach),
    ("I-19", plants.done_before_its_boot),
    ("I-20", plants.done_on_another_key),
    ("I-21", plants.failed_on_nothing),
    ("I-22", plants.gone_and_still_there),
    ("I-23", plants.an_effect_without_intent),
    ("I-24", plants.claims_without_effects),
    ("I-25", plants.classes_that_do_not_sum_up),
    ("I-26", plants.a_report_that_counts_otherwise),
    ("I-27", plants.exposed_and_let_go),
    ("I-28", plants.all_down_at_once),
    ("I-29", plants.more_permits_than_the_cap),
    ("I-30", plants.more_exposed_than_allowed),
    ("I-31", plants.a_restart_over_the_cap),
    ("I-33", plants.a_wave_that_never_began),
    ("I-34", rules.no_verdict),
    ("I-34", rules.a_manual_gate_that_opened_by_itself),
    ("I-35", rules.a_short_bake),
    ("I-37", plants.asked_four_times),
    ("I-38", plants.intents_after_a_drain),
    ("I-66", rules.intents_in_a_pause),
    ("I-32", rules.more_than_the_rate),
    ("I-75", rules.more_open_than_may_fail),
    ("I-76", rules.intents_at_the_limit),
    ("I-39", rules.calls_outside_the_windows),
    ("I-77", rules.intents_in_no_window),
    ("I-78", rules.sent_in_time_by_luck),
    ("I-79", rules.the_former_key_still_opens),
    ("I-80", rules.another_host_key),
    ("I-81", rules.restarts_after_a_refusal),
    ("I-90", rules.never_approved),
    ("I-90", rules.approved_by_nobody),
    ("I-48", rules.another_run_holds_the_lease),
    ("I-48", rules.in_flight_when_the_lease_is_seized),
    ("I-91", rules.a_run_of_another_region_waits),
    ("I-84", rules.intents_in_a_held_image),
    ("I-84", rules.intents_where_all_fail),
    ("I-83", rules.a_target_of_last_comes_first),
    ("I-83", rules.all_targets_are_last),
    ("I-40", plants.a_line_is_missing),
    ("I-41", plants.two_at_once),
    ("I-41", plants.lives_that_overlap),
    ("I-42", plants.a_state_that_no_journal_has),
    ("I-43", plants.a_byte_is_changed),
    ("I-50", plants.sent_too_late),
    ("I-52", plants.never_closed),
    ("I-53", plants.a_drain_of_ten_minutes),
    ("I-55", plants.turns_without_end),
    ("I-57", plants.a_key_pair_is_deleted),
    ("I-58", plants.planned_with_effects),
    ("I-58", plants.another_plan_was_applied),
    ("I-59", plants.something_left_undecided),
    ("I-60", plants.a_wave_after_a_failure),
    ("I-61", plants.other_material_of_that_name),
    ("I-62", plants.given_up_at_once),
    ("I-63", plants.a_start_of_what_ran),
    ("I-64", plants.restarted_during_another_run),
    ("I-65", plants.an_instance_at_no_station),
    ("I-95", rules.no_census),
    ("I-96", rules.members_that_are_down),
)


def lived() -> World:
    """A calm run of two waves, in which all restarts are reboots, to its end."""
    world = World(crashes.calm(stopped=Stopped.LEAVE, logins=LoginProofs(proved=True)))
    world.run()
    return world


def test_a_calm_run_has_no_violations() -> None:
    """What is found below is found for what was planted."""
    assert not checkers.violations(lived().record)


@pytest.mark.parametrize(
    "invariant, plant", PLANTS, ids=[f"{name}_{plant.__name__}" for name, plant in PLANTS]
)
def test_a_planted_defect_is_found_by_its_checker(invariant: str, plant: Plant) -> None:
    """The checker that stands for the invariant speaks, whatever others say of the same defect."""
    world = lived()
    plant(world)

    found = checkers.violations(world.record)

    assert any(invariant in text.split()[0].split("/") for text in found), found


def test_every_invariant_that_is_checked_has_a_planted_defect() -> None:
    """No checker is believed that nobody has seen fail."""
    checked = {name for checker in checkers.CHECKERS for name in checker.ids if name[:2] == "I-"}

    assert checked == {invariant for invariant, _ in PLANTS}
