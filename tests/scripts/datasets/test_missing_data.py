import pytest

from scripts.datasets.datalist import declared_samples
from scripts.datasets.missing_data import MissingData, require_data
from scripts.datasets.training_data import training_mean


def test_samples_of_a_missing_datalist_then_empty_until_a_run_asks_for_them(tmp_path):
    samples = declared_samples(tmp_path / "datalist.json", "training")
    assert isinstance(samples, MissingData)
    assert samples == []
    with pytest.raises(FileNotFoundError, match="datalist.json not found; .* writes it"):
        require_data([[{"image": "a"}], samples])


def test_data_that_exist_then_accepted_also_when_a_program_gives_them():
    require_data([[{"image": "a.nii.gz", "label": "b.nii.gz"}], []])


def test_mean_without_a_datalist_then_0_with_a_warning(tmp_path, caplog):
    assert training_mean(tmp_path / "datalist.json", (-150, 250)) == 0
    assert "mean 0 until weights are loaded" in caplog.text
