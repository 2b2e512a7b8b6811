"""The table of findings in headless Chromium: sorted, filtered, switched, with 300 rows."""

import dataclasses

import numpy as np
import pytest

from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page import write_report
from scripts.prediction.writing.colours import colours_of
from tests.scripts.prediction.report.shown_page import at_slice, count, listed, put
from tests.scripts.prediction.shapes import chest, nodule


def heading(browser, words):
    """Click on the heading that begins with words."""
    heads = "[...document.querySelectorAll('th .sort')]"
    browser.run(f"{heads}.find(e => e.textContent.startsWith('{words}')).click()")


def counted(browser):
    return browser.run("document.getElementById('count').textContent")


def test_heading_then_sorts_and_the_next_click_turns_the_order(opened, pages):
    page = opened("rated")
    lesions = measure(pages[1]["rated"])["lesions"]
    for words, key in [("Volume", "volume_mm3"), ("Confidence", "probability")]:
        upwards = [one["number"] for one in sorted(lesions, key=lambda one: one[key])]
        heading(page, words)
        assert listed(page) == upwards
        assert page.run("document.querySelectorAll('[aria-sort=ascending]').length") == 1
        heading(page, words)
        assert listed(page) == upwards[::-1]
    heading(page, "Centre")
    by_height = sorted(lesions, key=lambda one: one["centre_lps_mm"][2])
    assert listed(page) == [one["number"] for one in by_height]


def test_next_finding_after_sorting_then_that_of_the_row_below(opened, pages):
    page = opened("rated")
    heading(page, "Confidence")
    lesions = {one["number"]: one for one in measure(pages[1]["rated"])["lesions"]}
    for number in (2, 3, 1, 2):
        page.run("document.querySelector('.stage').focus()")
        page.press("n")
        at_slice(page, lesions[number]["diameter_slice_number_1based"])


def test_confidence_then_hides_rows_and_outlines_in_all_views(opened, pages):
    page = opened("rated")
    colour = colours_of(pages[1]["rated"])[2]
    page.run("document.querySelector('[data-jump=\"2\"]').click()")
    page.wait("document.querySelector('.stage').dataset.slice > 0")
    planes = ("axial", "coronal", "sagittal")
    assert min(count(page, colour, plane) for plane in planes) > 20
    assert counted(page) == "3 of 3 shown"
    put(page, "least", 50)
    assert listed(page) == [1, 3]
    assert counted(page) == "2 of 3 shown"
    assert page.run("document.getElementById('least-shown').textContent") == "50.0 %"
    assert [count(page, colour, plane) for plane in planes] == [0, 0, 0]
    put(page, "least", 0)
    assert counted(page) == "3 of 3 shown"


def test_text_and_class_then_filter_both_tables(opened):
    page = opened("abdomen")
    put(page, "search", "BONE feet")
    assert listed(page) == [2]
    put(page, "search", "")
    put(page, "kind", "liver")
    assert listed(page) == [1]
    put(page, "kind", "")
    assert listed(page) == [1, 2, 3]
    assert counted(page) == "2 of 2 shown"  # the kidney is not there


def test_all_and_none_then_switch_the_listed_findings_only(opened):
    page = opened("rated")
    put(page, "least", 50)
    page.run("document.getElementById('none').click()")
    assert counted(page) == "0 of 3 shown"
    put(page, "least", 0)
    assert counted(page) == "1 of 3 shown"
    page.run("document.querySelector('.stage').focus()")
    page.press("a")
    assert counted(page) == "3 of 3 shown"
    page.press("a")
    assert counted(page) == "0 of 3 shown"
    page.run("document.getElementById('all').click()")
    assert counted(page) == "3 of 3 shown"


def test_keys_while_typing_then_text_and_not_commands(opened):
    page = opened("rated")
    page.run("document.getElementById('search').focus()")
    page.press("a")
    assert page.run("document.getElementById('search').value") == "a"
    assert counted(page).startswith(f"{len(listed(page))} of")


def test_300_findings_then_in_a_box_of_their_own_with_their_row_in_sight(browser, tmp_path):
    prediction = chest(nodules=0)
    mask = np.zeros(prediction.hu.shape, np.uint16)
    places = np.argwhere(prediction.lungs)[::15][:300]
    mask[tuple(places.T)] = np.arange(1, 301)
    segments = tuple(
        dataclasses.replace(nodule(k), probability=k / 300, mean_probability=k / 300)
        for k in range(1, 301)
    )
    many = dataclasses.replace(prediction, mask=mask, segments=segments)
    write_report(many, measure(many), tmp_path / "many.html")
    browser.open(tmp_path / "many.html")
    browser.wait("document.getElementById('workbench').dataset.loaded > 0")
    assert counted(browser) == "300 of 300 shown"
    put(browser, "least", 96)
    assert counted(browser) == "13 of 300 shown"
    put(browser, "least", 0)
    box = "document.querySelector('.findings .scroller')"
    assert browser.run(f"{box}.scrollHeight > 3 * {box}.clientHeight")
    browser.run("viewer.jump(290)")
    row = "document.querySelector('[aria-current]').getBoundingClientRect()"
    frame = f"{box}.getBoundingClientRect()"
    assert browser.run(f"{row}.top >= {frame}.top && {row}.bottom <= {frame}.bottom + 1")
    assert browser.complaints() == []


@pytest.mark.parametrize(("width", "first"), [(390, True), (834, False), (1440, False)])
def test_findings_then_above_the_pictures_on_a_phone_only(opened, width, first):
    page = opened("rated")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 1000}
    page.send("Emulation.setDeviceMetricsOverride", **size)
    try:
        top = "document.querySelector('.{}').getBoundingClientRect().top".format
        assert page.run(f"{top('findings')} < {top('viewer')}") is first
        assert page.run("document.documentElement.scrollWidth") <= width
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")
