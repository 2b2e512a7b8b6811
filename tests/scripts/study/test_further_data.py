import pytest

from scripts.study.declaration import read_study
from tests.scripts.study.studies import write_study

JOINT = {"network": "multi_domain", "encoder": "resnet34", "strategy": "full", "name": "both"}


OTHER = {
    **{"own": "nodules", "name": "organs", "bundle": "liver_ct_segmentation"},
    **{"figures": {"Dice": "dice_liver_per_volume_mean"}, "data": {"phantoms": {"patients": 5}}},
}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (None, "other_domain: both learns nodules and organs; declare the data"),
        ({**OTHER, "own": "nodule"}, "other_domain: own: no 'nodule'; did you mean nodules"),
        ({"own": "nodules"}, "other_domain: lacks name, bundle, data, figures"),
        ({**OTHER, "bundle": "liver"}, "other_domain: bundle: no 'liver'"),
        ({**OTHER, "bundle": "lung_nodule_ct_segmentation"}, "other_domain: data are of luna16"),
        ({**OTHER, "figures": {"Dice": "dice_per_nodule_mean"}}, "figures: Dice: no 'dice_per_nod"),
    ],
)
def test_other_domain_when_missing_or_wrong_then_refused(tmp_path, other, reason):
    changes = {} if other is None else {"other_domain": other}
    file = write_study(tmp_path, methods=[JOINT], reference="both", **changes)
    with pytest.raises(ValueError, match=reason):
        read_study(file)


def test_other_domain_then_with_the_data_set_of_its_bundle(tmp_path):
    study = read_study(write_study(tmp_path, methods=[JOINT], other_domain=OTHER))
    assert study.other_domain.bundle.data_set == "ircadb"
