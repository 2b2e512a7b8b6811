"""The texts of a new bundle name its classes, its commands and its limits."""

import shlex

from scripts.packaging.new_bundle_texts import described, readme


def test_description_then_names_classes_and_limits():
    told = described("my_ct_segmentation", ["background", "liver", "spleen"], "CT with label maps")
    assert told["task"] == "Segmentation of liver, spleen in CT"
    assert told["description"].endswith("Research only. Not for diagnosis.")
    assert told["label_classes"] == "0 background, 1 liver, 2 spleen"


def test_readme_then_every_command_names_the_bundle():
    text = readme("bundles/my", {"name": "my", "description": "It."})
    for command in ("training", "evaluating", "predict", "package", "audit"):
        (line,) = [line for line in text.splitlines() if f" {command} --" in line]
        assert "bundles/my" in line
    assert "--source NEW_CTS" in text


def test_folder_with_a_blank_then_each_command_takes_it_as_one_word():
    text = readme("my bundles/a b", {"name": "my", "description": "It."})
    words = [shlex.split(line) for line in text.splitlines() if line.startswith("python -m")]
    assert len(words) == 5
    assert all(
        {"my bundles/a b", "my bundles/a b/configs/train.json"} & {*line}
        or "my bundles/a b/configs/evaluate.json" in line
        for line in words
    )
    assert any("a b.zip" in line for line in words)
