"""report.html as text: whole, closed to the network, true to the mask, silent about the patient."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from pydicom.dataset import Dataset

from scripts.pages.page_template import template
from scripts.prediction.measures.axial_view import axial_view
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.overview import write_overview
from scripts.prediction.report.page import PAGE, SCRIPTS, page_data, write_report
from scripts.prediction.result import Segment
from scripts.storage.archive import Location
from scripts.volumes.dicom.slice import SliceFile
from tests.scripts.prediction.report.test_page_images import decoded
from tests.scripts.prediction.shapes import ORDERS, abdomen, chest

FACTS = {
    "metadata": {
        "name": "Nodules <b>",
        "version": "1.2.3",
        "data_source": "LUNA16",
        "intended_use": "Research only.",
    },
    "weights_sha256": ["ab" * 32, "cd" * 32],
    "warnings": ["slices are thick & few"],
}


class Elements(HTMLParser):
    """Tags with their attributes, and the text inside style and script elements."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside, self.texts = [], None, {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = (tag, dict(attrs).get("type")) if tag in ("style", "script") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        self.texts[self.inside] = self.texts.get(self.inside, "") + data


def page_of(prediction, folder):
    write_report(prediction, measure(prediction), folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_page_then_allows_its_own_program_and_style_and_nothing_else(tmp_path):
    page = Elements(page_of(chest(), tmp_path))
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    for key, name in ((("style", None), "style"), (("script", None), "script")):
        digest = base64.b64encode(hashlib.sha256(page.texts[key].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    for tag, attributes in page.tags:
        assert tag not in ("base", "iframe", "object", "embed", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        addresses = [attributes.get(name) for name in ("src", "href", "srcset", "data")]
        assert all(address.startswith("data:") for address in addresses if address)


def test_page_then_says_which_model_and_what_it_is_not_for(tmp_path):
    text = page_of(chest(facts=FACTS), tmp_path)
    for said in ("Nodules &lt;b&gt;", "1.2.3", "LUNA16", "Research only.", "ab" * 32, "cd" * 32):
        assert said in text
    assert "slices are thick &amp; few" in text
    assert "not a medical device" in text


def test_lesions_without_a_lung_field_then_no_column_for_the_lung(tmp_path):
    heading = '<th scope="col">Lung</th>'
    assert heading in page_of(chest(), tmp_path)
    assert heading not in page_of(dataclasses.replace(chest(), lungs=None), tmp_path)
    tumours = [
        dataclasses.replace(one, kind="liver tumour", name=f"liver tumour {one.number}")
        for one in chest().segments
    ]
    assert heading not in page_of(dataclasses.replace(chest(), segments=tuple(tumours)), tmp_path)


def test_facts_that_are_missing_then_said_not_guessed(tmp_path):
    text = page_of(chest(facts={}), tmp_path)
    assert text.count(">not stated<") == 8
    assert 'class="warnings"' not in text
    named = page_of(
        chest(facts={"bundle": "lungs", "version": "7.7", "weights_sha256": "e" * 64}), tmp_path
    )
    assert ">lungs<" in named
    assert ">7.7<" in named
    assert "e" * 64 in named


def test_markup_in_names_then_shown_as_text(tmp_path):
    evil = "</script><script>alert(1)</script><!--"
    prediction = dataclasses.replace(
        abdomen(facts={"bundle": evil, "warnings": [evil]}),
        study=evil,
        segments=(Segment(1, evil, evil), Segment(2, "bone", "bone"), Segment(3, evil, evil)),
    )
    page = Elements(page_of(prediction, tmp_path))
    assert [a for t, a in page.tags if t == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert json.loads(page.texts["script", "application/json"])["segments"][0]["name"] == evil
    assert evil in page.texts[None]


def test_name_of_a_study_when_it_holds_markup_then_escaped(tmp_path):
    study = "DOE^JANE <script>alert('1')</script> & co"
    page = page_of(dataclasses.replace(chest(), study=study), tmp_path)
    assert "<script>alert" not in page
    assert "<h1>DOE^JANE &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; co</h1>" in page


def test_template_when_a_text_is_missing_then_an_error_not_an_empty_place():
    with pytest.raises(UndefinedError, match="'policy' is undefined"):
        template("page.html", PAGE).render()


def test_files_of_the_source_then_never_named(tmp_path):
    slices = tuple(
        SliceFile(
            f"/scans/SURNAME^NAME/{k}.dcm", Location(Path(f"/scans/{k}.dcm")), Dataset(), 0, 0
        )
        for k in range(len(chest().hu))
    )
    text = page_of(dataclasses.replace(chest(), dicom_slices=slices), tmp_path)
    assert "SURNAME" not in text
    assert "/scans" not in text


def test_same_input_then_same_bytes(tmp_path):
    assert page_of(chest(), tmp_path) == page_of(chest(), tmp_path)


@pytest.mark.parametrize("order", ORDERS[::5], ids=str)
def test_masks_then_whole_in_display_order_with_the_sources_slice_numbers(order):
    prediction = abdomen(order=order)
    view = axial_view(prediction.affine, prediction.hu.shape)
    data = page_data(prediction, measure(prediction), view)
    shown = view.turn(prediction.mask)
    for k, runs in enumerate(data["runs"]):
        np.testing.assert_array_equal(decoded(runs, shown[k].shape), shown[k])
    straight = abdomen().mask
    np.testing.assert_array_equal(shown if view.rises_to_head else shown[::-1], straight)
    assert data["to_head"] == (1 if view.rises_to_head else -1)
    steps = data["step_mm"]
    assert np.sign(steps["z"]) == data["to_head"]
    assert (steps["x"], steps["y"]) == (data["column_mm"], data["row_mm"])
    assert data["slice_mm"] == abs(steps["z"])
    liver = data["segments"][0]
    assert (shown[liver["slice"]] == 1).sum() == (shown == 1).sum(axis=(1, 2)).max()
    assert shown[liver["slice"], liver["row"], liver["column"]] == 1


def test_nodules_then_at_the_slice_and_place_that_the_statistics_say():
    prediction = chest(order=((0, 1, 2), (-1, -1, -1)))
    statistics = measure(prediction)
    view = axial_view(prediction.affine, prediction.hu.shape)
    data = page_data(prediction, statistics, view)
    for shown, one in zip(data["segments"], statistics["lesions"], strict=True):
        assert shown["slice"] == one["diameter_slice_number_1based"] - 1
        place = shown["slice"], shown["row"], shown["column"]
        assert view.turn(prediction.mask)[place] == one["number"]


def test_no_finding_then_said_in_the_page(tmp_path):
    nothing = dataclasses.replace(
        chest(nodules=0), segments=(), facts={"looked_for": ["nodule"], "lesion_kinds": ["nodule"]}
    )
    assert "No nodule was found." in page_of(nothing, tmp_path)
    assert "nothing was segmented" in page_of(dataclasses.replace(nothing, facts={}), tmp_path)


def test_page_files_then_in_a_folder_next_to_the_code():
    names = {"page.html", "page.css", *SCRIPTS}
    assert {file.name for file in PAGE.iterdir()} == names


def test_cells_then_sorted_by_the_measured_value_and_not_by_the_shown_one(tmp_path):
    first, *others = chest().segments
    rated = dataclasses.replace(first, probability=0.12345, mean_probability=0.1)
    page = page_of(dataclasses.replace(chest(), segments=(rated, *others)), tmp_path)
    rows = [attributes for tag, attributes in Elements(page).tags if tag == "tr"]
    confidences = [row.get("data-confidence") for row in rows if "data-row" in row]
    assert confidences == ["0.12345", None, None]
    values = [a["data-value"] for t, a in Elements(page).tags if t == "td" and "data-value" in a]
    volumes = [str(one["volume_mm3"]) for one in measure(chest())["lesions"]]
    assert [value for value in values if value in volumes] == volumes


@pytest.mark.parametrize(
    ("prediction", "present", "absent"),
    [
        (chest(), [], ['id="least"', 'id="kind"']),
        (abdomen(), ['id="kind"'], ['id="least"']),
    ],
    ids=["one class", "several classes"],
)
def test_filters_then_only_those_that_could_filter(tmp_path, prediction, present, absent):
    page = page_of(prediction, tmp_path)
    assert 'id="search"' in page
    assert not [text for text in present if text not in page]
    assert not [text for text in absent if text in page]


def test_one_slice_then_measured_and_shown(tmp_path):
    one = dataclasses.replace(
        chest(), **{name: getattr(chest(), name)[15:16] for name in ("hu", "mask", "lungs")}
    )
    statistics = measure(one)
    assert {n["diameter_slice_number_1based"] for n in statistics["lesions"]} == {1}
    write_overview(one, tmp_path / "overview.png", statistics=statistics)
    assert 'max="1"' in page_of(one, tmp_path)
