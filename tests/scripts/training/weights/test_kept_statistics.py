import torch

from scripts.training.weights.kept_statistics import KeptStatistics
from tests.scripts.training.weights.model_files import network, run


def test_statistics_of_the_encoder_then_hold_still_once_training_starts():
    trained = network().train()
    run(KeptStatistics(trained))
    before = {key: value.clone() for key, value in trained.encoder.state_dict().items()}
    trained(torch.rand(2, 1, 64, 64))
    found = trained.encoder.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in found.items())
