"""The organs that are outlined: spleen, stomach, liver with what is in it, kidneys."""

from __future__ import annotations

import numpy as np

from scripts.phantom.abdomen.canvas import BITS, Canvas
from scripts.phantom.abdomen.lesions import Lesion
from scripts.phantom.abdomen.organs import KIDNEY_GAP_MM
from scripts.phantom.solids import Array, Axes, blend, coverage, rise, smooth_max, tube_share


def paint_spleen(canvas: Canvas) -> None:
    """Draw the spleen, mottled in the arterial phase."""
    window = canvas.patient.organs.spleen[0].window(canvas.grid, 8.0)
    axes = canvas.grid.axes(window)
    distance = canvas.patient.organs.spleen_distance(
        axes, canvas.wall[window], canvas.patient.torso
    )
    distance = distance + canvas.fields["ripple"][window] * np.float32(1.5)
    uneven = 22.0 if canvas.patient.body.phase == "arterial" else 2.0
    value = canvas.hu("spleen") + canvas.fields["bowel"][window] * np.float32(uneven)
    canvas.put(window, coverage(distance, canvas.width), value, "spleen")


def paint_stomach(canvas: Canvas) -> None:
    """Draw the stomach: wall, content, and gas above its level (the patient lies)."""
    reach = [part.window(canvas.grid, 14.0) for part in canvas.patient.organs.stomach]
    low, high = (
        [pick(getattr(w[i], end) for w in reach) for i in range(3)]
        for pick, end in ((min, "start"), (max, "stop"))
    )
    window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    axes = canvas.grid.axes(window)
    if not axes[2].size:
        return
    above = axes[2] - canvas.patient.torso.diaphragm(axes[0], axes[1])
    distance = canvas.patient.organs.stomach_distance(axes)
    distance = np.maximum(distance, above + np.float32(5))
    distance = np.maximum(distance, canvas.wall[window] + np.float32(6))
    distance = distance + canvas.fields["ripple"][window] * np.float32(2.5)
    canvas.put(window, coverage(distance, canvas.width), canvas.hu("bowel_wall"), "stomach")
    folds = np.abs(canvas.fields["bowel"][window]) * np.float32(2.0)
    inner = coverage(distance + np.float32(3.5) + folds, canvas.width)
    level = axes[1] - np.float32(canvas.patient.organs.stomach_level_mm)
    content = canvas.hu("fluid") + canvas.fields["mottle"][window] * 12
    content = content + (canvas.hu("gas") - content) * coverage(level, canvas.width)
    blend(canvas.volume[window], content, inner)


def paint_liver(canvas: Canvas, lesions: tuple[Lesion, ...]) -> None:
    """Draw the liver with its vessels, lesions and the gall bladder."""
    x, y, z = canvas.grid.axes(canvas.all)
    organs, torso = canvas.patient.organs, canvas.patient.torso
    distance = organs.liver.distance((x, y, z), canvas.wall, torso)
    distance += canvas.fields["ripple"] * np.float32(2.2)
    distance = np.maximum(distance, fissure(canvas, (x, y, z)))
    kidney = organs.kidneys[1].outline
    window = kidney.window(canvas.grid, 14.0)
    gap = KIDNEY_GAP_MM - kidney.distance(canvas.grid.axes(window))
    distance[window] = smooth_max(distance[window], gap, 6.0)
    share = coverage(distance, canvas.width)
    canvas.put(canvas.all, share, canvas.hu("liver") + canvas.fields["mottle"] * 3, "liver")
    for tissue, tree in canvas.patient.trees:
        name = "vein" if tissue == "hepatic_vein" else tissue
        for ends, radii in zip(tree.ends, tree.radii, strict=True):
            window, part = tube_share(canvas.grid, ends, radii)
            if part.size:
                canvas.put(window, part * share[window], canvas.hu(tissue), name)
    for number, lesion in enumerate(lesions, start=1):
        paint_lesion(canvas, lesion, number, share)
    window, part = organs.gallbladder.grown(1.5).share(canvas.grid)
    canvas.put(window, part, canvas.hu("bowel_wall"), "gallbladder")
    window, part = organs.gallbladder.share(canvas.grid)
    canvas.put(window, part, canvas.hu("bile"), "gallbladder")


def fissure(canvas: Canvas, axes: Axes) -> Array:
    """Signed distance in mm to all but the fissure between the liver's lobes."""
    x, y, z = axes
    sx = np.float32(canvas.patient.body.scale[0])
    wedge = np.abs(x - np.float32(4) * sx + np.float32(0.12) * z)
    depth = np.float32(4.0) - wedge + np.float32(0.2) * np.minimum(-y - np.float32(86), 0)
    return np.asarray(depth - np.float32(0.16) * np.maximum(z - np.float32(4), 0))


def paint_lesion(canvas: Canvas, lesion: Lesion, number: int, liver: Array) -> None:
    """Draw one tumour or cyst inside the liver: tumours uneven, with a darker middle."""
    window = lesion.solid.window(canvas.grid, 6.0)
    distance = lesion.solid.distance(canvas.grid.axes(window))
    if not distance.size:
        return
    value = np.full_like(distance, canvas.hu(lesion.kind))
    if lesion.is_tumour:
        distance = distance + canvas.fields["bowel"][window] * np.float32(1.2)
        core = rise(-distance, 2.0, 0.8 * float(lesion.solid.half_axes.max()))
        value = value + (np.float32(canvas.hu("necrosis")) - value) * core * np.float32(0.6)
        value = value + canvas.fields["mottle"][window] * np.float32(5)
    soft = np.float32(1.6 if lesion.is_tumour else 1.0) * canvas.width
    share = coverage(distance, soft) * liver[window]
    blend(canvas.volume[window], value, share)
    canvas.numbers[window][share > 0.5] = number


def paint_kidney_fat(canvas: Canvas, side: int) -> None:
    """Draw the fat that keeps other organs off a kidney."""
    margin = 3.0 + 9.0 * canvas.patient.body.inner_fat
    window, share = canvas.patient.organs.kidneys[side].outline.grown(margin).share(canvas.grid)
    share *= coverage(canvas.wall[window] + np.float32(1), canvas.width)
    blend(canvas.volume[window], canvas.hu("fat"), share)
    canvas.labels[window][share > 0.5] &= BITS["skin"]


def paint_kidney(canvas: Canvas, side: int, name: str) -> None:
    """Draw a kidney: cortex, pyramids, sinus with fat and pelvis."""
    kidney = canvas.patient.organs.kidneys[side]
    window = kidney.outline.grown(3.0).window(canvas.grid)
    axes = canvas.grid.axes(window)
    whole = coverage(kidney.outline.distance(axes), canvas.width)
    blend(canvas.volume[window], canvas.hu("fat"), whole)
    canvas.labels[window][whole > 0.5] &= BITS["skin"]
    distance = kidney.distance(axes) + canvas.fields["ripple"][window] * np.float32(0.7)
    share = coverage(distance, canvas.width)
    canvas.put(window, share, canvas.hu("cortex"), name)
    outer = kidney.outline.distance(axes)
    columns = np.abs(canvas.fields["bowel"][window]) * np.float32(7) - np.float32(1.6)
    pyramids = np.maximum(outer + np.float32(6.5), -columns)
    blend(canvas.volume[window], canvas.hu("medulla"), coverage(pyramids, canvas.width) * share)
    pelvis = coverage(kidney.pelvis.distance(axes), canvas.width) * (1 - share)
    blend(canvas.volume[window], canvas.hu("renal_pelvis"), pelvis)
