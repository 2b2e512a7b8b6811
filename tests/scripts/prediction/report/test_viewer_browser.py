"""The three views in headless Chromium: orientation, proportions, window, keys, touch."""

import numpy as np
import pytest

from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page import write_report
from scripts.prediction.result import Segment
from scripts.prediction.writing.colours import colours_of
from tests.scripts.prediction.report.shown_page import COUNT, middle_of, picture, put
from tests.scripts.prediction.shapes import (
    ORDERS,
    ellipsoid,
    lps_affine,
    predict,
)

PLANES = ("axial", "coronal", "sagittal")


def marked(order):
    """A ball of 30 mm in voxels of 2 x 3 x 5 mm; bright at the patient's right, front and head."""
    affine = lps_affine((2.0, 3.0, 5.0), (-60.0, -60.0, -60.0))
    shape = (24, 40, 60)
    hu = np.full(shape, -1000, np.int16)
    hu[16:, :16, :24] = 1000
    ball = ellipsoid(shape, affine, (0, 0, 0), (30, 30, 30))
    hu[ball] = 100
    return predict(hu, ball.astype(np.uint8), affine, [Segment(1, "liver", "liver")], order=order)


@pytest.fixture
def marked_page(browser, tmp_path):
    def open_page(order=ORDERS[0]):
        prediction = marked(order)
        write_report(prediction, measure(prediction), tmp_path / "marked.html")
        browser.open(tmp_path / "marked.html")
        browser.wait("document.getElementById('workbench').dataset.loaded > 0")
        return browser

    yield open_page
    assert browser.complaints() == []


def index_of(browser, plane):
    return int(browser.run(f"document.querySelector('[data-plane={plane}] .stage').dataset.slice"))


def window_of(browser):
    """Centre and width."""
    fields = "['centre', 'width'].map(id => document.getElementById(id).valueAsNumber)"
    return browser.run(fields)


@pytest.mark.parametrize("order", ORDERS[::9], ids=str)
def test_mark_at_the_right_front_and_head_then_in_the_upper_left_of_each_view(marked_page, order):
    page = marked_page(order)
    page.run("viewer.go({ x: 6, y: 4, z: viewer.volume.toIndex('z', 10) })")
    for plane in PLANES:
        shown = picture(page, plane)
        high, wide = (size // 2 for size in shown.shape)
        corners = shown[:high, :wide], shown[:high, wide:], shown[high:, :wide], shown[high:, wide:]
        bright = [(corner > 250).mean() for corner in corners]
        assert bright[0] > 0.3, plane
        assert max(bright[1:]) < 0.05, plane


def test_ball_in_voxels_of_unequal_edges_then_round_and_of_one_size_in_each_view(marked_page):
    page = marked_page()
    extents = []
    for plane in PLANES:
        script = COUNT.replace("count++;", "found.push(i / 4);")
        script = script.replace("let count = 0;", "const found = [];").replace("PLANE", plane)
        script = script.replace("return count;", "return found;")
        at = np.array(page.run(f"({script})('{colours_of(marked(ORDERS[0]))[1]}')"))
        rows, columns = np.divmod(at, picture(page, plane).shape[1])
        extents += [np.ptp(rows), np.ptp(columns)]
    assert min(extents) > 100
    assert max(extents) < 1.15 * min(extents)  # edges of voxels of up to 5 mm, of 60


def test_click_then_the_other_views_go_there(marked_page):
    page = marked_page()
    x, y = middle_of(page, "[data-plane=axial] .stage")
    half = page.run("document.querySelector('.stage').clientWidth / 2")
    for kind in ("mousePressed", "mouseReleased"):
        page.send(
            "Input.dispatchMouseEvent", type=kind, x=x - half / 2, y=y, button="left", clickCount=1
        )
    page.wait("viewer.cursor.x < 20")
    assert index_of(page, "sagittal") == pytest.approx(15, abs=2)  # a quarter of 60 columns
    assert index_of(page, "coronal") == pytest.approx(20, abs=2)


@pytest.mark.parametrize(("button", "modifiers"), [("right", 0), ("left", 8)])
def test_drag_with_the_right_button_or_shift_then_a_free_window(marked_page, button, modifiers):
    page = marked_page()
    before = window_of(page)
    dark = picture(page)
    x, y = middle_of(page, "[data-plane=coronal] .stage")
    for kind, far in (("mousePressed", 0), ("mouseMoved", 75), ("mouseReleased", 75)):
        page.send(
            "Input.dispatchMouseEvent",
            **{"type": kind, "x": x + far, "y": y - far, "button": button, "clickCount": 1},
            **{"modifiers": modifiers, "buttons": 2 if button == "right" else 1},
        )
    page.wait(f"document.getElementById('width').valueAsNumber !== {before[1]}")
    centre, width = window_of(page)
    assert width > before[1]
    assert centre > before[0]
    assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 0
    assert not np.array_equal(picture(page), dark)


def test_window_typed_and_by_keys_then_taken_and_kept_in_bounds(marked_page):
    page = marked_page()
    put(page, "centre", -600)
    put(page, "width", 1500)
    assert window_of(page) == [-600, 1500]
    page.run("document.querySelector('.stage').focus()")
    page.press("]")
    assert window_of(page)[1] > 1500
    page.press("[")
    assert window_of(page)[1] == pytest.approx(1500, abs=2)
    page.press("}")
    assert window_of(page)[0] > -600
    put(page, "width", "")
    assert window_of(page)[1] > 0
    put(page, "width", 1e9)
    assert window_of(page)[1] == 2624
    page.run("document.querySelector('[data-window=lung]').click()")
    assert window_of(page) == [-300, 1400]


def test_keys_in_the_coronal_view_then_scroll_that_view_only(marked_page):
    page = marked_page()
    page.run("document.querySelector('[data-plane=coronal] .stage').focus()")
    axial, coronal = index_of(page, "axial"), index_of(page, "coronal")
    page.press("PageDown")
    assert (index_of(page, "axial"), index_of(page, "coronal")) == (axial, coronal - 10)
    page.press("Home")
    assert index_of(page, "coronal") == 1
    page.press("End")
    assert index_of(page, "coronal") == 40
    assert page.run("document.getElementById('place-coronal').textContent").startswith(
        "Coronal 40 of 40 \u00b7 y 57.0 mm"
    )


def test_help_by_key_then_a_dialog_that_escape_closes(marked_page):
    page = marked_page()
    assert not page.run("document.getElementById('help').open")
    page.press("?")
    assert page.run("document.getElementById('help').open")
    page.run("document.querySelector('#help button').click()")
    assert not page.run("document.getElementById('help').open")


def test_everything_that_takes_input_then_has_a_name_and_is_reached_by_tab(marked_page):
    page = marked_page()
    nameless = page.run(
        "[...document.querySelectorAll('input, select, button, [tabindex]')].filter(e =>"
        " !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.run("[...document.querySelectorAll('*')].filter(e => e.tabIndex > 0).length") == 0
    stages = "[...document.querySelectorAll('.stage')].every(e => e.tabIndex === 0)"
    assert page.run(stages)


def test_swipe_then_scrolls_and_a_tap_does_not(marked_page):
    page = marked_page()
    page.send("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        x, y = middle_of(page, "[data-plane=axial] .stage")
        before = index_of(page, "axial")
        for kind, far in (("touchStart", 0), ("touchMove", 24), ("touchMove", 48)):
            page.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x + far, "y": y}])
        page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.wait(f"document.querySelector('.stage').dataset.slice != {before}")
        assert index_of(page, "axial") > before
    finally:
        page.send("Emulation.setTouchEmulationEnabled", enabled=False)
