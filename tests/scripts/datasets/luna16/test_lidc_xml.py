import pytest

from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.datasets.ratings import RATINGS
from tests.scripts.datasets.luna16.test_outlines import UID, nodule, roi, square, write_xml

WRITTEN = {name: 1 + number % 5 for number, name in enumerate(RATINGS)}


def characteristics(ratings):
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in ratings.items())
    return f"<characteristics>{inside}</characteristics>"


def test_reading_when_findings_of_one_point_or_no_nodules_then_left_out(tmp_path):
    small = nodule("small", roi(-46, [(5, 5)]))
    non_nodule = "<nonNodule><locus><xCoord>3</xCoord><yCoord>4</yCoord></locus></nonNodule>"
    path = write_xml(tmp_path, small + nodule("7", roi(-46, square(10, 20, 4))) + non_nodule, "")
    outlines = read_xml(path, series_uid=UID)
    assert outlines.series_uid == UID
    assert [[n.name for n in reader] for reader in outlines.readers] == [["7"], []]


def test_reading_when_series_differs_then_refused(tmp_path):
    with pytest.raises(ValueError, match="reading.xml: belongs to series 1.2.3, not to 9.9"):
        read_xml(write_xml(tmp_path, ""), series_uid="9.9")


LINE = [(1, 1), (2, 2)]
ENTITY = '<!DOCTYPE a [<!ENTITY e "boom">]>'


@pytest.mark.parametrize(
    ("sessions", "head", "message"),
    [
        ([""], ENTITY, "reading.xml: must be a plain XML file"),
        (["<broken>"], "", "reading.xml: must be a plain XML file"),
        ([], "", "must be a CT reading of LIDC, .* 1 series, 0 sessions"),
    ],
    ids=["entity", "not XML", "no session"],
)
def test_reading_when_file_unfit_then_refused_by_name(tmp_path, sessions, head, message):
    with pytest.raises(ValueError, match=message):
        read_xml(write_xml(tmp_path, *sessions, head=head))


@pytest.mark.parametrize(
    ("rois", "message"),
    [
        (roi(-46, LINE, "MAYBE"), "inclusion must be TRUE or FALSE"),
        (roi("nan", LINE), "imageZposition must be a number of at most 1e.06, got nan"),
        (roi("-inf", LINE), "imageZposition must be a number of at most .* got -inf"),
        (roi("9e300", LINE), "imageZposition must be a number of at most .* got 9e300"),
        (roi("up", LINE), "imageZposition must be a number, got 'up'"),
        (roi(-46, [("inf", 1), (2, 2)]), "xCoord must be a number of at most .* got inf"),
        (roi(-46, [(1, "1e30"), (2, 2)]), "yCoord must be a number of at most .* got 1e30"),
        (roi(-46, [(1.5, 1), (2, 2)]), "xCoord must be a whole number, got 1.5"),
        (roi(-46, [("", 1), (2, 2)]), "xCoord must be a number, got ''"),
        ("<roi><edgeMap/></roi>", "element edgeMap lacks xCoord"),
        ("<roi></roi>", "element roi lacks edgeMap"),
        ("", "element unblindedReadNodule lacks roi"),
        (roi(-46, LINE).replace("inclusion", "other"), "element roi lacks inclusion"),
        (roi(-46, LINE).replace("imageZ", "z"), "element roi lacks imageZposition"),
    ],
)
def test_reading_when_a_value_is_unfit_then_refused_by_file_and_element(tmp_path, rois, message):
    with pytest.raises(ValueError, match=rf"reading.xml: damaged reading: {message}"):
        read_xml(write_xml(tmp_path, nodule("a", rois)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>',
        b"<a>" * 50_000,
        b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>',
    ],
    ids=["empty", "unknown encoding", "not its encoding", "deep", "entities"],
)
def test_reading_when_no_xml_then_refused_by_name(tmp_path, content):
    (tmp_path / "reading.xml").write_bytes(content)
    with pytest.raises(ValueError, match=r"reading.xml: must be a plain XML file"):
        read_xml(tmp_path / "reading.xml")


def test_reading_when_file_absent_then_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="xml_path: no such file"):
        read_xml(tmp_path / "none.xml")


def test_ratings_then_read_by_name_and_none_where_the_reader_gave_none(tmp_path):
    line = roi(-46, square(10, 20, 4))
    partly = {"subtlety": 5, "texture": "", "malignancy": 2}
    readings = [characteristics(WRITTEN), characteristics(partly), "<characteristics/>", ""]
    path = write_xml(tmp_path, "".join(nodule("1", line, ratings=given) for given in readings))
    (nodules,) = read_xml(path).readers
    expected = [WRITTEN, {"subtlety": 5, "malignancy": 2}, {}, {}]
    assert [nodule.characteristics for nodule in nodules] == expected


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("texture", 6, "texture must be a whole number from 1 to 5, got 6"),
        ("calcification", 0, "calcification must be a whole number from 1 to 6, got 0"),
        ("malignancy", 2.5, "malignancy must be a whole number, got 2.5"),
        ("malignancy", "high", "malignancy must be a number, got 'high'"),
    ],
)
def test_rating_off_its_scale_then_refused_by_file_and_name(tmp_path, name, value, said):
    one = nodule("1", roi(-46, square(10, 20, 4)), ratings=characteristics({name: value}))
    with pytest.raises(ValueError, match=rf"reading.xml: damaged reading: {said}"):
        read_xml(write_xml(tmp_path, one))


@pytest.mark.real
def test_real_ratings_then_as_in_the_file(real_data):
    folder = real_data / "luna16" / "lidc_xml"
    _, _, _, last = read_xml(folder / "LIDC-IDRI-0003_072.xml").readers
    suspicion = [nodule.characteristics["malignancy"] for nodule in last]
    texture = [nodule.characteristics["texture"] for nodule in last]
    assert (suspicion, texture) == ([4, 2, 2, 2], [4, 5, 5, 1])
    assert all(nodule.characteristics.keys() == RATINGS.keys() for nodule in last)
