"""Converted networks on the disk: used again, or made again; never in the way."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.prediction.network import conversion_cache, openvino_network
from scripts.prediction.network.conversion_cache import VARIABLE, ConversionCache, cache_folder
from scripts.prediction.network.openvino_core import load_openvino
from scripts.prediction.network.openvino_network import Conversion, conversion_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of this test's conversions."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture
def conversions(monkeypatch):
    """The networks that were converted, and not read."""
    made, convert = [], openvino_network.convert_network

    def note(network, *, channels):
        made.append(network)
        return convert(network, channels=channels)

    monkeypatch.setattr(openvino_network, "convert_network", note)
    return made


def weighted(value, *, padding=0):
    network = nn.Conv2d(3, 1, 3, padding=padding).eval()
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def results(network, image):
    with torch.no_grad():
        found = conversion_of(network, channels=3).call(torch.float32)(image)
        torch.testing.assert_close(found, network(image))


@pytest.mark.usefixtures("folder")
def test_network_converted_before_then_read_and_another_converted(conversions):
    image = torch.rand(1, 3, 20, 30)
    one, same, other, wider = weighted(1.0), weighted(1.0), weighted(2.0), weighted(1.0, padding=1)
    same.load_state_dict(one.state_dict())
    wider.load_state_dict(one.state_dict())
    for network in (one, same, other, wider):
        results(network, image)
    assert conversions == [one, other, wider]


class Scaled(nn.Conv2d):
    """Computes with a number that neither its weights nor its description contain."""

    factor = 1.0

    def forward(self, x):
        return super().forward(x) * self.factor


class ScaledWhereBlack(Scaled):
    """The same, where the second channel is 0."""

    def forward(self, x):
        return nn.Conv2d.forward(self, x) * torch.where(x[:, 1:2] == 0, self.factor, 1.0)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", [Scaled, ScaledWhereBlack])
def test_code_of_a_network_that_changed_then_converted_again_and_kept(
    conversions, monkeypatch, kind
):
    network, image = kind(3, 1, 1).eval(), torch.rand(1, 3, 9, 9)
    results(network, image)
    monkeypatch.setattr(Scaled, "factor", 3.0)
    results(network, image)
    results(network, image)
    assert conversions == [network, network]


@pytest.mark.parametrize("damage", [0, 40], ids=["empty", "cut short"])
@pytest.mark.parametrize("suffix", ["xml", "bin"])
def test_damaged_conversion_then_made_again(folder, conversions, suffix, damage):
    network, image = weighted(1.0), torch.rand(1, 3, 9, 9)
    results(network, image)
    (file,) = folder.glob(f"*/*.{suffix}")
    os.truncate(file, damage)
    results(network, image)
    results(network, image)
    assert conversions == [network, network]


def test_files_that_change_after_they_were_read_then_the_conversion_does_not(folder):
    image = torch.rand(1, 3, 20, 20)
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 1, 3)).eval()
    results(network, image)
    (file,) = folder.glob("*/*.bin")
    read = ConversionCache(load_openvino(), folder).read(file.parent.name)
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    found = Conversion(read).call(torch.float32)(image)
    torch.testing.assert_close(found, network(image).detach())


def _a_file(folder):
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.write_text("a file")


def _no_home(folder, monkeypatch):
    for name in (VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))


@pytest.mark.parametrize("wrong", ["a file in its place", "no home", "full disk"])
def test_cache_that_cannot_be_written_then_converted_all_the_same_and_nothing_left(
    folder, conversions, monkeypatch, wrong
):
    if wrong == "a file in its place":
        _a_file(folder)
    elif wrong == "no home":
        _no_home(folder, monkeypatch)
    else:

        def save(model, path, **_):
            Path(path).write_text("<net")
            raise RuntimeError("no space left on device")

        monkeypatch.setattr(load_openvino(), "save_model", save)
    network = weighted(1.0)
    for _ in range(2):
        results(network, torch.rand(1, 3, 9, 9))
    assert conversions == [network, network]
    assert not folder.is_dir() or not list(folder.iterdir())


def test_disk_that_keeps_a_part_of_a_file_then_nothing_kept(folder, monkeypatch):
    openvino = load_openvino()
    save = openvino.save_model

    def cut(model, path, **options):
        save(model, path, **options)
        os.truncate(Path(path).with_suffix(".bin"), 8)

    monkeypatch.setattr(openvino, "save_model", cut)
    results(weighted(1.0), torch.rand(1, 3, 9, 9))
    assert not list(folder.iterdir())


def test_many_conversions_then_those_used_last_kept_and_other_files_untouched(folder, monkeypatch):
    monkeypatch.setattr(conversion_cache, "KEPT", 2)
    cache, keys = ConversionCache(load_openvino(), folder), [c * 64 for c in "abc"]
    (folder / "mine").mkdir(parents=True)
    model = conversion_of(weighted(1.0), channels=3).model
    for name in folder.iterdir():
        os.utime(name, (1, 1))
    for time, key in enumerate(keys[:2]):
        cache.write(key, model)
        os.utime(folder / key, (10 + time, 10 + time))
    assert cache.read(keys[0]) is not None
    cache.write(keys[2], model)
    assert {path.name for path in folder.iterdir()} == {"mine", keys[0], keys[2]}


def test_folder_then_named_or_that_of_the_users_caches(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/named")
    assert cache_folder() == Path("/named/openvino")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/transfer-ct-bundles/openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/transfer-ct-bundles/openvino")
