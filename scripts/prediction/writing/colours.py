"""The colour of each segment, the same in DICOM objects, on the page and in the overview."""

from __future__ import annotations

from scripts.datasets.segment_colours import deal_colours, distinct_colours
from scripts.prediction.result import Prediction


def colours_of(prediction: Prediction) -> dict[int, str]:
    """Return segment number -> colour (#RRGGBB).

    An organ has the colour of its class. So has the first lesion of a class; every further one has
    a colour of its own, far from those of the organs and of the lesions before it. Which one
    depends on its place in the list only, so that fewer lesions have the same colours.
    """
    segments = prediction.segments
    classes = class_colours(prediction)
    colours = {each.number: classes[each.kind] for each in segments if not each.lesion}
    taken = {colour.upper() for colour in classes.values()}
    lesions = [segment for segment in segments if segment.lesion]
    further = iter(distinct_colours(len(lesions), taken))
    begun: set[str] = set()  # colours of classes that a lesion has
    for lesion in lesions:
        own = classes[lesion.kind]
        colours[lesion.number] = next(further) if own in begun else own
        begun.add(own)
    return {segment.number: colours[segment.number] for segment in segments}


def class_colours(prediction: Prediction) -> dict[str, str]:
    """Return kind -> colour of the class: as the config declares it, or else in their order."""
    kinds = list(dict.fromkeys(segment.kind for segment in prediction.segments))
    lesions = {segment.kind for segment in prediction.segments if segment.lesion}
    dealt = deal_colours(kinds, lesions)
    for kind in kinds:
        meaning = prediction.meanings.get(kind)
        dealt[kind] = dealt[kind] if meaning is None else meaning.colour
    return dealt
