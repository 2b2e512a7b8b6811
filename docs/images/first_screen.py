"""Make docs/images/first_screen.png from a finished demo: outlines, stage curves, result page.

    make demo
    .venv/bin/python -m docs.images.first_screen demo_output docs/images/first_screen.png

Needs Chromium, for the picture of the page.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from scripts.demo.demo import LUNG, unseen_volume
from tests.scripts.prediction.report.browser import Browser, find_chromium

PAGE_SIZE = (1180, 980)  # CSS pixels of the page that are shown
WIDTH, GAP = 1040, 16
MOST_ROWS = 360  # of the outlines: the first row of nodules
COLOURS = 256


def write_page(demo: Path, folder: Path) -> Path:
    """Predict the demo's unseen CT; return the page of the result, beside its overview.png."""
    words = ["predict", "--bundle", LUNG.recipe.bundle, "--source", str(unseen_volume(demo))]
    words += ["--config_file", ",".join(LUNG.recipe.overlays), "--products", "overview,report"]
    words += ["--ckpt_path", str(demo / "training" / "model.pt"), "--output", str(folder)]
    subprocess.run([sys.executable, "-m", "scripts", *words], check=True)
    (page,) = folder.glob("*/report.html")
    return page


def photograph(page: Path, picture: Path) -> Image.Image:
    """Return the upper part of a page as Chromium shows it, once all planes are read."""
    with Browser(find_chromium(), size=PAGE_SIZE) as browser:
        browser.open(page)
        browser.wait("!document.querySelector('.stage.loading')", painting=True)
        browser.picture(picture)
    return Image.open(picture).convert("RGB")


def fit(image: Image.Image, width: int) -> Image.Image:
    """Scale an image to a width."""
    height = round(image.height * width / image.width)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def compose(outlines: Image.Image, curves: Image.Image, page: Image.Image) -> Image.Image:
    """Put the outlines on top, curves and page side by side below them."""
    top = fit(outlines, WIDTH)
    top = top.crop((0, 0, WIDTH, min(top.height, MOST_ROWS)))
    half = (WIDTH - GAP) // 2
    below = [fit(curves, half), fit(page, half)]
    height = top.height + GAP + max(image.height for image in below)
    whole = Image.new("RGB", (WIDTH, height), "white")
    whole.paste(top, (0, 0))
    for k, image in enumerate(below):
        whole.paste(image, (k * (half + GAP), top.height + GAP))
    return whole


def main(demo: Path, target: Path) -> None:
    """Write the picture in few colours, so that it stays small."""
    curves = Image.open(demo / "training" / "curves.png").convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        page = write_page(demo, Path(folder) / "out")
        outlines = Image.open(page.with_name("overview.png")).convert("RGB")
        shown = photograph(page, Path(folder) / "page.png")
    whole = compose(outlines, curves, shown)
    few = whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
