"""report.html in headless Chromium: it scrolls, switches and jumps, and never complains."""

import numpy as np
import pytest

from scripts.datasets.segment_colours import ORGAN_COLOURS
from scripts.evaluation.pictures.colours import OURS_COLOUR
from scripts.prediction.measures.statistics import measure
from scripts.prediction.writing.colours import colours_of
from tests.scripts.prediction.report.shown_page import at_slice, count, picture


def test_arrow_keys_wheel_and_slider_then_scroll(opened):
    page = opened("abdomen")
    start = int(page.run("document.querySelector('.stage').dataset.slice"))
    first = picture(page)
    for key, step in [("ArrowUp", 1), ("ArrowRight", 1), ("ArrowDown", -1), ("ArrowLeft", -1)]:
        page.press(key)
        start += step
        at_slice(page, start)
    page.press("PageDown")
    at_slice(page, start - 10)
    assert not np.array_equal(picture(page), first)
    page.press("End")
    at_slice(page, 24)
    page.press("Home")
    at_slice(page, 1)
    box = page.run("JSON.stringify(document.querySelector('.stage').getBoundingClientRect())")
    middle = [float(part.split(":")[1]) + 200 for part in box.strip("{}").split(",")[:2]]
    page.wheel(*middle, -120)  # up: to the head
    at_slice(page, 2)
    page.run(
        "(() => { const s = document.querySelector('.slider'); s.value = 12;"
        " s.dispatchEvent(new Event('input')); })()"
    )
    at_slice(page, 12)


def test_switches_then_take_each_segment_off_and_bring_it_back(opened):
    page = opened("abdomen")
    liver, bone = ORGAN_COLOURS[:2]
    before = count(page, liver), count(page, bone)
    assert min(before) > 100
    page.press("1")
    assert (count(page, liver), count(page, bone)) == (0, before[1])
    page.run("document.querySelectorAll('[data-segment]')[1].click()")
    assert (count(page, liver), count(page, bone)) == (0, 0)
    page.press("1")
    page.press("2")
    assert (count(page, liver), count(page, bone)) == before
    outlined = picture(page)
    page.press("m")
    assert (count(page, liver), count(page, bone)) == (0, 0)
    page.press("m")
    page.press("f")
    assert np.count_nonzero(picture(page) != outlined) > 5000


def test_window_then_changes_the_greys(opened):
    page = opened("abdomen")
    soft = picture(page)
    page.run("document.querySelector('[data-window=bone]').click()")
    page.wait("document.querySelector('.canvas').ariaLabel.includes('bone window')")
    assert picture(page).mean() < soft.mean()
    pressed = page.run("document.querySelectorAll('[aria-pressed=true]').length")
    assert pressed == 1


@pytest.mark.parametrize("name", ["chest", "flipped"])
def test_row_of_a_nodule_then_its_slice_magnified(opened, pages, name):
    page, colours = opened(name), colours_of(pages[1][name])
    for one in measure(pages[1][name])["lesions"]:
        page.run(f"document.querySelector('[data-row=\"{one['number']}\"]').click()")
        place = at_slice(page, one["diameter_slice_number_1based"])
        assert one["name"] in place
        assert count(page, colours[one["number"]]) > 50
        assert page.run("document.getElementById('magnified').textContent") != "1 \u00d7"
        assert page.run("document.querySelector('[aria-current]').dataset.row") == str(
            one["number"]
        )


def test_source_in_another_index_order_then_the_same_picture(opened):
    straight = picture(opened("chest"))
    turned = picture(opened("flipped"))
    assert straight.shape == turned.shape
    # the first nodule's slice, perhaps another of two equal ones: the body is the same
    assert np.mean(np.abs(straight - turned) > 40) < 0.01


def test_nodules_by_keys_then_in_turn(opened, pages):
    page = opened("chest")
    nodules = measure(pages[1]["chest"])["lesions"]
    for one in [*nodules, nodules[0]]:
        page.press("n")
        at_slice(page, one["diameter_slice_number_1based"])
    page.press("p")
    at_slice(page, nodules[-1]["diameter_slice_number_1based"])


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1100, "dark")])
def test_phone_and_dark_then_nothing_sticks_out_and_colours_follow(opened, width, scheme):
    page = opened("chest")
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=2,
        mobile=width < 500,
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.send("Emulation.setEmulatedMedia", features=features)
    try:
        assert page.run("document.documentElement.scrollWidth") <= width
        resize = "window.dispatchEvent(new Event('resize'))"  # a busy browser may tell of it late
        page.wait(f"({resize}, document.querySelector('.canvas').width >= 500)", painting=True)
        light = page.run("parseInt(getComputedStyle(document.body).backgroundColor.slice(4))")
        assert (light > 200) == (scheme == "light")
        assert count(page, OURS_COLOUR) > 50
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")
        page.send("Emulation.setEmulatedMedia", features=[])


def test_program_that_was_altered_then_refused_by_the_pages_own_policy(browser, pages):
    text = (pages[0] / "chest.html").read_text(encoding="utf-8")
    (pages[0] / "altered.html").write_text(text.replace("new Viewer(", "new  Viewer("))
    browser.open(pages[0] / "altered.html")
    browser.wait("document.querySelector('table') !== null")
    assert browser.run("document.querySelector('.stage').dataset.slice") is None
    assert any("Content Security Policy" in words for words in browser.complaints())
