"""What a page in Chromium shows: its slices, its pixels, its rows."""

from __future__ import annotations

import numpy as np

# Of a copy: Chromium warns when the page's own canvas is read again and again
PIXELS = """(() => {
  const canvas = document.querySelector("[data-plane=PLANE] .canvas");
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


def at_slice(browser, number):
    """Wait until an axial slice is drawn; return what the page says of it."""
    browser.wait(f"document.querySelector('.stage').dataset.slice == {number}")
    place = browser.run("document.getElementById('place-axial').textContent")
    assert place.startswith(f"Slice {number} of ")
    assert browser.run("document.querySelector('.slider').value") == str(number)
    return place


def count(browser, colour, plane="axial"):
    """Pixels of a view's canvas that have nearly a colour."""
    return browser.run(f"({COUNT})('{colour}')".replace("PLANE", plane))


def picture(browser, plane="axial"):
    """The green of every pixel of a view's canvas, (rows, columns)."""
    width = browser.run(f"document.querySelector('[data-plane={plane}] .canvas').width")
    text = browser.run(f"{PIXELS}.filter((_, i) => i % 4 === 1).join()".replace("PLANE", plane))
    return np.fromstring(text, int, sep=",").reshape(-1, width)


def middle_of(browser, selector):
    """Middle of an element in the window, in CSS pixels."""
    box = f"document.querySelector('{selector}').getBoundingClientRect()"
    return browser.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")


def listed(browser):
    """Numbers of the findings in the order of the tables, without the hidden rows."""
    rows = "[...document.querySelectorAll('[data-row]')].filter(r => !r.hidden)"
    return browser.run(f"{rows}.map(r => Number(r.dataset.row))")


def put(browser, element, value):
    """Give a field a value, as typing does."""
    browser.run(
        f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('input'));"
        f" e.dispatchEvent(new Event('change')); }})(document.getElementById('{element}'))"
    )
