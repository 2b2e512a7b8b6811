"""The steps of adapting a network, as given on the command line."""

import pytest

from scripts.retraining.adapt.tuning_steps import tuning_step


def test_step_then_a_stage_of_its_parts_iterations_and_rate():
    step = tuning_step("shallow", ("decoder",), 5, 1e-6)
    assert (step.trainable, step.epochs, step.learning_rate) == (("decoder",), 5, 1e-6)


@pytest.mark.parametrize(
    ("parts", "iterations", "rate", "told"),
    [
        ((), 5, 1e-6, "deep_parts: must name at least one part"),
        (("all",), 0, 1e-6, "deep_iterations: must be a whole number"),
        (("all",), 5, True, "deep_rate: must be a number above 0, got True"),
        (("all",), 5, float("inf"), "deep_rate: must be a number above 0, got inf"),
    ],
    ids=["no parts", "no iteration", "no number", "infinite"],
)
def test_step_that_cannot_be_then_refused_by_its_option(parts, iterations, rate, told):
    with pytest.raises(ValueError, match=told):
        tuning_step("deep", parts, iterations, rate)
