"""Strategies: the shipped files, and what is refused in one's own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from scripts.training.fine_tuning.stage_options import Average, LowRank, Penalty, Schedule
from scripts.training.fine_tuning.strategies import (
    discriminative_rates,
    parameter_groups,
    read_strategy,
    superimposed,
    total_epochs,
)
from tests.scripts.training.tiny_training import TinyNet

SHIPPED = Path(__file__).resolve().parents[4] / "configs" / "strategies"
BLOCKS = ["block1", "block2", "block3", "block4", "block5"]
LAYERS = [f"conv{i}" for i in range(1, 14)]


class Vgg:
    """What the files ask of a network: the names of its layers and blocks."""

    layer_names = tuple(LAYERS)
    block_names = (*BLOCKS, "decoder")


def shipped(name: str, **overrides: Any) -> dict[str, Any]:
    """The file as MONAI composes and resolves it after a config with ``network_def``."""
    files = ConfigParser.load_config_files([str(SHIPPED / f"{name}.json")])
    run = {"network_def": {"_target_": f"{__name__}.Vgg"}, "learning_rate": 1e-4}
    parser = ConfigParser({**run, **files, **overrides})
    strategy: dict[str, Any] = parser.get_parsed_content("strategy")
    return strategy


def released(name: str) -> list[set[str]]:
    return [
        set(stage.trainable)
        for stage in read_strategy(shipped(name), epochs=1, learning_rate=1).stages
    ]


EXPECTED = {
    "bsft": [{"decoder", *BLOCKS[i:]} for i in (4, 3, 2, 1, 0)],
    "bottom_up": [{"decoder", *BLOCKS[:i]} for i in (1, 2, 3, 4, 5)],
    "layerwise": [{"decoder", *LAYERS[i:]} for i in range(12, -1, -1)],
    "layerwise_bottom_up": [{"decoder", *LAYERS[:i]} for i in range(1, 14)],
    "frozen": [{"decoder"}],
    "shallow": [{"decoder", "block5"}],
    "full": [{"all"}],
    "scratch": [{"all"}],
    "frozen_then_thaw": [{"decoder"}, {"all"}, {"all"}],
    "discriminative": [{"all"}],
    "csae": [{"decoder"}, {"all"}],
    "rate_steps": [{"all"}, {"all"}, {"all"}],
    "probe_then_full": [{"decoder"}, {"all"}],
    "layer_decay": [{"all"}],
    "surgical": [{"decoder", "block1"}],
    "progressive_freezing": [{"decoder", *BLOCKS[i:]} for i in (0, 1, 2, 3, 4)],
    "warm_up_polynomial": [{"all"}],
    "l2_sp": [{"all"}],
    "norms": [{"decoder", "norms"}],
    "auto_rgn": [{"all"}],
    "auto_depth": [{"decoder", *BLOCKS[i:]} for i in (4, 3, 2, 1, 0)],
    "weight_average": [{"all"}],
    "low_rank": [{"decoder"}],
}
OPTIONS = {
    "warm_up_polynomial": {"schedule": Schedule(0.1, 0.9)},
    "l2_sp": {"penalty": Penalty(0.1, 0.01)},
    "auto_rgn": {"auto_rates": True},
    "weight_average": {"average": Average(0.5)},
    "low_rank": {"low_rank": LowRank(4, 1.0, ("encoder",))},
}
OWN_PACE = ["frozen_then_thaw", "csae", "rate_steps"]


def test_shipped_strategies_when_listed_then_each_is_expected_here() -> None:
    assert {file.stem for file in SHIPPED.glob("*.json")} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_strategy_when_read_then_it_releases_what_its_name_says(name: str) -> None:
    assert released(name) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_strategy_when_read_then_its_name_is_that_of_its_file_and_defaults_apply(
    name: str,
) -> None:
    strategy = read_strategy(shipped(name), epochs=200, learning_rate=1e-4)
    assert strategy.name == name
    if name not in OWN_PACE:
        assert {(s.epochs, s.patience, s.learning_rate) for s in strategy.stages} == {
            (200, None, 1e-4)
        }


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_strategy_when_read_then_it_has_the_mechanism_of_its_name(name: str) -> None:
    strategy = read_strategy(shipped(name), epochs=1, learning_rate=1)
    assert strategy.stop_margin == (0.005 if name == "auto_depth" else None)
    for stage in strategy.stages:
        wanted = dict.fromkeys(("schedule", "penalty", "average", "low_rank"))
        wanted |= {"auto_rates": False, **OPTIONS.get(name, {})}
        assert {key: getattr(stage, key) for key in wanted} == wanted


def test_layer_decay_when_read_then_rates_fall_from_layer_to_layer() -> None:
    (stage,) = read_strategy(shipped("layer_decay"), epochs=1, learning_rate=1e-4).stages
    rates = [stage.rate(layer) for layer in (*LAYERS, "decoder")]
    assert rates == pytest.approx([1e-4 * 0.8**i for i in range(13, -1, -1)])


def test_surgical_when_another_block_is_chosen_then_it_is_that_one() -> None:
    assert shipped("surgical", surgical_block="block3")["stages"][0]["trainable"] == [
        "decoder",
        "block3",
    ]


def test_frozen_then_thaw_when_read_then_each_thaw_is_slower_and_ends_when_nothing_improves() -> (
    None
):
    stages = read_strategy(shipped("frozen_then_thaw"), epochs=200, learning_rate=1e-4).stages
    assert [stage.learning_rate for stage in stages] == pytest.approx([1e-4, 1e-5, 1e-6])
    assert [stage.patience for stage in stages] == [None, 10, 10]


def test_discriminative_when_read_then_rates_fall_from_the_decoder_to_the_first_block() -> None:
    (stage,) = read_strategy(shipped("discriminative"), epochs=1, learning_rate=1e-4).stages
    assert stage.rate("decoder") == 1e-4
    rates = [stage.rate(block) for block in (*BLOCKS, "decoder")]
    assert [b / a for a, b in itertools.pairwise(rates)] == pytest.approx([2.6] * 5)


@pytest.mark.parametrize(
    ("parts", "rate", "factor", "message"),
    [
        ("block1", 1.0, 2.6, "parts: must be a list of parameter groups, got 'block1'"),
        ([], 1.0, 2.6, "parts: must be a list"),
        (["decoder"], 0, 2.6, "learning_rate: must be a number above 0"),
        (["decoder"], 1.0, 0.5, "factor: must be at least 1, got 0.5"),
    ],
    ids=["a text", "no parts", "no rate", "rising"],
)
def test_discriminative_rates_when_they_make_no_sense_then_they_are_refused(
    parts: Any, rate: float, factor: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        discriminative_rates(parts, rate, factor=factor)


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_file_when_composed_then_it_sets_the_strategy_only(name: str) -> None:
    content = json.loads((SHIPPED / f"{name}.json").read_text())
    own = {"scratch": {"encoder_weights": "none"}, "surgical": {"surgical_block": "block1"}}
    assert content == {**own.get(name, {}), "strategy": content["strategy"]}


def test_strategy_when_made_plain_then_it_reads_the_same_again() -> None:
    own = {
        "name": "x",
        "trainable": ["decoder"],
        "patience": 3,
        "learning_rates": {"decoder": 1e-3},
    }
    strategy = read_strategy({"name": "own", "stages": [own]}, epochs=7, learning_rate=0.1)
    assert read_strategy(strategy.plain()) == strategy
    assert json.loads(json.dumps(strategy.plain())) == strategy.plain()


def test_options_when_made_plain_then_they_read_the_same_again_and_unused_ones_are_left_out() -> (
    None
):
    own = {
        **{"name": "x", "trainable": ["decoder"], "schedule": {"warm_up": 0.2}},
        **{"average": {"start": 0.1}, "low_rank": {"parts": ["block1"]}},
    }
    stages = [own, {"name": "y", "trainable": ["all"], "penalty": {}, "auto_rates": True}]
    strategy = read_strategy(
        {"name": "own", "stages": stages, "stop_margin": 0.1}, epochs=7, learning_rate=0.1
    )
    assert read_strategy(strategy.plain()) == strategy
    assert json.loads(json.dumps(strategy.plain())) == strategy.plain()
    plain = read_strategy(shipped("full"), epochs=1, learning_rate=1).plain()
    assert plain.keys() == {"name", "stages"}
    assert plain["stages"][0].keys() == {
        *("name", "trainable", "epochs", "patience"),
        *("learning_rate", "learning_rates", "final_rate"),
    }


def test_schedule_then_the_final_rate_of_the_run_does_not_apply_and_its_own_is_refused() -> None:
    own: dict[str, Any] = {"name": "x", "trainable": ["all"], "schedule": {}}
    (stage,) = read_strategy(
        {"name": "s", "stages": [own]}, epochs=3, learning_rate=1, final_rate=0.1
    ).stages
    assert stage.rate("decoder", 2) == 1.0
    with pytest.raises(ValueError, match=r"final_rate: the schedule lowers the rates itself"):
        read_strategy(
            {"name": "s", "stages": [{**own, "final_rate": 0.1}]}, epochs=3, learning_rate=1
        )


def test_rate_of_a_layer_then_its_own_or_that_of_its_block() -> None:
    own = {"name": "x", "trainable": ["all"], "learning_rates": {"block5": 0.1, "conv13": 0.01}}
    (stage,) = read_strategy({"name": "s", "stages": [own]}, epochs=3, learning_rate=1).stages
    found = [
        stage.rate(*pair[:1], block=pair[1])
        for pair in (("conv13", "block5"), ("conv12", "block5"), ("conv1", "block1"))
    ]
    assert found == [0.01, 0.1, 1]


def test_stage_when_it_says_itself_then_defaults_do_not_apply() -> None:
    own = {
        "name": "x",
        "trainable": ["decoder", "block5"],
        "epochs": 3,
        "patience": 2,
        "learning_rate": 0.01,
        "learning_rates": {"block5": 0.001},
    }
    (stage,) = read_strategy({"name": "own", "stages": [own]}, epochs=9, learning_rate=1).stages
    assert (stage.epochs, stage.patience) == (3, 2)
    assert (stage.rate("decoder"), stage.rate("block5")) == (0.01, 0.001)


def test_final_rate_then_rates_fall_by_a_factor_an_epoch_and_restart_with_each_stage() -> None:
    stages = [
        {"name": "a", "trainable": ["all"], "learning_rates": {"block1": 1e-4}},
        {"name": "b", "trainable": ["all"], "final_rate": 1.0},
    ]
    found = read_strategy(
        {"name": "x", "stages": stages}, epochs=3, learning_rate=1e-2, final_rate=0.01
    )
    first, second = found.stages
    assert [first.rate("decoder", k) for k in range(3)] == pytest.approx([1e-2, 1e-3, 1e-4])
    assert [first.rate("block1", k) for k in range(3)] == pytest.approx([1e-4, 1e-5, 1e-6])
    assert [second.rate("decoder", k) for k in range(3)] == [1e-2] * 3


def test_total_epochs_when_some_stages_say_then_the_others_take_the_default() -> None:
    stages = [{**stage} for stage in superimposed(BLOCKS)]
    stages[0]["epochs"] = 10
    assert total_epochs({"name": "own", "stages": stages}, 100) == 410


GOOD = {"name": "x", "trainable": ["decoder"]}
REFUSED: dict[str, tuple[Any, str]] = {
    "no dict": (
        ["decoder"],
        r"strategy: must be a dict with name, stages, stop_margin, got \['decoder'\]",
    ),
    "unknown key": (
        {"name": "s", "stages": [GOOD], "stage": 1},
        "strategy: unknown stage; valid keys are name, stages, stop_margin",
    ),
    "no name": ({"stages": [GOOD]}, "strategy.name: must be text, got None"),
    "no stages": ({"name": "s", "stages": []}, "strategy.stages: must be a list of at least one"),
    "stages as text": ({"name": "s", "stages": "bsft"}, "strategy.stages: must be a list"),
    "margin below 0": (
        {"name": "s", "stages": [GOOD], "stop_margin": -1},
        "strategy.stop_margin: must be a number of at least 0, got -1",
    ),
    "equal names": (
        {"name": "s", "stages": [GOOD, GOOD]},
        "names must differ, got x more than once",
    ),
}
REFUSED_STAGES: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt key": (
        {"learning_rat": 1},
        r"strategy.stages\[1\]: unknown learning_rat; valid keys are name, trainable, epochs, "
        "patience, learning_rate, learning_rates",
    ),
    "trainable as text": ({"trainable": "decoder"}, "trainable: must be a list of block or layer"),
    "nothing trainable": ({"trainable": []}, "trainable: must be a list of block or layer"),
    "trainable number": ({"trainable": [5]}, "trainable: must be text, got 5"),
    "no epochs": ({"epochs": 0}, r"\(y\).epochs: must be a whole number of at least 1, got 0"),
    "half an epoch": ({"epochs": 1.5}, "epochs: must be a whole number of at least 1, got 1.5"),
    "epochs as truth": ({"epochs": True}, "epochs: must be a whole number of at least 1, got True"),
    "no patience": ({"patience": 0}, "patience: must be a whole number of at least 1, got 0"),
    "rate of 0": ({"learning_rate": 0}, "learning_rate: must be a number above 0, got 0"),
    "endless rate": ({"learning_rate": float("inf")}, "learning_rate: must be a number above 0"),
    "rate as text": ({"learning_rate": "1e-4"}, "learning_rate: must be a number above 0"),
    "negative rate of a part": (
        {"learning_rates": {"decoder": -1}},
        "learning_rates.decoder: must be a number above 0, got -1",
    ),
    "warm-up without end": (
        {"schedule": {"warm_up": 1}},
        r"\(y\).schedule.warm_up: must be from 0 to below 1, got 1",
    ),
    "schedule as text": ({"schedule": "poly"}, "schedule: must be a dict with warm_up, power"),
    "no penalty": ({"penalty": {"pull": 0, "decay": 0}}, "penalty: pull and decay are both 0"),
    "penalty by another name": ({"penalty": {"alpha": 1}}, "unknown alpha; valid keys are pull"),
    "average of nothing": ({"average": {"start": 1}}, "start: must be from 0 to below 1, got 1"),
    "no rank": ({"low_rank": {"rank": 0}}, "rank: must be a whole number of at least 1, got 0"),
    "rates as number": ({"auto_rates": 1}, "auto_rates: must be true or false, got 1"),
    "low rank and a penalty": (
        {"low_rank": {}, "penalty": {}},
        "low_rank: the kernels have no gradients of their own",
    ),
    "rates as list": ({"learning_rates": [1]}, r"learning_rates: must map parts to numbers"),
}


@pytest.mark.parametrize(("strategy", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_strategy_when_it_makes_no_sense_then_it_is_refused(strategy: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_strategy(strategy, epochs=1, learning_rate=1)


@pytest.mark.parametrize(("change", "message"), REFUSED_STAGES.values(), ids=REFUSED_STAGES.keys())
def test_stage_when_it_makes_no_sense_then_it_is_refused(
    change: dict[str, Any], message: str
) -> None:
    stages = [GOOD, {**GOOD, "name": "y", **change}]
    with pytest.raises(ValueError, match=message):
        read_strategy({"name": "s", "stages": stages}, epochs=1, learning_rate=1)


def test_strategy_when_neither_it_nor_the_run_says_epochs_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"epochs: must be a whole number .* got None"):
        read_strategy({"name": "s", "stages": [GOOD]}, learning_rate=1)


def test_superimposed_when_something_else_always_trains_then_it_stands_in_each_stage() -> None:
    stages = superimposed(["block1", "block2"], always=("conv9", "decoder"))
    assert [stage["trainable"] for stage in stages] == [
        ["conv9", "decoder", "block1"],
        ["conv9", "decoder", "block1", "block2"],
    ]


@pytest.mark.parametrize("parts", [[], "block1"])
def test_superimposed_when_there_are_no_parts_then_it_is_refused(parts: Any) -> None:
    with pytest.raises(ValueError, match="parts: must be a list of block or layer names"):
        superimposed(parts)


def test_parameter_groups_when_made_then_each_part_has_one_with_its_name_and_rate() -> None:
    network = TinyNet()
    network.set_trainable(["decoder"])
    groups = parameter_groups(network, 0.1)
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("block1", 0.1),
        ("block2", 0.1),
        ("decoder", 0.1),
    ]
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_parameter_groups_when_the_rate_is_not_above_0_then_it_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate: must be a number above 0"):
        parameter_groups(TinyNet(), rate)
