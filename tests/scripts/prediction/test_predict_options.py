import pytest

from scripts.prediction.predict_options import (
    Options,
    check_dicom_lesions,
    check_files,
    check_flips,
    check_geometry,
    check_products,
    check_seg,
    check_suspicion,
    check_threshold,
)
from scripts.running.options import read_words
from tests.scripts.prediction.measures.test_suspicion import write


@pytest.mark.parametrize("given", ["x,y", ("x", "y"), ["y", "x"], " y , x "], ids=str)
def test_flips_however_a_shell_gives_them_then_the_same(given):
    assert check_flips(given) == ("x", "y")


@pytest.mark.parametrize("given", ["x,x", "xy", 3], ids=str)
def test_wrong_flips_then_refused(given):
    with pytest.raises(ValueError, match="flips: must be"):
        check_flips(given)


def test_products_then_in_the_order_they_are_written_and_the_structure_set_on_request():
    assert check_products("report,mask") == ("mask", "report")
    assert "rtstruct" not in check_products(None)
    assert check_products(None, rtstruct=True)[:3] == ("mask", "seg", "rtstruct")


def test_structured_report_then_with_the_segmentation_that_it_refers_to():
    assert check_products("sr") == ("seg", "sr")
    assert check_products("statistics,sr,seg") == ("seg", "sr", "statistics")


@pytest.mark.parametrize("given", ["LABELMAP", "fractional", None, True], ids=str)
def test_form_of_the_segmentation_that_there_is_not_then_refused(given):
    with pytest.raises(ValueError, match="seg: must be one of labelmap, binary, auto"):
        check_seg(given)


@pytest.mark.parametrize("given", [0, 1001, 2.5, "all", True], ids=str)
def test_number_of_lesions_that_there_cannot_be_then_refused(given):
    with pytest.raises(ValueError, match="dicom_lesions: must be a whole number, 1 to 1000"):
        check_dicom_lesions(given)


@pytest.mark.parametrize("given", [0, 1, "half", True], ids=str)
def test_threshold_that_is_no_probability_then_refused(given):
    with pytest.raises(ValueError, match="threshold: must be a probability"):
        check_threshold(given)


def test_missing_file_then_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="ckpt_path: no such file: .*none.pt"):
        check_files("ckpt_path", str(tmp_path / "none.pt"))


def test_missing_overlay_then_the_valid_ones_named(tmp_path):
    (tmp_path / "unet.json").touch()
    with pytest.raises(FileNotFoundError, match=r"config_file: no such file: .* has unet\.json"):
        check_files("config_file", str(tmp_path / "unet_resnet50.json"))


def test_numbers_where_words_belong_then_refused():
    with pytest.raises(ValueError, match="config_file: must be words"):
        read_words("config_file", [1, 2])


def test_record_then_names_no_folder(tmp_path):
    file = tmp_path / "Quixotic" / "agreement.json"
    files = {"checkpoints": ("/home/quixotic/a.pt",), "agreement": file}
    options = Options(tmp_path / "Quixotic" / "bundle", **files)
    assert "uixotic" not in str(options.record())
    assert options.record()["agreement"] == "agreement.json"
    assert "agreement" not in Options(tmp_path).record()
    assert options.record()["checkpoints"] == ["a.pt"]


def test_geometry_of_another_word_then_refused_with_the_words():
    assert check_geometry("resample") == "resample"
    with pytest.raises(ValueError, match="geometry: must be one of refuse, resample, got 'true'"):
        check_geometry("true")


def test_suspicion_then_a_classifier_whose_result_is_written(tmp_path):
    path = write(tmp_path / "suspicion.json")
    assert check_suspicion(None, ()) is None
    assert check_suspicion(str(path), ("mask", "report")) == path
    with pytest.raises(ValueError, match="suspicion: is written with statistics, report, sr"):
        check_suspicion(path, ("mask", "seg"))
    with pytest.raises(FileNotFoundError, match=r"suspicion: no such file: .*none\.json"):
        check_suspicion(tmp_path / "none.json", ("report",))
    options = Options(tmp_path, suspicion=path)
    assert options.record()["suspicion"] == "suspicion.json"
    assert "suspicion" not in Options(tmp_path).record()
