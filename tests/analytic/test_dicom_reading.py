"""DICOM series: every HU at its position, beside a reading by pydicom and numpy alone."""

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from scripts.volumes.readers import read_volume
from tests.analytic.dicom_files import Encoding, write_series
from tests.analytic.independent import assert_chest, series_by_pydicom
from tests.analytic.phantom import ORIENTATIONS, grid_of, hu_at

COARSE = grid_of(spacing=(7, 6, 8))
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG lossless": JPEGLosslessSV1,
}
ENCODINGS = {
    "unsigned": Encoding(signed=False, intercept=-1024),
    "12 bits unsigned": Encoding(bits=12, signed=False, intercept=-1024),
    "12 bits signed": Encoding(bits=12, signed=True),
    "12 bits at the top": Encoding(bits=12, high_bit=15, signed=False, intercept=-1024),
    "slope 0.5": Encoding(slope=0.5),
    "slope -1": Encoding(slope=-1),
    "intercept -1000.5": Encoding(slope=0.5, intercept=-1000.5),
}


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_series_in_any_orientation_then_every_hu_at_its_position(tmp_path, orientation, descending):
    grid = grid_of(orientation, descending=descending)
    paths = write_series(tmp_path / "ct", grid)
    assert_chest(read_volume(tmp_path / "ct"), grid)
    hu, places = series_by_pydicom(paths)
    np.testing.assert_array_equal(hu, hu_at(places))


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_series_in_any_transfer_syntax_then_every_hu_at_its_position(tmp_path, syntax, signed):
    encoding = Encoding(syntax, signed=signed, intercept=0 if signed else -1024)
    write_series(tmp_path / "ct", COARSE, encoding)
    assert_chest(read_volume(tmp_path / "ct"), COARSE)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_series_with_any_encoding_of_hu_then_every_hu_at_its_position(tmp_path, encoding):
    write_series(tmp_path / "ct", COARSE, encoding)
    assert_chest(read_volume(tmp_path / "ct"), COARSE)
