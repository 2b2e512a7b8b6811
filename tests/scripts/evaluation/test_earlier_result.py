import json

import pytest

from scripts.evaluation.earlier_result import refuse_another

OWN = {"model_sha256": "ab", "section": "test", "method": {"clusters": 3, "seed": 0}}


def with_summary(folder, content):
    (folder / "summary.json").write_text(content)
    return folder


def test_folder_without_result_or_with_the_same_then_nothing(tmp_path):
    refuse_another(tmp_path, OWN)
    refuse_another(with_summary(tmp_path, json.dumps({"data": {**OWN, "label_kinds": []}})), OWN)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": 3}'])
def test_damaged_summary_then_no_result(tmp_path, content):
    refuse_another(with_summary(tmp_path, content), OWN)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"model_sha256": None}, "model_sha256"),
        ({"section": "validation", "image_sha256": "x"}, "section, image_sha256"),
        ({"method": {"clusters": 2, "stride": 1, "seed": 0}}, r"method \(clusters, stride\)"),
        ({"method": None}, "method"),
    ],
)
def test_result_of_something_else_then_refused_by_what_differs(tmp_path, other, named):
    with_summary(tmp_path, json.dumps({"data": {**OWN, **other}}))
    with pytest.raises(ValueError, match=f"holds a result with another {named}; give"):
        refuse_another(tmp_path, OWN)
