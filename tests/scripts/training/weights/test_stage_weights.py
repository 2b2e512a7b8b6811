import torch

from scripts.training.weights.stage_weights import StageWeights
from tests.scripts.training.fine_tuning.test_stage_ends import scripted
from tests.scripts.training.tiny_training import equal


def test_two_stages_then_a_file_each_with_the_stages_best_weights(tmp_path):
    training = scripted(tmp_path, [0.5, 0.1, 0.2, 0.9])
    handler = StageWeights(training.network, tmp_path)
    training.trainer([training.validation, training.stages, handler]).run()
    files = sorted((tmp_path / "stages").iterdir())
    assert [file.name for file in files] == ["stage_1.pt", "stage_2.pt"]
    first, second, result = (
        torch.load(file, weights_only=True)["model"] for file in (*files, tmp_path / "model.pt")
    )
    assert equal(second, result)
    assert not equal(first, second)
