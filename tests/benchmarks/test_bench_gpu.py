import json

import bench_gpu
import gpu_parts
import pytest
import torch

from custom_nets.encoders import ENCODERS
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture
def tiny(monkeypatch):
    """One network and one variant of each part."""
    plain = next(iter(gpu_parts.CT_VARIANTS))
    monkeypatch.setattr(gpu_parts, "CT_VARIANTS", {plain: gpu_parts.CT_VARIANTS[plain]})
    monkeypatch.setattr(gpu_parts, "STEP_VARIANTS", {"awaited": {"last": True, "awaited": True}})
    monkeypatch.setattr(gpu_parts, "CASES", {"voxresnet": gpu_parts.voxresnet})


@pytest.fixture
def measure(tmp_path):
    """Run some parts on the CPU; return the exit code and what was written."""

    def run(parts):
        words = ["--device", "cpu", "--quick", "--parts", parts]
        code = bench_gpu.main([*words, "--output", str(tmp_path / "gpu")])
        written = json.loads((tmp_path / "gpu.json").read_text())
        return code, written, (tmp_path / "gpu.md").read_text()

    return run


@pytest.mark.usefixtures("tiny")
def test_parts_on_a_cpu_then_a_row_of_each_in_both_files(measure):
    code, written, table = measure("ct,step")
    assert (code, written["failures"]) == (0, [])
    whole, step = written["rows"]
    assert (whole["part"], whole["what"], step["part"]) == ("ct", "96 x 96 x 6", "step")
    assert whole["seconds"] >= whole["network"] > 0
    assert min(step["seconds"], step["first_seconds"], step["peak_memory_mb"]) > 0
    assert [line.split(" | ")[0] for line in table.splitlines()[4:6]] == ["| ct", "| step"]


def test_a_part_that_fails_then_named_and_the_others_go_on(measure, monkeypatch):
    def broken(bench, folder):
        bench.attempt("ct", "a CT", "plain", lambda: {"seconds": 2.0})
        bench.attempt("ct", "a CT", "fast", lambda: torch.zeros(2) + torch.zeros(3))
        bench.attempt("ct", "a CT", "faster", lambda: {"seconds": 0.5})
        raise OSError("no room")

    monkeypatch.setitem(gpu_parts.PARTS, "ct", broken)
    monkeypatch.setitem(
        gpu_parts.PARTS,
        "step",
        lambda bench, folder: bench.attempt("step", "a", "b", lambda: {"seconds": 1.0}),
    )
    code, written, table = measure("ct,step")
    assert code == 1
    assert [row["how"] for row in written["rows"]] == ["plain", "faster", "b"]
    assert "| ct | a CT | faster | 0.5 | 0.25 |" in table
    size, room = written["failures"]
    assert size.startswith("ct, a CT, fast: not measured: RuntimeError: The size of tensor")
    assert room == "ct: not measured: OSError: no room"
    assert size in table


def test_a_bench_out_of_time_then_nothing_begins():
    bench = bench_gpu.Bench(torch.device("cpu"), bench_gpu.QUICK, deadline=0.0)
    bench.attempt("ct", "a CT", "plain", lambda: pytest.fail("began"))
    assert bench.failures == ["ct, a CT, plain: not measured: out of time, see --minutes"]


def test_a_command_that_fails_or_lasts_too_long_then_reported():
    bench = bench_gpu.Bench(torch.device("cpu"), bench_gpu.QUICK, deadline=float("inf"))
    with pytest.raises(RuntimeError, match="ended with 1: ValueError: no data"):
        gpu_parts.command(bench, "-c", "raise ValueError('no data')")
    assert gpu_parts.command(bench, "-c", "pass") > 1
    bench.deadline = 0.0
    with pytest.raises(TimeoutError, match="out of time"):
        gpu_parts.command(bench, "-c", "import time; time.sleep(60)")


def test_stages_then_the_released_blocks_train_and_no_other(monkeypatch):
    seen = []

    def note(bench, case, how):
        parts = case.network.parts
        seen.append([name for name in parts if trains(case.network, name)])
        return {"seconds": 1.0}

    def trains(network, name):
        return all(
            weight.requires_grad
            for paths in network.parts[name].values()
            for path in paths
            for weight in network.get_submodule(path).parameters()
        )

    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    monkeypatch.setattr(gpu_parts, "one_step", note)
    monkeypatch.setattr(gpu_parts, "CASES", {"vgg16": tiny_unet, "resnet34": tiny_unet})
    bench = bench_gpu.Bench(torch.device("cpu"), bench_gpu.QUICK, deadline=float("inf"))
    gpu_parts.stages(bench, None)
    assert [row["how"][0] for row in bench.rows] == list("pABCDE") * 2
    assert [len(blocks) for blocks in seen] == [6, 2, 3, 4, 5, 6] * 2


def tiny_unet(sizes):
    network = gpu_parts.TransferUNet(TinyEncoder.name, in_channels=1, decoder_channels=(4,) * 5)
    return gpu_parts.Case("U-Net", network, torch.nn.L1Loss(), torch.zeros(1), torch.zeros(1))
