import bz2
import gzip

import numpy as np
import pytest

from scripts.volumes.volume_files import files_of, read_volume_file

VOXELS = np.random.default_rng(0).integers(-1000, 400, (3, 4, 5)).astype("<i2")
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "5 4 3",
    "space directions": "(0.7,0,0) (0,0.8,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-10,20,30)",
}
SPACING = (0.7, 0.8, 2.5)


def write(path, data=None, *, without=(), more="", **fields):
    """Write a .nrrd by hand; fields by name with _ for spaces; data None for those of VOXELS."""
    changed = {name.replace("_", " "): value for name, value in fields.items()}
    used = {**FIELDS, **changed}
    lines = [f"{name}: {value}" for name, value in used.items() if name not in without]
    head = "NRRD0004\n# comment\n" + "\n".join(lines) + f"\n{more}\n"
    path.write_bytes(head.encode() + (VOXELS.tobytes() if data is None else data))
    return path


def test_nrrd_when_plain_then_voxels_and_place(tmp_path):
    volume = read_volume_file(write(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(volume.hu, VOXELS)
    expected = [[0.7, 0, 0, -10], [0, 0.8, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]]
    np.testing.assert_array_equal(volume.affine_lps, expected)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(VOXELS.tobytes())),
        ("gz", gzip.compress(VOXELS.tobytes()[:40]) + gzip.compress(VOXELS.tobytes()[40:])),
        ("bzip2", bz2.compress(VOXELS.tobytes())),
        ("ascii", " ".join(map(str, VOXELS.ravel())).encode()),
        ("hex", VOXELS.tobytes().hex().encode()),
        ("RAW", VOXELS.tobytes()),
    ],
    ids=["gzip", "gzip in two members", "bzip2", "text", "hex", "upper case"],
)
def test_nrrd_when_encoded_then_read(tmp_path, encoding, data):
    volume = read_volume_file(write(tmp_path / "a.nrrd", data, encoding=encoding))
    np.testing.assert_array_equal(volume.hu, VOXELS)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LPS", (1, 1, 1)),
    ],
)
def test_nrrd_when_in_another_space_then_in_lps(tmp_path, space, signs):
    volume = read_volume_file(write(tmp_path / "a.nrrd", space=space))
    np.testing.assert_array_equal(volume.affine_lps[:3, 3], np.array([-10, 20, 30]) * signs)
    np.testing.assert_array_equal(np.diag(volume.affine_lps)[:3], np.array(SPACING) * signs)


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ('"mm" "mm" "mm"', 1.0),
        ('"microns" "microns" "microns"', 1e-3),
        ('"um" "um" "um"', 1e-3),
        ('"cm" "cm" "cm"', 10.0),
        ('"" "" ""', 1.0),
        ('"m" "m" "m"', 1e3),
    ],
)
def test_nrrd_when_units_given_then_positions_in_mm(tmp_path, units, factor):
    x, y, z = np.array(SPACING) / factor
    stated = {"space directions": f"({x},0,0) (0,{y},0) (0,0,{z})", "space units": units}
    volume = read_volume_file(write(tmp_path / "a.nrrd", **stated))
    np.testing.assert_allclose(volume.spacing_mm, SPACING)
    np.testing.assert_allclose(volume.affine_lps[:3, 3], np.array([-10, 20, 30]) * factor)


@pytest.mark.parametrize(
    ("without", "fields", "message"),
    [
        (("space", "space directions", "space origin"), {}, "space must be left-posterior"),
        (("space directions",), {}, "lacks space directions; sizes in mm would be made up"),
        (("space directions",), {"spacings": "0.7 0.8 2.5"}, "lacks space directions"),
        (("space origin",), {}, "lacks space origin; positions in mm would be made up"),
        ((), {"space": "scanner-xyz"}, "space must be .* got 'scanner-xyz'"),
        ((), {"space_units": '"feet" "feet" "feet"'}, "space units must be one of mm"),
        ((), {"space_units": '"mm" "mm" "cm"'}, "space units must be one of mm"),
        ((), {"space_directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "space directions must be 3 fin"),
        ((), {"space_directions": "(1,0,0) none (0,0,1)"}, "space directions must be 3 finite"),
        ((), {"kinds": "RGB-color domain domain"}, "one value per voxel, got 5 .rgb-color"),
        ((), {"kinds": "complex domain domain"}, "must have one value per voxel"),
        ((), {"dimension": "2", "sizes": "5 12", "kinds": "domain domain"}, "one 3D volume"),
        ((), {"sizes": "5 4"}, "sizes must be 3 numbers above 0"),
        ((), {"sizes": "5 4 0"}, "sizes must be 3 numbers above 0"),
        ((), {"sizes": "5 4 2"}, "does not match its header, which states 80 bytes"),
        ((), {"sizes": "5 4 4"}, "truncated: the header states 160 bytes"),
        ((), {"sizes": "500000 400000 300000"}, "truncated: the header states"),
        ((), {"encoding": "zrl"}, "encoding must be raw, .* got 'zrl'"),
        ((), {"type": "block"}, "type must be .* got 'block'"),
        (("endian",), {}, "endian must be little, big, got none"),
        ((), {"data_file": "LIST"}, "several data files"),
        ((), {"data_file": "a%03d.raw 1 3 1"}, "several data files"),
        ((), {"data_file": "/etc/passwd"}, "data file must name a file in the header's folder"),
        ((), {"data_file": "../../secret"}, "data file must name a file in the header's folder"),
    ],
)
def test_nrrd_when_header_unsound_then_refused_by_name(tmp_path, without, fields, message):
    path = write(tmp_path / "a.nrrd", without=without, **fields)
    with pytest.raises(ValueError, match=f"a.nrrd: .*{message}"):
        read_volume_file(path)


@pytest.mark.parametrize(
    "more", ["x" * 1500 + "\n", "y" * 300_000 + "\n", "sizes: 1 1 1\n", "\x00\x01\n"]
)
def test_nrrd_when_a_line_is_no_field_then_refused_where_itk_dies(tmp_path, more):
    with pytest.raises(ValueError, match="a.nrrd: (line 12 of the header|the header gives sizes)"):
        read_volume_file(write(tmp_path / "a.nrrd", more=more))


def test_nrrd_when_it_has_long_values_of_slicer_then_read(tmp_path):
    more = f"Segment0_Name:=liver: left\nlong:={'v' * 200_000}\n"
    volume = read_volume_file(write(tmp_path / "a.nrrd", more=more))
    np.testing.assert_array_equal(volume.hu, VOXELS)


def test_nrrd_when_one_value_in_a_fourth_axis_then_read_and_several_refused(tmp_path):
    fields = {
        "dimension": "4",
        "sizes": "1 5 4 3",
        "kinds": "list domain domain domain",
        "space_directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
    }
    np.testing.assert_array_equal(read_volume_file(write(tmp_path / "a.nrrd", **fields)).hu, VOXELS)
    with pytest.raises(ValueError, match="one value per voxel, got 2"):
        read_volume_file(write(tmp_path / "b.nrrd", **{**fields, "sizes": "2 5 4 3"}))


@pytest.mark.parametrize("skip", [{"byte_skip": "7"}, {"byte_skip": "-1"}, {"line_skip": "2"}])
def test_nrrd_when_data_detached_and_after_a_header_then_skipped(tmp_path, skip):
    before = b"ab\ncd\n" if "line_skip" in skip else b"1234567"
    (tmp_path / "a.bin").write_bytes(before + VOXELS.tobytes())
    path = write(tmp_path / "a.nrrd", b"", data_file="a.bin", **skip)
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)
    assert files_of(path) == (path, tmp_path / "a.bin")
