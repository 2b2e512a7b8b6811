import pytest
import torch
from torch import nn

from scripts.training import distributed


def test_batch_then_is_shared_out_evenly(monkeypatch):
    assert distributed.share_of_batch(32) == 32
    assert distributed.share_of_batch(32, accumulation_steps=4) == 8
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert distributed.share_of_batch(32, 4) == 4


@pytest.mark.parametrize(
    ("batch", "steps", "least"),
    [
        (32, 3, "a multiple of 3"),
        (2, 4, "a multiple of 4"),
    ],
)
def test_batch_that_cannot_be_shared_evenly_then_is_refused(batch, steps, least):
    expected = rf"must be {least} \(processes 1, accumulation_steps {steps}\), got {batch}"
    with pytest.raises(ValueError, match=expected):
        distributed.share_of_batch(batch, steps)


@pytest.mark.parametrize(
    ("batch", "steps", "name"),
    [(0, 1, "batch_size"), (2.5, 1, "batch_size"), (2, 0, "accumulation_steps")],
)
def test_batch_that_is_no_whole_number_above_0_then_refused_by_name(batch, steps, name):
    with pytest.raises(ValueError, match=f"{name}: must be a whole number, at least 1, got"):
        distributed.share_of_batch(batch, steps)


def test_overlay_outside_torchrun_then_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="must be run by torchrun"):
        distributed.initialise()


def test_more_processes_than_gpus_then_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.local_device() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="at most the number of GPUs, 2"):
        distributed.local_device()


def test_device_without_gpus_then_is_the_cpu():
    if not torch.cuda.is_available():
        assert distributed.local_device() == torch.device("cpu")


@pytest.fixture
def _one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
def test_network_then_is_wrapped_and_batch_norms_on_cpus_are_warned_of(caplog):
    plain = nn.Sequential(nn.Conv2d(1, 1, 1))
    wrapped = distributed.distribute(plain, torch.device("cpu"))
    assert wrapped.module is plain
    assert wrapped.find_unused_parameters
    assert not caplog.records
    distributed.distribute(nn.Sequential(*plain, nn.BatchNorm2d(1)), torch.device("cpu"))
    assert "1 batch norms use the statistics of each process' own share" in caplog.text


@pytest.mark.usefixtures("_one_process")
def test_sampler_then_gives_a_share_or_says_which_data_are_too_few(monkeypatch):
    sampler = distributed.shared_sampler([1, 2, 3], "validation", shuffle=False)
    assert list(sampler) == [0, 1, 2]
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="validation: has 1 samples, fewer than the 2 processes"):
        distributed.shared_sampler([1], "validation", shuffle=False, even_divisible=False)


def test_short_epochs_then_other_samples_in_each_and_none_twice():
    sampler = distributed.short_epoch_sampler(list(range(20)), 7)
    epochs = [list(sampler) for _ in range(30)]
    assert all(len(set(epoch)) == len(sampler) == 7 for epoch in epochs)
    assert set().union(*epochs) == set(range(20))
    assert sorted(distributed.short_epoch_sampler(list(range(20)), 50)) == list(range(20))


@pytest.mark.parametrize("samples", [0, -1, True, 2.0, "8"])
def test_short_epochs_of_no_samples_then_refused(samples):
    with pytest.raises(ValueError, match="epoch_samples: must be a whole number of at least 1"):
        distributed.short_epoch_sampler([1, 2], samples)


def test_short_epochs_in_several_processes_then_refused(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="short_epochs.json: works in one process only"):
        distributed.short_epoch_sampler([1, 2], 1)
