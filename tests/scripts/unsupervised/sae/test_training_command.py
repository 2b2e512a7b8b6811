import inspect

import pytest

from scripts.unsupervised.sae.autoencoder import Training, read_autoencoder
from scripts.unsupervised.sae.patches import WINDOWS_HU, PatchShape
from scripts.unsupervised.sae.training_command import read_widths, read_windows, train
from tests.scripts.unsupervised.patch_cohort import write_cohort

QUICK = {"widths": "12,5", "patch_size": 3, "patches": 256, "epochs": 1, "fine_tuning": 1}


def test_defaults_then_those_of_a_training():
    options = {n: p.default for n, p in inspect.signature(train).parameters.items()}
    expected, shape = Training(), PatchShape()
    same = ("patches", "epochs", "fine_tuning", "learning_rate", "sparsity", "sparsity_weight")
    assert {name: options[name] for name in same} == {n: getattr(expected, n) for n in same}
    assert (options["patch_size"], options["patch_slices"]) == (shape.size, shape.slices)
    assert (read_widths(None), read_windows(None)) == (expected.widths, WINDOWS_HU)


def test_train_then_a_file_with_its_options_and_the_figures_shown(tmp_path, capsys):
    datalist, output = write_cohort(tmp_path), tmp_path / "new" / "sae.pt"
    options = {**QUICK, "windows_hu": [[-900, 300]], "patch_slices": 1, "seed": 4}
    train(str(datalist), str(output), **options)
    model = read_autoencoder(output)
    assert model.reader.shape == PatchShape(3, 1, ((-900.0, 300.0),))
    assert model.settings["widths"] == [12, 5]
    assert model.settings["seed"] == 4
    shown = capsys.readouterr().out
    assert "256 patches of 4 slices of 4 patients, 128 of them near" in shown
    assert "squared error of the reconstruction" in shown
    assert [file.name for file in output.parent.iterdir()] == ["sae.pt"]


def test_same_command_again_then_kept_and_another_one_refused(tmp_path, capsys):
    datalist, output = str(write_cohort(tmp_path)), tmp_path / "sae.pt"
    train(datalist, str(output), **QUICK)
    before = output.read_bytes()
    train(datalist, str(output), **QUICK)
    assert output.read_bytes() == before
    assert "already trained" in capsys.readouterr().out
    with pytest.raises(ValueError, match="sae.pt was trained with other settings"):
        train(datalist, str(output), **{**QUICK, "epochs": 2})
    train(datalist, str(output), **{**QUICK, "epochs": 2}, overwrite=True)
    assert read_autoencoder(output).settings["epochs"] == 2


@pytest.mark.parametrize("value", ["a,b", "12.5", [1, "x"]])
def test_widths_that_are_no_numbers_then_refused(value):
    with pytest.raises(ValueError, match="widths: must be numbers such as 256,128"):
        read_widths(value)


@pytest.mark.parametrize("value", ["lung", [[0, 1, 2]], [[5, 1]]])
def test_windows_that_are_no_pairs_then_refused(value):
    with pytest.raises(ValueError, match="window"):
        read_windows(value)
