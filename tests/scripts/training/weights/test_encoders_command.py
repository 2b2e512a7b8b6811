import json
import re
from pathlib import Path

import pytest

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.published import NAMED
from scripts.training.weights.encoders_command import encoders


def test_list_then_a_row_for_every_encoder_and_the_address_of_every_file(capsys):
    encoders()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [row.split()[1] for row in rows] == ["encoder", *ENCODERS]
    assert len({len(row) for row in rows}) == 1
    row = next(row for row in rows if "resnet152" in row)
    assert [cell.strip() for cell in row.strip("| ").split("|")] == [
        *("resnet152", "58.1 M", "120.3", "155", "64 256 512 1024 2048", "2 4 8 16 32"),
        "imagenet, imagenet_v2",
    ]
    addresses = re.findall(r"https://\S+", printed)
    assert sorted(addresses) == sorted(url for files in NAMED.values() for url in files.values())
    assert "BSD-3-Clause" in printed
    assert "512 x 512" in printed
    documented = Path(__file__).parents[4] / "docs" / "encoders.md"
    shipped = [row for row in rows if not row.startswith("| tiny ")]  # of these tests
    text = documented.read_text()
    assert [row for row in text.splitlines() if row in shipped] == shipped


def test_json_then_the_same_for_programs(capsys):
    encoders("convnext_tiny", json=True)
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry == {
        "name": "convnext_tiny",
        "parameters": 27818592,
        "gflop": 46.55,
        "size": 512,
        "layers": 22,
        "block_channels": [96, 96, 192, 384, 768],
        "block_strides": [4, 4, 8, 16, 32],
        "weights": {"imagenet": NAMED["imagenet"]["convnext_tiny"]},
        "licence": "BSD-3-Clause",
        "other_licences": {},
    }


def test_weights_of_vgg16_s_authors_then_their_licence_is_stated(capsys):
    encoders("vgg16")
    lines = capsys.readouterr().out.splitlines()
    marked = [line.split()[1] for line in lines if line.endswith("(CC-BY-4.0)")]
    assert marked == ["imagenet_features:"]
    encoders("vgg16", json=True)
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["other_licences"] == {"imagenet_features": "CC-BY-4.0"}


def test_encoder_without_published_weights_then_no_address(capsys):
    encoders("resnet38", size=64)
    printed = capsys.readouterr().out
    assert "http" not in printed
    assert "| none " in printed
    assert "64 x 64" in printed


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet43", 512, "got 'resnet43'; did you mean resnet"),
        (None, 500, "size: must be a positive multiple of 32, got 500"),
        (None, -32, "size: must be a positive multiple of 32, got -32"),
        (None, "large", "size: must be a positive multiple of 32, got large"),
    ],
)
def test_other_name_or_size_then_refused_in_one_line(name, size, message):
    with pytest.raises(ValueError, match=message) as caught:
        encoders(name, size=size)
    assert "\n" not in str(caught.value)
