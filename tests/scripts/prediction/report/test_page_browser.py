"""report.html in headless Chromium: it scrolls, switches and jumps, and never complains."""

import numpy as np
import pytest

from scripts.datasets.segment_colours import ORGAN_COLOURS
from scripts.evaluation.pictures.colours import OURS_COLOUR
from scripts.prediction.colours import colours_of
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page import write_report
from tests.scripts.prediction.report.browser import Browser, find_chromium
from tests.scripts.prediction.shapes import abdomen, chest

# Of a copy: Chromium warns when the page's own canvas is read again and again
PIXELS = """(() => {
  const canvas = document.getElementById("canvas");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, copy.width, copy.height).data;
})()"""
COUNT = """(colour) => {
  const pixels = PIXELS;
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  let count = 0;
  for (let i = 0; i < pixels.length; i += 4)
    if (wanted.every((value, k) => Math.abs(pixels[i + k] - value) < 12)) count++;
  return count;
}""".replace("PIXELS", PIXELS)


@pytest.fixture(scope="module")
def browser():
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program, size=(1100, 1000)) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    predictions = {
        "chest": chest(),
        "flipped": chest(order=((2, 0, 1), (-1, -1, -1))),
        "abdomen": abdomen(),
    }
    for name, prediction in predictions.items():
        write_report(prediction, measure(prediction), folder / f"{name}.html")
    return folder, predictions


@pytest.fixture
def opened(browser, pages):
    def open_page(name):
        browser.open(pages[0] / f"{name}.html")
        browser.wait("document.getElementById('stage').dataset.slice > 0")
        return browser

    yield open_page
    assert browser.complaints() == []
    assert all(url.startswith("file:") for url in browser.requests())


def at_slice(browser, number):
    """Wait until a slice is drawn; return what the page says of it."""
    browser.wait(f"document.getElementById('stage').dataset.slice == {number}")
    place = browser.run("document.getElementById('place').textContent")
    assert place.startswith(f"Slice {number} of ")
    assert browser.run("document.getElementById('slider').value") == str(number)
    return place


def count(browser, colour):
    """Pixels of the canvas that have nearly a colour."""
    return browser.run(f"({COUNT})('{colour}')")


def picture(browser):
    """The green of every pixel of the canvas."""
    text = browser.run(f"{PIXELS}.filter((_, i) => i % 4 === 1).join()")
    return np.fromstring(text, int, sep=",")


def test_arrow_keys_wheel_and_slider_then_scroll(opened):
    page = opened("abdomen")
    start = int(page.run("document.getElementById('stage').dataset.slice"))
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
    box = page.run("JSON.stringify(document.getElementById('stage').getBoundingClientRect())")
    middle = [float(part.split(":")[1]) + 200 for part in box.strip("{}").split(",")[:2]]
    page.wheel(*middle, -120)  # up: to the head
    at_slice(page, 2)
    page.run(
        "(() => { const s = document.getElementById('slider'); s.value = 12;"
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
    page.wait("document.getElementById('canvas').ariaLabel.includes('bone window')")
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
        page.wait(f"({resize}, document.getElementById('canvas').width >= 600)", painting=True)
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
    assert browser.run("document.getElementById('stage').dataset.slice") is None
    assert any("Content Security Policy" in words for words in browser.complaints())
