"""MetaImage and NRRD files in every form of their formats."""

import pytest

from scripts.volumes.readers import read_volume
from tests.analytic.independent import assert_chest
from tests.analytic.metaimage_files import (
    METAIMAGE_TYPES,
    NRRD_TYPES,
    numbers,
    write_metaimage,
    write_nrrd,
)
from tests.analytic.phantom import ORIENTATIONS, grid_of

COARSE = grid_of(spacing=(7, 6, 8))
ORIGIN, SPACING = numbers(COARSE.affine[:3, 3]), numbers(COARSE.spacing)
WITHOUT_OFFSET, WITHOUT_MATRIX = {"Offset": None}, {"TransformMatrix": None}
METAIMAGES = {
    "most significant byte first": {"big_endian": True},
    "ElementByteOrderMSB": {
        "big_endian": True,
        "changes": {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"},
    },
    "compressed": {"compressed": True},
    "Position": {"changes": {**WITHOUT_OFFSET, "Position": ORIGIN}},
    "Origin": {"changes": {**WITHOUT_OFFSET, "Origin": ORIGIN}},
    "Rotation": {"changes": {**WITHOUT_MATRIX, "Rotation": "1 0 0 0 1 0 0 0 1"}},
    "no matrix": {"changes": WITHOUT_MATRIX},
    "lines end with CR LF": {"newline": "\r\n"},
    "comment with an equals sign": {"changes": {"Comment": "a = b"}},
    "tabs": {"changes": {"ElementSpacing": SPACING.replace(" ", "\t")}},
    **{kind: {"dtype": kind} for kind in METAIMAGE_TYPES if kind != "u2"},
}
HEADER_SIZES = {
    "HeaderSize": {"before": b"x" * 100, "changes": {"HeaderSize": "100"}},
    "HeaderSize -1": {"before": b"x" * 100, "changes": {"HeaderSize": "-1"}},
    "data file with a space": {"data_name": "a scan.raw"},
}
RARER_METAIMAGES = {
    "blank line": {"changes": {"Comment": "none\n"}},
    "data file named in Chinese": {"data_name": "患者胸部.raw"},
}
NRRDS = {
    **{space: {"space": space} for space in ("LPS", "RAS", "LAS", "left-anterior-superior")},
    "right-anterior-superior": {"space": "right-anterior-superior"},
    "big endian": {"big_endian": True},
    **{encoding: {"encoding": encoding} for encoding in ("gzip", "gz", "ascii", "hex")},
    **{kind: {"dtype": kind} for kind in NRRD_TYPES if kind != "u2"},
    **{kind: {"changes": {"type": kind}} for kind in ("int16_t", "signed short", "short int")},
    "millimetres": {"changes": {"space units": '"mm" "mm" "mm"'}},
    "detached data": {"data_name": "scan.raw"},
    "detached data, compressed": {"data_name": "scan.raw.gz", "encoding": "gzip"},
    "line skip": {"before": b"two\nlines\n", "changes": {"line skip": "2"}},
    "byte skip": {"before": b"x" * 37, "changes": {"byte skip": "37"}},
    "byte skip -1": {"before": b"x" * 37, "changes": {"byte skip": "-1"}},
    "lines end with CR LF": {"newline": "\r\n"},
}
NRRDS_IN_OTHER_UNITS = {
    unit: {"unit_mm": mm, "changes": {"space units": " ".join(3 * [f'"{unit}"'])}}
    for unit, mm in {"um": 1e-3, "microns": 1e-3, "cm": 10, "m": 1000}.items()
}
NRRDS_TO_REFUSE = {
    "no spacings": {"space": None},
    "spacings only": {"space": None, "changes": {"spacings": SPACING}},
    "axis mins": {"space": None, "changes": {"spacings": SPACING, "axis mins": ORIGIN}},
    "a space that is not the patient's": {"space": "LPS", "changes": {"space": "scanner-xyz"}},
}


@pytest.mark.parametrize("suffix", [".mhd", ".mha"])
@pytest.mark.parametrize("form", METAIMAGES.values(), ids=METAIMAGES)
def test_metaimage_in_any_form_then_every_hu_at_its_position(tmp_path, form, suffix):
    assert_chest(read_volume(write_metaimage(tmp_path / f"s{suffix}", COARSE, **form)), COARSE)


@pytest.mark.parametrize("form", HEADER_SIZES.values(), ids=HEADER_SIZES)
def test_metaimage_with_its_own_data_file_then_every_hu_at_its_position(tmp_path, form):
    assert_chest(read_volume(write_metaimage(tmp_path / "s.mhd", COARSE, **form)), COARSE)


@pytest.mark.parametrize("form", RARER_METAIMAGES.values(), ids=RARER_METAIMAGES)
def test_metaimage_in_a_rarer_form_then_every_hu_at_its_position(tmp_path, form):
    assert_chest(read_volume(write_metaimage(tmp_path / "s.mhd", COARSE, **form)), COARSE)


@pytest.mark.parametrize("suffix", [".mhd", ".mha"])
def test_metaimage_compressed_to_a_size_not_stated_then_right_or_refused(tmp_path, suffix):
    changes = {"CompressedDataSize": None}
    path = write_metaimage(tmp_path / f"s{suffix}", COARSE, compressed=True, changes=changes)
    try:
        volume = read_volume(path)
    except ValueError as error:
        assert "CompressedDataSize" in str(error)  # noqa: PT017
    else:
        assert_chest(volume, COARSE)


@pytest.mark.parametrize("form", NRRDS.values(), ids=NRRDS)
def test_nrrd_in_any_form_then_every_hu_at_its_position(tmp_path, form):
    assert_chest(read_volume(write_nrrd(tmp_path / "scan.nrrd", COARSE, **form)), COARSE)


def test_nrrd_header_with_its_own_suffix_then_every_hu_at_its_position(tmp_path):
    path = write_nrrd(tmp_path / "scan.nhdr", COARSE, data_name="voxels.raw")
    assert_chest(read_volume(path), COARSE)


@pytest.mark.parametrize("form", NRRDS_IN_OTHER_UNITS.values(), ids=NRRDS_IN_OTHER_UNITS)
def test_nrrd_in_other_units_then_every_hu_at_its_position(tmp_path, form):
    assert_chest(read_volume(write_nrrd(tmp_path / "scan.nrrd", COARSE, **form)), COARSE)


@pytest.mark.parametrize("form", NRRDS_TO_REFUSE.values(), ids=NRRDS_TO_REFUSE)
def test_nrrd_without_its_place_in_the_patient_then_refused(tmp_path, form):
    path = write_nrrd(tmp_path / "scan.nrrd", COARSE, **form)
    with pytest.raises(ValueError, match="space|spacing|origin"):
        read_volume(path)


def test_nrrd_with_more_data_than_voxels_then_refused(tmp_path):
    path = write_nrrd(tmp_path / "scan.nrrd", COARSE)
    path.write_bytes(path.read_bytes() + bytes(500))
    with pytest.raises(ValueError, match="bytes"):
        read_volume(path)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_volume_in_any_orientation_then_every_hu_at_its_position(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=(7, 6, 8), descending=descending)
    assert_chest(read_volume(write_metaimage(tmp_path / "s.mhd", grid)), grid)
    for space in ("LPS", "RAS", "LAS"):
        assert_chest(read_volume(write_nrrd(tmp_path / "s.nrrd", grid, space=space)), grid)
