import json

import bench_peers
import peers
import pytest
import torch
from torch import nn


def software(network: nn.Module) -> peers.Software:
    return peers.Software("a peer", "2D", network, lambda path: torch.zeros(path, 1, 1).numpy())


def test_operations_then_those_of_every_call_counted():
    network = nn.Conv2d(3, 5, 3, padding=1)
    one = software(network)
    for size in (8, 8, 16):
        network(torch.zeros(1, 3, size, size))
    voxels = 8 * 8 + 8 * 8 + 16 * 16
    assert one.operations() == 2 * 9 * 3 * 5 * voxels
    assert one.parameters() == 5 * (9 * 3 + 1)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_made_to_find_nothing_then_background_everywhere(channels):
    layer = nn.Conv2d(2, channels, 1)
    peers.find_nothing(layer)
    logits = layer(torch.randn(1, 2, 8, 8))[0]
    labels = logits.argmax(0) if channels > 1 else logits[0] > 0
    assert not labels.any()


def test_neighbours_then_the_slice_is_in_the_middle_and_ends_are_repeated():
    image = torch.arange(3.0).reshape(3, 1, 1)
    assert peers.neighbours(image)[..., 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]


def test_rows_measured_in_parts_then_one_table_with_what_is_known(tmp_path):
    file = tmp_path / "rows.json"
    time = {"title": "A", "computes": "2D", "parameters": 2e6, "operations": 3e12}
    time |= {"seconds": 4.0, "processor_seconds": 5.0}
    bench_peers.merged(file, [{"kind": "a", "slices": 140, **time}])
    bench_peers.merged(file, [{"kind": "b", "slices": 20, "peak_memory_mb": 700.0}])
    rows = bench_peers.merged(file, [{"kind": "a", "slices": 140, "peak_memory_mb": 600.0}])
    assert json.loads(file.read_text()) == rows
    lines = bench_peers.table(rows).splitlines()[2:]
    assert lines == [
        "| A | 2D | 2.0 M | 3.00 TFLOP | 4.0 | 5.0 |  | 600 MB |",
        "| b (20 slices) |  |  |  |  |  |  | 700 MB |",
    ]


def test_a_peer_that_is_not_installed_then_left_out_by_name(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_peers, "cut", lambda source, slices, target: source)
    monkeypatch.setattr(bench_peers, "geometry", lambda path: (None, (7, 1, 1)))
    monkeypatch.setattr(bench_peers, "build", lambda kind, ct: software(nn.Conv2d(1, 1, 1)))
    monkeypatch.setattr(bench_peers, "memory", lambda kind, arguments: 600.0)
    words = {"kinds": "flexible_unet,nnunet", "slices": 0, "parts": "memory", "output": None}
    arguments = bench_peers.argparse.Namespace(source=tmp_path, **words)
    assert bench_peers.run(arguments, tmp_path) == 1
    printed = capsys.readouterr()
    assert "flexible_unet" in printed.out
    assert "nnunet" not in printed.out
    assert "nnunet: not measured, not installed: nnunetv2," in printed.err
