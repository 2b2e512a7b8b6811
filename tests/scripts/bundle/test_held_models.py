import pytest
import torch

from scripts.bundle.held_models import held_models, holding, refuse_different, refuse_others
from scripts.bundle.model_file import bare, content_of, read_model


def write(path, value, **more):
    settings = {"network_def": None, "window_hu": [-1000, 400]}
    content = content_of({"weight": torch.full((2,), value)}, settings, {"seed": 3})
    torch.save({**content, **more}, path)
    return path


def test_models_then_held_in_their_order_without_their_own(tmp_path):
    first = read_model(write(tmp_path / "a.pt", 1.0))
    second = read_model(write(tmp_path / "b.pt", 2.0, **holding([first])))
    third = read_model(write(tmp_path / "c.pt", 3.0, **holding([first, second])))
    held = held_models(third)
    assert [float(one.weights["weight"][0]) for one in held] == [1.0, 2.0]
    assert held[0].settings == first.settings
    assert held[0].record["data"] == {"seed": 3}
    assert [held_models(one) for one in held] == [[], []]
    assert held_models(first) == []


def test_packaged_weights_then_hold_them_too(tmp_path):
    first = read_model(write(tmp_path / "a.pt", 1.0))
    model = read_model(write(tmp_path / "b.pt", 2.0, **holding([first])))
    torch.save(bare(model, model.weights), tmp_path / "packaged.pt")
    (held,) = held_models(read_model(tmp_path / "packaged.pt"))
    assert torch.equal(held.weights["weight"], first.weights["weight"])


def test_damaged_entry_then_refused(tmp_path):
    model = read_model(write(tmp_path / "a.pt", 1.0, earlier=[{"settings": {}}]))
    with pytest.raises(ValueError, match="an earlier network 1 without weights"):
        held_models(model)


def test_networks_with_different_earlier_ones_then_refused_by_name(tmp_path):
    earlier = [read_model(write(tmp_path / f"{value}.pt", value)) for value in (1.0, 2.0)]
    held = ([earlier[0]], [earlier[0]], [earlier[1]], [])
    models = [
        read_model(write(tmp_path / f"m{n}.pt", 3.0, **holding(one))) for n, one in enumerate(held)
    ]
    refuse_different(models[:2])
    for other in models[2:]:
        with pytest.raises(ValueError, match=f"{other.path.name} reads the maps of other earlier"):
            refuse_different([models[0], other])


def test_named_networks_then_those_that_the_file_holds_if_any(tmp_path):
    first, second = (read_model(write(tmp_path / f"{v}.pt", v)) for v in (1.0, 2.0))
    model = read_model(write(tmp_path / "m.pt", 3.0, **holding([first, second])))
    refuse_others(model, [first, second])
    refuse_others(first, [second])  # it holds none
    for named in ([second, first], [first], [first, first]):
        with pytest.raises(ValueError, match=r"m.pt was trained on the maps of other networks"):
            refuse_others(model, named)
