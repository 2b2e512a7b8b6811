"""Batches of images of several sizes."""

import torch

from scripts.training.batches import padded_batch


def item(height, width, value):
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    return {"image": image, "label": (image > value).byte(), "class_known": torch.ones(3).bool()}


def test_images_of_several_sizes_then_last_row_and_column_repeated():
    batch = padded_batch([item(2, 3, 1), item(4, 2, 1)])
    assert batch["image"].shape == batch["label"].shape == (2, 1, 4, 3)
    assert batch["class_known"].shape == (2, 3)
    wide = [[0, 1, 2], [3, 4, 5], [3, 4, 5], [3, 4, 5]]
    high = [[0, 1, 1], [2, 3, 3], [4, 5, 5], [6, 7, 7]]
    assert batch["image"][:, 0].tolist() == [wide, high]
    assert torch.equal(batch["label"], (batch["image"] > 1).byte())
    assert batch["label"].dtype == torch.uint8


def test_images_of_one_size_then_as_they_are():
    items = [item(3, 4, 2), item(3, 4, 5)]
    batch = padded_batch(items)
    for key in items[0]:
        assert torch.equal(batch[key], torch.stack([one[key] for one in items]))


def test_several_crops_of_an_item_then_each_an_entry_of_the_batch():
    batch = padded_batch([[item(2, 2, 1), item(2, 2, 2)], [item(2, 3, 1), item(2, 2, 1)]])
    assert batch["image"].shape == (4, 1, 2, 3)
