from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from custom_nets.encoders import ENCODERS, make_encoder
from custom_nets.encoders.published import NAMED, PUBLISHED
from custom_nets.encoders.weights import WeightReport, load_encoder_weights
from tests.custom_nets.encoders import KINDS, reference
from tests.custom_nets.tiny import TinyEncoder

KINDS_WITH_WEIGHTS = [name for name in KINDS if name in PUBLISHED]
FIRST = "blocks.0.0.weight"
Publish = Callable[..., str]
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache; any address but a file's is out of reach."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub._hub_dir", None)

    def refuse(*_args: object) -> None:
        raise OSError("the network is blocked")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    return tmp_path / "torch_home" / "hub" / "checkpoints"


@pytest.fixture
def source() -> TinyEncoder:
    torch.manual_seed(5)
    return TinyEncoder(3)


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Write a file as a server would offer it; returns its file URL with the hash in the name."""

    def write(content: Any, digest: str | None = None) -> str:
        folder = tmp_path / "server"
        folder.mkdir(exist_ok=True)
        torch.save(content, folder / "plain.pth")
        found = hashlib.sha256((folder / "plain.pth").read_bytes()).hexdigest()
        target = folder / f"tiny-{digest or found[:8]}.pth"
        (folder / "plain.pth").replace(target)
        return target.as_uri()

    return write


def save(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


def assert_equal_weights(found: TinyEncoder, expected: dict[str, Tensor]) -> None:
    for key, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


def test_none_leaves_the_encoder_as_it_is(source: TinyEncoder) -> None:
    before = {key: tensor.clone() for key, tensor in source.state_dict().items()}
    assert load_encoder_weights(source, "none") == WeightReport(0, (), "none", "")
    assert_equal_weights(source, before)


@pytest.mark.parametrize("wrapped", [False, True], ids=["state_dict", "pretraining file"])
def test_a_file_fills_the_encoder_and_the_report_says_so(
    source: TinyEncoder, tmp_path: Path, wrapped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = {**source.state_dict(), "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    content = {"encoder": "tiny", "state_dict": tensors, "epochs": 3} if wrapped else tensors
    path = save(content, tmp_path / "weights.pt")
    target = TinyEncoder(3)
    with caplog.at_level(logging.INFO, logger="custom_nets.encoders.weights"):
        report = load_encoder_weights(target, path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert report == WeightReport(len(source.state_dict()), ("fc.weight", "fc.bias"), path, digest)
    assert_equal_weights(target, source.state_dict())
    assert f"tiny: {report.taken} tensors from {path}" in caplog.text
    assert "fc.weight, fc.bias" in caplog.text


def test_grey_encoders_take_the_sum_of_the_colour_kernels(
    source: TinyEncoder, tmp_path: Path
) -> None:
    target = TinyEncoder(1)
    load_encoder_weights(target, save(source.state_dict(), tmp_path / "weights.pt"))
    colours = source.state_dict()[FIRST]
    torch.testing.assert_close(target.state_dict()[FIRST][:, 0], colours.sum(dim=1))


def test_a_grey_file_fills_a_grey_encoder_and_is_refused_by_a_colour_one(tmp_path: Path) -> None:
    grey = TinyEncoder(1)
    path = save(grey.state_dict(), tmp_path / "grey.pt")
    target = TinyEncoder(1)
    load_encoder_weights(target, path)
    assert_equal_weights(target, grey.state_dict())
    with pytest.raises(ValueError, match=r"1 wrong .*blocks.0.0.weight \[4, 1, 3, 3\], must be"):
        load_encoder_weights(TinyEncoder(3), path)


def test_missing_and_misshapen_tensors_are_listed_and_nothing_is_changed(
    source: TinyEncoder, tmp_path: Path
) -> None:
    tensors = dict(source.state_dict())
    del tensors["blocks.2.1.bias"]
    tensors["blocks.3.0.weight"] = torch.zeros(4, 4, 5, 5)
    target = TinyEncoder(3)
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    message = (
        r"weights.pt must hold every tensor of tiny.*got 2 wrong.*blocks.2.1.bias \(missing\).*"
        r"blocks.3.0.weight \[4, 4, 5, 5\], must be \[4, 4, 3, 3\]"
    )
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(target, save(tensors, tmp_path / "weights.pt"))
    assert_equal_weights(target, before)


def test_a_stage_with_further_layers_is_refused_and_names_outside_the_encoder_are_not(
    source: TinyEncoder, tmp_path: Path
) -> None:
    deeper = {**source.state_dict(), "blocks.0.6.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"got 1 wrong of .*: blocks.0.6.weight \(of no layer\)"):
        load_encoder_weights(TinyEncoder(3), save(deeper, tmp_path / "deeper.pt"))
    inside = {f"encoder.{key}": tensor for key, tensor in source.state_dict().items()}
    network = {**inside, "blocks.0.6.weight": torch.zeros(1)}
    report = load_encoder_weights(TinyEncoder(3), save(network, tmp_path / "network.pt"))
    assert report.skipped == ("blocks.0.6.weight",)


def test_another_encoders_file_is_refused(source: TinyEncoder, tmp_path: Path) -> None:
    content = {"encoder": "vgg16", "state_dict": source.state_dict()}
    with pytest.raises(ValueError, match="must hold weights of tiny; got weights of vgg16"):
        load_encoder_weights(source, save(content, tmp_path / "weights.pt"))


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, {"state_dict": 7}], ids=["list", "numbers", "no tensors"]
)
def test_other_content_is_refused(source: TinyEncoder, tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match="must hold a state_dict"):
        load_encoder_weights(source, save(content, tmp_path / "weights.pt"))


def test_a_file_that_would_run_code_is_refused(source: TinyEncoder, tmp_path: Path) -> None:
    path = save({"weights": source}, tmp_path / "object.pt")
    with pytest.raises(ValueError, match=r"object.pt must be .*weights_only=True"):
        load_encoder_weights(source, path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04"], ids=["empty", "page", "cut"])
def test_a_file_that_is_no_weights_file_is_refused(
    source: TinyEncoder, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.pth must be a weights file"):
        load_encoder_weights(source, str(path))


@pytest.mark.parametrize("name", ["nowhere.pth", "", "ImageNet", "."])
def test_a_path_without_a_file_is_refused_with_the_alternatives(
    source: TinyEncoder, name: str
) -> None:
    with pytest.raises(FileNotFoundError, match=f"'none', 'imagenet', .*, a URL .* got '{name}'"):
        load_encoder_weights(source, name)


def test_imagenet_takes_the_published_file_once_into_the_cache(
    source: TinyEncoder, publish: Publish, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = publish(source.state_dict())
    monkeypatch.setitem(PUBLISHED, "tiny", url)
    target = TinyEncoder(3)
    report = load_encoder_weights(target, "imagenet")
    assert report.source == url
    assert_equal_weights(target, source.state_dict())
    assert [path.name for path in cache.iterdir()] == [url.rsplit("/", 1)[1]]
    Path(url.removeprefix("file://")).unlink()
    assert load_encoder_weights(TinyEncoder(3), "imagenet").sha256 == report.sha256


def test_the_download_shows_its_progress(
    source: TinyEncoder, publish: Publish, capfd: pytest.CaptureFixture[str]
) -> None:
    load_encoder_weights(source, publish(source.state_dict()))
    assert "100%" in capfd.readouterr().err


def test_a_hash_behind_the_address_is_checked_too(source: TinyEncoder, publish: Publish) -> None:
    url = publish(source.state_dict())
    digest = hashlib.sha256(Path(url.removeprefix("file://")).read_bytes()).hexdigest()
    assert load_encoder_weights(TinyEncoder(3), f"{url}#sha256={digest}").sha256 == digest
    with pytest.raises(ValueError, match="must have a sha256 that starts with 00000000"):
        load_encoder_weights(source, f"{url}#sha256=00000000")


def test_a_download_with_another_hash_is_refused_and_not_kept(
    source: TinyEncoder, publish: Publish, cache: Path
) -> None:
    url = publish(source.state_dict(), digest="00000000")
    with pytest.raises(ValueError, match="must have a sha256 that starts with 00000000"):
        load_encoder_weights(TinyEncoder(3), url)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused_by_name(
    source: TinyEncoder, publish: Publish, cache: Path
) -> None:
    url = publish(source.state_dict())
    cache.mkdir(parents=True)
    (cache / url.rsplit("/", 1)[1]).write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"tiny-.*pth must have a sha256 .* delete it"):
        load_encoder_weights(TinyEncoder(3), url)


def head(at: str, kernel: tuple[int, ...], *, norm: bool = True) -> Shapes:
    """Shapes of a convolution and its batch norm, or its bias, in a file of torchvision."""
    conv, _, index = at.rpartition(".")
    after = f"{conv}.{int(index) + 1}"
    parts = ("weight", "bias", "running_mean", "running_var")
    others = (
        {f"{after}.{part}": kernel[:1] for part in parts} if norm else {f"{at}.bias": kernel[:1]}
    )
    counter = {f"{after}.num_batches_tracked": ()} if norm else {}
    return {f"{at}.weight": kernel, **others, **counter}


def segmentation_file(kind: str, encoder: str) -> dict[str, Tensor]:
    """A file with torchvision's names and shapes; the values of each tensor follow its name."""
    keys = reference.figures(encoder)["keys"]
    shapes: Shapes = {f"backbone.{key}": tuple(shape) for key, shape in keys.items()}
    if kind == "coco":
        shapes |= head("classifier.0", (512, 2048, 3, 3))
        shapes |= head("classifier.4", (21, 512, 1, 1), norm=False)
    else:
        shapes |= head("classifier.0.convs.0.0", (256, 2048, 1, 1))
        for branch in (1, 2, 3):
            shapes |= head(f"classifier.0.convs.{branch}.0", (256, 2048, 3, 3))
        shapes |= head("classifier.0.convs.4.1", (256, 2048, 1, 1))
        shapes |= head("classifier.0.project.0", (256, 1280, 1, 1))
        shapes |= head("classifier.1", (256, 256, 3, 3))
        shapes |= head("classifier.4", (21, 256, 1, 1), norm=False)
    shapes |= head("aux_classifier.0", (256, 1024, 3, 3))
    shapes |= head("aux_classifier.4", (21, 256, 1, 1), norm=False)
    return {key: torch.tensor(value_of(key)).expand(shape) for key, shape in shapes.items()}


def value_of(key: str) -> float:
    return 1 + zlib.crc32(key.encode()) % 2**20 / 2**20


@pytest.mark.parametrize(
    ("kind", "encoder", "parameters"),
    [  # the numbers of parameters are those of torchvision's table
        ("coco", "resnet50", 35322218),
        ("coco_deeplab", "resnet50", 42004074),
        ("coco", "resnet101", 54314346),
    ],
)
def test_file_of_a_segmentation_network_fills_the_encoder_and_only_classifiers_are_unused(
    kind: str,
    encoder: str,
    parameters: int,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = segmentation_file(kind, encoder)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    learnt = [t.numel() for key, t in content.items() if not key.endswith(statistics)]
    assert sum(learnt) == parameters
    url = publish(content)
    monkeypatch.setitem(NAMED[kind], encoder, url)
    monkeypatch.setattr("custom_nets.encoders.encoder.initialise", lambda _network: None)
    target = ENCODERS[encoder](3)
    with caplog.at_level(logging.INFO, logger="custom_nets.encoders.weights"):
        report = load_encoder_weights(target, kind)
    assert report.taken == len(target.state_dict())
    assert report.taken + len(report.skipped) == len(content)
    assert {name.split(".")[0] for name in report.skipped} == {"classifier", "aux_classifier"}
    for key, tensor in target.state_dict().items():
        assert (tensor == torch.tensor(value_of(f"backbone.{key}")).to(tensor.dtype)).all(), key
    assert f"without the prefix backbone.), {len(report.skipped)} unused: classifier" in caplog.text


def test_coco_weights_then_their_hash_is_checked(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = publish(segmentation_file("coco", "resnet50"), digest="1167a1af")
    monkeypatch.setitem(NAMED["coco"], "resnet50", changed)
    with pytest.raises(ValueError, match="must have a sha256 that starts with 1167a1af"):
        make_encoder("resnet50", weights="coco")


@pytest.mark.parametrize("name", KINDS_WITH_WEIGHTS)
def test_imagenet_without_a_network_says_what_to_do_and_builds_nothing(
    name: str, cache: Path
) -> None:
    with pytest.raises(ConnectionError) as caught:
        make_encoder(name, weights="imagenet")
    message = str(caught.value)
    for part in (PUBLISHED[name], str(cache / Path(PUBLISHED[name]).name), "'none'", "pretraining"):
        assert part in message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.org/net.pth", "must state its sha256"),
        ("https://example.org/net.pth#sha256=12", "must state its sha256"),
        ("ftp://example.org/net-0123abcd.pth", "must be http, https or file"),
    ],
)
def test_addresses_that_cannot_be_trusted_are_refused(
    source: TinyEncoder, url: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder_weights(source, url)


def test_an_unknown_encoder_is_refused_with_the_valid_names() -> None:
    with pytest.raises(ValueError, match="must be one of vgg11, .*; got 'vgg'; did you mean vgg1"):
        make_encoder("vgg")
