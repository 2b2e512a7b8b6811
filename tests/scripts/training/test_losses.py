import pytest
import torch
from monai.losses import DiceCELoss
from torch import nn

from scripts.training.losses import (
    KnownVoxels,
    MarginalCrossEntropy,
    MarginalDice,
    MarginalDiceCrossEntropy,
    SensitivityRatio,
    SumOfLosses,
    loss_of_known,
)
from scripts.transforms.partial_labels import UNKNOWN_VOXEL, candidate_classes

KNOWN = torch.tensor([True] * 4)
NO_KIDNEY = torch.tensor([True, True, True, False])
LABEL = torch.tensor([[[0, 1, 2], [0, 1, 0]]])


@pytest.fixture
def logits():
    return torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)


def candidates(known, label=LABEL):
    return torch.stack([candidate_classes(label, known)] * 2)


def test_loss_when_all_is_known_then_is_cross_entropy(logits):
    expected = nn.functional.cross_entropy(logits, LABEL.expand(2, -1, -1))
    for unknown in ("merge", "ignore"):
        found = MarginalCrossEntropy(unknown)(logits, candidates(KNOWN))
        torch.testing.assert_close(found, expected)


def test_loss_when_a_class_is_unknown_then_merges_it_with_background(logits):
    merged = logits.softmax(dim=1)
    merged = torch.stack([merged[:, 0] + merged[:, 3], merged[:, 1], merged[:, 2]], dim=1)
    expected = nn.functional.nll_loss(merged.log(), LABEL.expand(2, -1, -1))
    found = MarginalCrossEntropy()(logits, candidates(NO_KIDNEY))
    torch.testing.assert_close(found, expected)


def test_gradient_when_a_class_is_unknown_then_does_not_choose_between_it_and_background(logits):
    MarginalCrossEntropy()(logits, candidates(NO_KIDNEY)).backward()
    background = LABEL[0] == 0
    share = logits.detach().softmax(dim=1)
    ratio = logits.grad[:, 3][:, background] / logits.grad[:, 0][:, background]
    torch.testing.assert_close(ratio, (share[:, 3] / share[:, 0])[:, background])
    assert (logits.grad[:, 3][:, background] < 0).all()  # pushed up together, from liver and bone


def test_loss_when_ignoring_then_averages_outlined_voxels_only(logits):
    outlined = LABEL.expand(2, -1, -1).masked_fill(LABEL == 0, -100)
    expected = nn.functional.cross_entropy(logits, outlined)
    found = MarginalCrossEntropy("ignore")(logits, candidates(NO_KIDNEY))
    torch.testing.assert_close(found, expected)


def test_loss_when_nothing_is_outlined_then_ignoring_gives_zero(logits):
    nothing = candidates(NO_KIDNEY, torch.zeros_like(LABEL))
    loss = MarginalCrossEntropy("ignore")(logits, nothing)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_weights_then_act_as_those_of_cross_entropy(logits):
    weights = [1.0, 2.0, 3.0, 4.0]
    expected = nn.functional.cross_entropy(
        logits, LABEL.expand(2, -1, -1), weight=torch.tensor(weights)
    )
    found = MarginalCrossEntropy(class_weights=weights)(logits, candidates(KNOWN))
    torch.testing.assert_close(found, expected)


def test_loss_when_certain_and_far_wrong_then_stays_finite():
    logits = torch.tensor([0.0, 1e4, 0.0, 0.0]).view(1, 4, 1, 1)
    label = candidate_classes(torch.zeros(1, 1, 1), NO_KIDNEY)[None]
    assert MarginalCrossEntropy()(logits, label).item() == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unknown": "drop"}, "unknown: must be one of merge, ignore, got 'drop'"),
        ({"class_weights": [1.0, 0.0]}, "class_weights: must be above 0"),
    ],
)
def test_arguments_when_wrong_then_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MarginalCrossEntropy(**arguments)


@pytest.mark.parametrize("loss", [MarginalCrossEntropy(), MarginalDice()], ids=["entropy", "dice"])
def test_label_of_class_values_then_is_refused(loss, logits):
    with pytest.raises(ValueError, match="labels go through CandidateClassesd"):
        loss(logits, LABEL.expand(2, -1, -1)[:, None])


def test_weights_of_other_classes_then_are_refused(logits):
    with pytest.raises(ValueError, match="class_weights: must be 4"):
        MarginalCrossEntropy(class_weights=[1.0, 2.0])(logits, candidates(KNOWN))


def test_dice_when_perfect_then_zero_and_unknown_class_then_no_matter():
    label = candidates(KNOWN)
    perfect = label.float() * 60 - 30
    assert MarginalDice()(perfect, label).item() == pytest.approx(0, abs=1e-6)
    partly = candidates(NO_KIDNEY)
    kidney = perfect.clone()
    kidney[:, 3][:, LABEL[0] == 0] = 90  # kidney all over what nobody outlined
    assert MarginalDice()(kidney, partly).item() == pytest.approx(0, abs=1e-6)
    assert MarginalDice()(kidney, label).item() > 0.2


def test_dice_when_a_class_is_unknown_then_it_does_not_enter_the_average(logits):
    share = logits.detach().softmax(dim=1)
    losses = []
    for image in share:
        for organ in (1, 2):  # 3, the kidney, is unknown
            mask = LABEL[0] == organ
            shared, sizes = image[organ][mask].sum(), image[organ].sum() + mask.sum()
            losses.append(1 - (2 * shared + 1) / (sizes + 1))
    found = MarginalDice()(logits, candidates(NO_KIDNEY))
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_weights_when_a_voxel_has_several_candidates_then_the_first_ones_counts(logits):
    weights = torch.tensor([1.0, 2.0, 3.0, 100.0])
    share = logits.detach().softmax(dim=1)
    merged = torch.stack([share[:, 0] + share[:, 3], share[:, 1], share[:, 2]], dim=1)
    label = LABEL.expand(2, -1, -1)
    expected = nn.functional.nll_loss(merged.log(), label, weight=weights[:3])
    found = MarginalCrossEntropy(class_weights=weights.tolist())(logits, candidates(NO_KIDNEY))
    torch.testing.assert_close(found, expected)


def test_dice_when_smoother_then_nearer_to_zero(logits):
    label = candidates(KNOWN)
    assert MarginalDice(smooth=100)(logits, label) < MarginalDice(smooth=1)(logits, label)
    with pytest.raises(ValueError, match="smooth: must be above 0"):
        MarginalDice(smooth=0)


def test_sum_then_is_both(logits):
    label = candidates(NO_KIDNEY)
    both = MarginalDice()(logits, label) + MarginalCrossEntropy()(logits, label)
    torch.testing.assert_close(MarginalDiceCrossEntropy()(logits, label), both)


def test_sum_of_losses_then_each_counts_by_its_weight_and_passes_its_gradient_on():
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    label = (torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    parts = [nn.BCEWithLogitsLoss(), nn.MSELoss()]
    total = SumOfLosses(parts, weights=[1, 3])(logits, label)
    torch.testing.assert_close(total, parts[0](logits, label) + 3 * parts[1](logits, label))
    plain = SumOfLosses(parts)(logits, label)
    torch.testing.assert_close(plain, parts[0](logits, label) + parts[1](logits, label))
    assert torch.autograd.grad(total, logits)[0].abs().min() > 0


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([], None, "^losses: must name at least one loss, got none$"),
        ([nn.L1Loss()], [1, 2], r"weights: must be 1 numbers above 0.* got \[1.0, 2.0\]"),
        ([nn.L1Loss()], [0], "leave a loss out instead of weighting it 0"),
    ],
    ids=["none", "too many weights", "weight of 0"],
)
def test_sum_of_losses_when_arguments_make_no_sense_then_refused(losses, weights, message):
    with pytest.raises(ValueError, match=message):
        SumOfLosses(losses, weights=weights)


LESION = DiceCELoss(sigmoid=True, batch=True, squared_pred=True)


def test_lesion_loss_when_all_is_known_then_that_of_the_loss(logits):
    label = (LABEL > 0).float().expand(2, 1, 2, 3)
    assert torch.equal(KnownVoxels(LESION)(logits[:, :1], label), LESION(logits[:, :1], label))


def test_lesion_loss_when_voxels_are_unknown_then_those_as_if_they_were_not_there(logits):
    label = (LABEL > 0).float().expand(2, 1, 2, 3).clone()
    label[..., 1] = UNKNOWN_VOXEL  # the middle column
    kept = [0, 2]
    dice = DiceCELoss(sigmoid=True, batch=True, squared_pred=True, lambda_ce=0.0)
    found = KnownVoxels(dice)(logits[:, :1], label)
    torch.testing.assert_close(found, dice(logits[:, :1, :, kept], label[..., kept]))
    summed = nn.BCEWithLogitsLoss(reduction="sum")
    found = KnownVoxels(summed)(logits[:, :1], label)
    torch.testing.assert_close(found, summed(logits[:, :1, :, kept], label[..., kept]))


def test_lesion_loss_when_voxels_are_unknown_then_they_have_no_gradient(logits):
    label = torch.zeros(2, 1, 2, 3)
    label[..., 1] = UNKNOWN_VOXEL
    KnownVoxels(LESION)(logits[:, :1], label).backward()
    assert not logits.grad[:, :1, :, 1].any()
    assert logits.grad[:, :1, :, [0, 2]].all()


def test_loss_of_known_voxels_of_organs_then_the_loss_itself():
    organs = [{"unknown_value": 255, "class_known": [True, True]}]
    assert loss_of_known(LESION, organs) is LESION


def test_loss_of_known_voxels_then_for_samples_with_a_value_for_unknown_only():
    assert loss_of_known(LESION, [{"image": "a.npy"}]) is LESION
    chosen = loss_of_known(LESION, [{"image": "a.npy"}, {"unknown_value": 255}])
    assert isinstance(chosen, KnownVoxels)
    assert chosen.loss is LESION


@pytest.mark.parametrize("loss", [MarginalDice(), MarginalCrossEntropy("ignore")])
def test_class_loss_when_nothing_is_known_of_voxels_then_as_if_they_were_not_there(logits, loss):
    label = LABEL.clone()
    label[..., 1] = UNKNOWN_VOXEL
    kept = [0, 2]
    found = loss(logits, candidates(NO_KIDNEY, label))
    torch.testing.assert_close(
        found, loss(logits[..., kept], candidates(NO_KIDNEY, LABEL[..., kept]))
    )
    found.backward()
    assert not logits.grad[..., 1].any()


def test_merging_loss_when_nothing_is_known_of_voxels_then_they_have_none(logits):
    label = LABEL.clone()
    label[..., 1] = UNKNOWN_VOXEL
    loss = MarginalCrossEntropy()(logits, candidates(KNOWN, label))
    rest = MarginalCrossEntropy()(logits[..., [0, 2]], candidates(KNOWN, LABEL[..., [0, 2]]))
    torch.testing.assert_close(loss, rest * 2 / 3)
    loss.backward()
    assert logits.grad[..., 1].abs().max() < 1e-7


def test_dice_when_no_class_is_known_in_an_image_then_it_has_no_part(logits):
    none = torch.tensor([True, False, False, False])
    both = torch.stack(
        [candidate_classes(torch.zeros_like(LABEL), none), candidate_classes(LABEL, KNOWN)]
    )
    torch.testing.assert_close(MarginalDice()(logits, both), MarginalDice()(logits[1:], both[1:]))


def test_sensitivity_ratio_then_the_formula_and_its_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    labels[0, 0, 0] = 1
    loss = SensitivityRatio(0.2)
    y = logits.sigmoid().detach()
    expected = 0.2 * ((1 - y[labels == 1]) ** 2).mean() + 0.8 * (y[labels == 0] ** 2).mean()
    assert loss(logits, labels).item() == pytest.approx(expected.item())
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits,))


def test_sensitivity_ratio_when_there_is_no_lesion_then_the_others_alone() -> None:
    logits = torch.zeros(1, 1, 2, 2)
    loss = SensitivityRatio(0.2)(logits, torch.zeros_like(logits))
    assert loss.item() == pytest.approx(0.8 * 0.25)


def test_sensitivity_ratio_when_wrong_then_refused() -> None:
    with pytest.raises(ValueError, match="sensitivity_ratio: must be between 0 and 1, got 1"):
        SensitivityRatio(1)
    with pytest.raises(ValueError, match="labels: must have the shape"):
        SensitivityRatio()(torch.zeros(1, 1, 2), torch.zeros(1, 1, 3))
