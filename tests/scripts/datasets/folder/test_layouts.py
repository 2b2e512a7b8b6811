import json

import pytest

from scripts.datasets.folder.layouts import (
    images_without_labels,
    list_cases,
    recognise,
    volume_files,
)
from tests.scripts.datasets.folders import (
    HU,
    case_folders,
    csv_cases,
    decathlon,
    nnunet,
    two_lesions,
    write,
)
from tests.scripts.datasets.segments.written import write_rtstruct


def ids(source):
    cases, problems = list_cases(recognise(source))
    return [case.id for case in cases], [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("make", "name", "cases"),
    [
        (case_folders, "cases", ["a", "b", "c"]),
        (decathlon, "decathlon", ["liver_0", "liver_1", "liver_2"]),
        (nnunet, "nnunet", ["abd_000", "abd_001"]),
    ],
    ids=["cases", "decathlon", "nnunet"],
)
def test_layout_then_recognised_with_its_cases(tmp_path, make, name, cases):
    make(tmp_path)
    assert recognise(tmp_path).name == name
    assert ids(tmp_path) == (cases, [])


def test_layout_when_macos_left_files_then_ignored(tmp_path):
    decathlon(tmp_path)
    for place in ("imagesTr/._liver_0.nii.gz", "labelsTr/._liver_0.nii.gz", ".DS_Store"):
        (tmp_path / place).write_bytes(b"Mac OS X")
    assert ids(tmp_path) == (["liver_0", "liver_1", "liver_2"], [])
    folders = case_folders(tmp_path / "folders")
    (folders / "a" / "._image.nii.gz").write_bytes(b"Mac OS X")
    assert ids(folders) == (["a", "b", "c"], [])


def test_case_folder_that_cannot_be_read_then_reported_and_the_others_listed(tmp_path, locked):
    case_folders(tmp_path)
    locked(tmp_path / "b")
    assert ids(tmp_path) == (
        ["a", "c"],
        ["b: b: cannot be read: Permission denied [scan left out]"],
    )


def test_layout_when_nnunet_of_the_first_version_then_recognised_by_its_names(tmp_path):
    nnunet(tmp_path)
    old = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "spleen"}}
    (tmp_path / "dataset.json").write_text(json.dumps(old))
    assert recognise(tmp_path).name == "nnunet"


def test_layout_when_decathlon_case_is_number_0000_then_still_decathlon(tmp_path):
    decathlon(tmp_path, names=("case_0000", "case_0001"))
    assert recognise(tmp_path).name == "decathlon"
    assert ids(tmp_path) == (["case_0000", "case_0001"], [])


def test_layout_when_two_fit_then_refused_with_both(tmp_path):
    case_folders(decathlon(tmp_path))
    with pytest.raises(ValueError, match="can be read as Medical Decathlon.* and as a folder for"):
        recognise(tmp_path)


@pytest.mark.parametrize("there", [True, False], ids=["empty folder", "no folder"])
def test_layout_when_none_then_refused_with_what_is_wanted(tmp_path, there):
    source = tmp_path if there else tmp_path / "not_there"
    reason = r"CASE/image.*Medical Decathlon.*holds nothing" if there else "existing folder or CSV"
    with pytest.raises(FileNotFoundError, match=reason):
        recognise(source)


def test_layout_when_dataset_json_is_missing_then_said_what_it_must_hold(tmp_path):
    (decathlon(tmp_path) / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"but no dataset\.json, which says"):
        recognise(tmp_path)


def test_pairs_when_one_side_is_missing_then_problems_and_the_others_stay(tmp_path):
    decathlon(tmp_path)
    (tmp_path / "labelsTr" / "liver_0.nii.gz").unlink()
    (tmp_path / "imagesTr" / "liver_1.nii.gz").unlink()
    cases, problems = ids(tmp_path)
    assert cases == ["liver_2"]
    assert len(problems) == 2
    assert "no label map liver_0.* in labelsTr" in problems[0]
    assert "no image of this name in imagesTr" in problems[1]


def test_nnunet_when_an_image_has_no_channel_number_then_problem(tmp_path):
    nnunet(tmp_path)
    write(tmp_path / "imagesTr" / "abd_002.nii.gz", HU)
    cases, problems = ids(tmp_path)
    assert cases == ["abd_000", "abd_001"]
    assert "must end in _0000" in problems[0]


def test_pairs_when_test_labels_are_there_then_a_group_of_their_own(tmp_path):
    nnunet(tmp_path)
    write(tmp_path / "imagesTs" / "abd_009_0000.nii.gz", HU)
    write(tmp_path / "labelsTs" / "abd_009.nii.gz", two_lesions())
    cases, problems = list_cases(recognise(tmp_path))
    groups = {case.id: case.group for case in cases}
    assert groups == {"abd_000": "training", "abd_001": "training", "abd_009": "test"}
    assert problems == []


def test_case_folder_when_it_has_two_images_or_no_label_then_problem(tmp_path):
    case_folders(tmp_path)
    write(tmp_path / "a" / "image.mha", HU)
    (tmp_path / "b" / "label.nii.gz").unlink()
    cases, problems = ids(tmp_path)
    assert cases == ["c"]
    assert "it holds image.mha, image.nii.gz, label.nii.gz" in problems[0]
    assert "it holds image.nii.gz [" in problems[1]


def test_volume_files_when_mhd_or_dicom_then_everything_that_is_read(tmp_path):
    mhd = write(tmp_path / "image.mhd", HU)
    assert volume_files(mhd) == (mhd, tmp_path / "image.raw")
    series = tmp_path / "series"
    series.mkdir()
    for name in ("im1", "im2", "._im1"):
        (series / name).write_bytes(b"")
    assert volume_files(series) == (series / "im1", series / "im2")


def test_case_folder_when_names_are_3d_slicers_or_capital_then_read(tmp_path):
    write(tmp_path / "a" / "Image.nrrd", HU)
    write(tmp_path / "a" / "Label.seg.nrrd", two_lesions())
    assert ids(tmp_path) == (["a"], [])


def test_case_folders_when_an_earlier_output_lies_among_them_then_it_is_none(tmp_path):
    case_folders(tmp_path)
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "datalist.json").write_text("{}")
    assert ids(tmp_path) == (["a", "b", "c"], [])


def test_link_to_nothing_then_a_case_that_cannot_be_read(tmp_path):
    decathlon(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder / "liver_9.nii.gz").symlink_to(tmp_path / "annex")
    assert ids(tmp_path)[0] == ["liver_0", "liver_1", "liver_2", "liver_9"]


def test_files_among_images_that_are_no_volumes_then_reported(tmp_path):
    decathlon(tmp_path)
    (tmp_path / "imagesTr" / "liver_7").mkdir()
    for name in ("imagesTr/liver_8.img", "labelsTr/liver_8.tif", "imagesTr/README.txt"):
        (tmp_path / name).write_bytes(b"x")
    cases, problems = ids(tmp_path)
    assert cases == ["liver_0", "liver_1", "liver_2"]
    assert [problem.partition(" (")[0] for problem in problems] == [
        "liver_7: imagesTr/liver_7: is a folder",
        "liver_8.img: imagesTr/liver_8.img: is no volume file that is read",
        "liver_8.tif: labelsTr/liver_8.tif: is no volume file that is read",
    ]


def test_folder_beside_a_volume_of_its_name_then_reported_and_the_volume_kept(tmp_path):
    decathlon(tmp_path)
    (tmp_path / "imagesTr" / "liver_0").mkdir()
    (tmp_path / "imagesTr" / "Thumbs.db").write_bytes(b"x")
    (problem,) = list_cases(recognise(tmp_path))[1]
    assert "liver_0: is a folder" in str(problem)
    assert not problem.left_out  # otherwise the scan of that id would not be prepared


def test_test_images_without_labels_then_counted(tmp_path):
    csv_cases(tmp_path / "csv", [])
    write(tmp_path / "csv" / "imagesTs" / "liver_5.nii.gz", HU)
    assert images_without_labels(recognise(tmp_path / "csv" / "cases.csv")) == 0
    decathlon(tmp_path)
    write(tmp_path / "imagesTs" / "liver_5.nii.gz", HU)
    assert images_without_labels(recognise(tmp_path)) == 1
    write(tmp_path / "labelsTs" / "liver_5.nii.gz", two_lesions())
    assert images_without_labels(recognise(tmp_path)) == 0


def test_layout_when_files_have_other_names_then_said_what_a_folder_holds(tmp_path):
    write(tmp_path / "a" / "ct.nii.gz", HU)
    with pytest.raises(FileNotFoundError, match=r"It holds a/; a/ holds ct\.nii\.gz"):
        recognise(tmp_path)


def test_folder_of_dicom_files_with_segments_then_a_case_for_each(case):
    folder, images = case
    source = folder.parent
    with pytest.raises(FileNotFoundError, match="a DICOM CT with its SEG, RTSTRUCT or"):
        recognise(source)
    write_rtstruct(folder / "plan.dcm", images, {"GTV": []})
    (source / "b").mkdir()
    layout = recognise(source)
    (found,), problems = list_cases(layout)
    assert (layout.name, found.id, found.image) == ("dicom", "a", folder / "ct")
    assert "b: b: must hold one image" in str(problems[0])
