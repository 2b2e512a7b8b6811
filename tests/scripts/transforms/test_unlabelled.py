"""Transforms of labelled samples, run on samples without labels."""

from __future__ import annotations

from typing import Any

import torch
from monai.transforms import (
    AsDiscreted,
    Compose,
    CopyItemsd,
    DeleteItemsd,
    Flipd,
    ScaleIntensityd,
    SelectItemsd,
)

from scripts.transforms.unlabelled import without_labels

TRANSFORMS = [
    Flipd(["label", "image"], spatial_axis=1),
    CopyItemsd(["label", "image"], times=2, names=["once", "second", "twice", "third"]),
    AsDiscreted("label", threshold=0.5),
    DeleteItemsd("once"),
    ScaleIntensityd("second"),
    SelectItemsd(["image", "label", "second", "third", "twice"]),
]


def sample() -> dict[str, Any]:
    return {"image": torch.arange(6.0).reshape(1, 2, 3)}


def test_transforms_when_labels_are_left_out_then_the_images_are_the_same() -> None:
    labelled = Compose(TRANSFORMS)({**sample(), "label": torch.ones(1, 2, 3)})
    plain = Compose(without_labels(TRANSFORMS))(sample())
    assert plain.keys() == {"image", "second", "third"}
    assert all(torch.equal(plain[key], labelled[key]) for key in plain)


def test_transforms_when_of_labels_alone_then_left_out_and_the_originals_unchanged() -> None:
    kept = without_labels(TRANSFORMS)
    assert [type(one).__name__ for one in kept] == [
        *("Flipd", "CopyItemsd", "ScaleIntensityd", "SelectItemsd")
    ]
    assert TRANSFORMS[0].keys == ("label", "image")
    assert TRANSFORMS[1].names == ("once", "second", "twice", "third")


def test_transforms_when_not_of_keys_then_as_they_are() -> None:
    def double(data: Any) -> Any:
        return data

    image = Flipd("image")
    assert without_labels([double, image]) == [double, image]
