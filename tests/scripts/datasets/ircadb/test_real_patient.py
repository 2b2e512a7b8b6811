import json
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.__main__ import main
from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.preparation.cases import prepare_case
from scripts.preparation.cohort import Request, plan
from scripts.preparation.prepare_options import SliceOptions
from scripts.volumes.geometry import grid_difference
from scripts.volumes.readers import read_image


@pytest.mark.real
def test_patient_17_then_prepared_through_the_command_line(real_data, tmp_path, capsys):
    places = ["--source", str(real_data / "ircadb"), "--output", str(tmp_path)]
    options = ["--split", "slice_block", "--jobs", "1", "--volumes", "false", "--every", "2"]
    main(["prepare", "ircadb", *places, *options])
    assert "kidney: known in 0 of 1 scans" in capsys.readouterr().out
    datalist = json.loads((tmp_path / "datalist.json").read_text())
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["voxels"]["3Dircadb1.17"]["liver"] == 2106497
    assert report["voxels"]["3Dircadb1.17"]["bone"] == 477406
    sample = datalist["training"][0]
    assert sample["known_classes"] == [0, 1, 2]
    np.testing.assert_allclose(sample["spacing_mm"], [0.743, 0.743, 1.6], atol=1e-4)


@pytest.mark.real
def test_patient_17_unpacked_then_volumes_on_the_grid_of_its_dicom_folder(real_data, tmp_path):
    source = tmp_path / "in" / "3Dircadb1.17"
    for section in ("PATIENT_DICOM", "MASKS_DICOM"):
        with zipfile.ZipFile(real_data / "ircadb" / "3Dircadb1.17" / f"{section}.zip") as archive:
            wanted = [
                n for n in archive.namelist() if n.startswith((f"{section}/i", f"{section}/l"))
            ]
            archive.extractall(source, wanted)
    request = Request(Ircadb(), source, tmp_path / "out", SliceOptions("all"))
    (task,) = plan(Ircadb().find(source), request)
    outcome = prepare_case(task)
    image, label = (read_image(task.volume_files()[kind]) for kind in ("image", "label"))
    scan = read_image(source / "PATIENT_DICOM")
    assert not grid_difference(scan, image)
    assert not grid_difference(scan, label)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(image))
    assert int((sitk.GetArrayFromImage(label) == 1).sum()) == 2106497
    assert outcome.record["known_classes"] == [0, 1]
