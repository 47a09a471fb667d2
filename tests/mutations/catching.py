"""Which tests are expected to catch each planted bug, and running them with it and without.

A bug is caught when a named test fails by what it asserts. An error of another kind is no catch: it
would say that the bug does not run, not that somebody noticed it.
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.checklist.fitted import repetition
from tests.mutations.planted import planted

HOUSE = Path(__file__).parent.parent.parent
QUIET = ["cacheprovider", "terminal", "faulthandler", "logging", "unraisableexception"]
QUIET += ["threadexception", "hypothesispytest"]
CHECKLIST = "tests/checklist/test_line_"
CATCHERS: dict[str, tuple[str, ...]] = {
    "no noise on one layer": (
        "04_account.py::test_line_4_every_weight_gets_the_noise_of_the_log_at_every_step",
        "03_public_sizes.py::test_line_3_gradients_are_divided_by_the_declared_number",
    ),
    "half the noise": (
        "04_account.py::test_line_4_every_weight_gets_the_noise_of_the_log_at_every_step",
        "03_public_sizes.py::test_line_3_gradients_are_divided_by_the_declared_number",
    ),
    "no clipping of one parameter": (
        "08_clipping.py::test_line_8_in_a_fit_each_patients_part_is_within_the_clip_norm",
        "08_clipping.py::test_line_8_one_patient_more_moves_the_sum_by_the_clip_norm_at_most",
    ),
    "bounds from data": (
        "01_bounds.py::test_line_1_the_first_grid_lies_between_the_declared_bounds",
        "01_bounds.py::test_line_1_an_odd_record_changes_no_bound_and_no_category",
    ),
    "shuffled batches accounted as Poisson": (
        "02_poisson.py::test_line_2_batches_are_binomial",
        "02_poisson.py::test_line_2_draws_of_two_steps_are_independent",
    ),
    "a normaliser from the true n": (
        "03_public_sizes.py::test_line_3_gradients_are_divided_by_the_declared_number",
        "04_account.py::test_line_4_every_weight_gets_the_noise_of_the_log_at_every_step",
    ),
    "one step unaccounted": (
        "04_account.py::test_line_4_training_takes_the_steps_of_the_log_and_no_more",
    ),
    "fixed noise seed": (
        "11_fresh_noise.py::test_line_11_a_stream_takes_its_key_from_the_operating_system",
        "11_fresh_noise.py::test_line_11_two_fits_share_no_draw",
    ),
    "an anchor released twice": (
        "10_budget.py::test_line_10_every_query_of_the_log_is_asked_and_none_besides",
        "04_account.py::test_line_4_data_are_released_as_often_and_with_the_noise_that_the_log_says",
    ),
    "a norm left out": (
        "08_clipping.py::test_line_8_in_a_fit_each_patients_part_is_within_the_clip_norm",
        "08_clipping.py::test_line_8_one_patient_more_moves_the_sum_by_the_clip_norm_at_most",
    ),
    "an overflow that spoils the batch": (
        "08_clipping.py::test_line_8_one_overflowing_patient_is_left_out_alone",
    ),
    "empty batches left out": (
        "02_poisson.py::test_line_2_empty_batches_take_a_noisy_step_and_are_accounted",
    ),
    "a learning rate that follows the loss": (
        "05_no_other_look.py::test_line_5_what_the_steward_is_shown_changes_no_weight",
        "05_no_other_look.py::test_line_5_the_schedule_is_the_same_whatever_the_data",
    ),
    "counts for one row a patient": (
        "04_account.py::test_line_4_data_are_released_as_often_and_with_the_noise_that_the_log_says",
    ),
    "rows that are not capped": (
        "13_many_rows.py::test_line_13_a_patient_with_many_rows_moves_counts_no_more_than_their_cap",
    ),
    "moments without a bound": (
        "13_many_rows.py::test_line_13_an_unusual_patient_moves_the_pair_sums_no_more_either",
    ),
    "interactions without a bound": (
        "13_many_rows.py::test_line_13_an_unusual_patient_moves_no_sum_of_products_further",
    ),
    "half the sensitivity of interactions": (
        "13_many_rows.py::test_line_13_an_unusual_patient_moves_no_sum_of_products_further",
    ),
    "interactions without noise": (
        "04_account.py::test_line_4_data_are_released_as_often_and_with_the_noise_that_the_log_says",
    ),
    "rounded noise for counts": (
        "12_discrete_counts.py::"
        "test_line_12_everything_released_before_training_is_whole_and_from_opendp",
    ),
    "a private figure in the log": (
        "18_artefacts.py::test_line_18_json_holds_these_keys_and_no_others",
    ),
    "latents from a seed of torch": (
        "11_fresh_noise.py::test_line_11_what_training_draws_comes_from_the_stream",
    ),
    "latents of the plain VAE from a seed of torch": (
        "11_fresh_noise.py::test_line_11_the_plain_vae_draws_from_the_stream_too",
    ),
    "one stream for all draws": (
        "11_fresh_noise.py::test_line_11_one_patient_more_shifts_nobody_elses_noise",
    ),
    "a counter that runs out": (
        "11_fresh_noise.py::test_line_11_a_stream_takes_a_new_key_before_its_counter_runs_out",
    ),
    "cells read beside others": ("09_odd_values.py::test_line_9_a_cell_is_read_by_itself",),
    "a fit that can be released twice": (
        "15_resume.py::test_line_15_a_fit_that_could_not_be_kept_is_not_handed_out",
    ),
    "kept rows that hang on others": (
        "13_many_rows.py::test_line_13_the_kept_rows_of_a_patient_hang_on_nobody_else",
    ),
    "kept visits by others values": (
        "13_many_rows.py::test_line_13_the_kept_visits_of_a_patient_hang_on_nobody_else",
    ),
    "a lag counted for one row": (
        "13_many_rows.py::"
        "test_line_13_a_patients_visits_move_counts_no_more_than_they_are_accounted_for",
        "04_account.py::test_line_4_visits_are_released_as_often_and_with_the_noise_that_the_log_says",
    ),
    "static columns counted by visit": (
        "13_many_rows.py::"
        "test_line_13_a_patients_visits_move_counts_no_more_than_they_are_accounted_for",
    ),
    "a gaps bounds from the data": (
        "01_bounds.py::test_line_1_the_grid_of_gaps_lies_between_the_declared_bounds",
    ),
    "moments of visits without a bound": (
        "13_many_rows.py::test_line_13_an_unusual_patient_moves_no_moment_of_visits_further",
    ),
    "lags left out of the norm": (
        "13_many_rows.py::test_line_13_an_unusual_patient_moves_no_moment_of_visits_further",
    ),
    "a split by the published seed": (
        "19_renderings.py::test_line_19_the_split_is_no_function_of_what_is_published",
    ),
    "sums in single precision": (
        "08_clipping.py::test_line_8_one_patient_among_four_million_adds_what_they_add",
        "08_clipping.py::test_line_8_sums_are_the_same_in_any_order_and_grouping",
    ),
}


@dataclass
class Outcomes:
    """What became of tests: a plugin of pytest that listens."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        """Note how a test, by the name of its function, ended."""
        yield
        name = item.nodeid.partition("[")[0]
        if call.excinfo is None:
            if call.when == "call":
                self.passed.add(name)
        elif call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
            self.failed.add(name)
        else:
            self.broken[name] = call.excinfo.exconly()


def run(tests: tuple[str, ...], bug: str | None, number: int = 0) -> Outcomes:
    """Run tests in this process with a bug, or none, and with the seeds of one repetition."""
    outcomes = Outcomes()
    options = [f"--rootdir={HOUSE}", "--override-ini=addopts=", "--capture=no"]
    options += ["-x"] if bug is not None and len(tests) == 1 else []
    options += [word for name in QUIET for word in ("-p", f"no:{name}")]
    with planted(bug), repetition(number), warnings.catch_warnings():
        pytest.main([*options, *(str(HOUSE / test) for test in tests)], plugins=[outcomes])
    assert outcomes.broken == {}, outcomes.broken
    assert outcomes.passed | outcomes.failed == set(tests)
    return outcomes


def catchers_of(bug: str) -> tuple[str, ...]:
    """Return the names of the tests that are expected to catch a bug."""
    return tuple(CHECKLIST + name for name in CATCHERS[bug])


def caught_by(bug: str, tests: tuple[str, ...], number: int = 0) -> tuple[str, ...]:
    """Return which of these tests fail with a bug."""
    failed = run(tests, bug, number).failed
    return tuple(test for test in tests if test in failed)
