from __future__ import annotations

import dataclasses

import pytest

from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page import write_report
from tests.scripts.prediction.report.browser import Browser, find_chromium
from tests.scripts.prediction.shapes import abdomen, chest

CONFIDENCES = (0.9, 0.3, 0.6)


@pytest.fixture(scope="package")
def browser():
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program, size=(1100, 1000)) as started:
        yield started


def rated():
    """The chest with confidences of its three nodules."""
    prediction = chest()
    pairs = zip(prediction.segments, CONFIDENCES, strict=True)
    segments = tuple(
        dataclasses.replace(segment, probability=share, mean_probability=share)
        for segment, share in pairs
    )
    return dataclasses.replace(prediction, segments=segments)


@pytest.fixture(scope="package")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    predictions = {
        "chest": chest(),
        "rated": rated(),
        "flipped": chest(order=((2, 0, 1), (-1, -1, -1))),
        "abdomen": abdomen(),
    }
    for name, prediction in predictions.items():
        write_report(prediction, measure(prediction), folder / f"{name}.html")
    return folder, predictions


@pytest.fixture
def opened(browser, pages):
    """Open a page by name, all its slices decoded; it must neither complain nor load anything."""

    def open_page(name):
        browser.open(pages[0] / f"{name}.html")
        browser.wait("document.getElementById('workbench').dataset.loaded > 0")
        return browser

    yield open_page
    assert browser.complaints() == []
    assert all(url.startswith("file:") for url in browser.requests())
