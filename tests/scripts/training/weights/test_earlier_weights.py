import json
import logging

import torch
from ignite.engine import Engine, Events

from scripts.bundle.held_models import held_models
from scripts.bundle.model_file import content_of, read_model
from scripts.training.engine_events import StageEvents
from scripts.training.weights.earlier_weights import EarlierWeights


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content_of({"weight": torch.full((2,), value)}, {"network_def": None}, {})
    torch.save({**content, "metric": "dice"}, path)
    return path


def trained(folder, rounds):
    """Run the handler over a training that ends with a model file."""
    lists = [{"models": {"fold0": "none.pt", "all": str(path)}} for path in rounds]
    (folder / "datalist.json").write_text(json.dumps({"context": lists} if lists else {}))
    trainer = Engine(lambda *_: None)
    EarlierWeights(folder / "datalist.json", folder / "out").attach(trainer)

    @trainer.on(Events.COMPLETED)
    def finish():
        write(folder / "out" / "model.pt", 3.0)
        trainer.fire_event(StageEvents.RUN_COMPLETED)

    trainer.run([0])
    return read_model(folder / "out" / "model.pt")


def test_networks_of_all_rounds_then_in_the_finished_model_file(tmp_path):
    rounds = [write(tmp_path / f"{n}.pt", float(n)) for n in (1, 2)]
    model = trained(tmp_path, rounds)
    assert [float(one.weights["weight"][0]) for one in held_models(model)] == [1.0, 2.0]
    assert model.record["metric"] == "dice"
    assert float(model.weights["weight"][0]) == 3.0


def test_network_that_is_gone_then_named_and_none_held(tmp_path, caplog):
    rounds = [write(tmp_path / "1.pt", 1.0), tmp_path / "gone.pt"]
    with caplog.at_level(logging.WARNING):
        model = trained(tmp_path, rounds)
    assert "gone.pt, so that model.pt will not hold the networks" in caplog.text
    assert held_models(model) == []


def test_datalist_without_networks_then_said(tmp_path, caplog):
    model = trained(tmp_path, [])
    assert "names no networks of its maps" in caplog.text
    assert held_models(model) == []
