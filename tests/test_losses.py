"""The losses, against torch.distributions and torch.nn, numbers worked by hand, and finite differences."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional

from napari_uml.nn.evidence import evidence_from_logits, probability
from napari_uml.nn.losses import (
    IGNORE,
    dice_loss,
    evidential_cross_entropy,
    evidential_mask_loss,
    kl_to_uniform,
    uml_loss,
)
from napari_uml.nn.output import UMLOutput

EVIDENTIAL = [evidential_cross_entropy, kl_to_uniform]
ON_PIXELS = [*EVIDENTIAL, dice_loss]


def draw(*shape: int, classes: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64):
    """Return evidence (B, K, ...) and targets (B, ...) for a shape (B, ...)."""
    generator = torch.Generator().manual_seed(seed)
    evidence = torch.rand(shape[0], classes, *shape[1:], generator=generator, dtype=dtype) * 5
    return evidence, torch.randint(0, classes, shape, generator=generator)


def output(batch: int = 2, size: int = 8, classes: int = 2, structures: int = 3, evidential: bool = False) -> UMLOutput:
    torch.manual_seed(0)
    logits = tuple(torch.randn(batch, structures, size, size, dtype=torch.float64) for _ in range(4))
    return UMLOutput(
        class_evidence=torch.rand(batch, classes, dtype=torch.float64) * 4,
        mutual_evidence=torch.rand(batch, structures, size, size, dtype=torch.float64) * 4,
        mask_logits=logits,
        evidential_mask=evidential,
    )


# ---- values


def test_cross_entropy_worked_by_hand():
    e, y = torch.tensor([[1.0, 3.0]]), torch.tensor([1])  # psi(6) - psi(4) = 1/4 + 1/5
    assert evidential_cross_entropy(e, y).item() == pytest.approx(0.45)


def test_kl_worked_by_hand():
    e, y = torch.tensor([[1.0, 3.0]]), torch.tensor([1])  # KL(Dir(2, 1) | Dir(1, 1)) = ln 2 - 1/2
    assert kl_to_uniform(e, y).item() == pytest.approx(math.log(2) - 0.5, abs=1e-6)


def test_dice_worked_by_hand():
    p = torch.tensor([0.75, 0.5]).view(1, 1, 1, 2)
    p = torch.cat([p, 1 - p], dim=1)  # structure 0: overlap 0.75, sizes 1.25 + 1; structure 1: 0.5, 0.75 + 1
    expected = (-math.log((1.5 + 1) / (2.25 + 1)) - math.log((1.0 + 1) / (1.75 + 1))) / 2
    assert dice_loss(p, torch.tensor([[[0, 1]]])).item() == pytest.approx(expected)


def test_dice_of_images_worked_by_hand():
    first = torch.tensor([0.75, 0.5]).view(1, 1, 2)
    p = torch.stack([torch.cat([first, 1 - first]), torch.tensor([0.25, 0.25, 0.75, 0.75]).view(2, 1, 2)])
    y = torch.tensor([[[0, 1]], [[1, 1]]])  # the second image lacks structure 0, which is left out there
    ratios = [(1.5 + 1) / (2.25 + 1), (1.0 + 1) / (1.75 + 1), (3 + 1) / (3.5 + 1)]
    expected = -sum(map(math.log, ratios)) / 3
    assert dice_loss(p, y, image_share=1).item() == pytest.approx(expected)
    half = (dice_loss(p, y).item() + expected) / 2
    assert dice_loss(p, y, image_share=0.5).item() == pytest.approx(half)


def test_dice_of_images_does_not_forget_a_small_structure():
    y = torch.zeros(2, 32, 32, dtype=torch.long)
    y[0, 4:28, 4:28], y[1, :3, :3] = 1, 1
    truth = functional.one_hot(y, 2).movedim(-1, 1).double()
    missed = truth.clone()
    missed[1, 0], missed[1, 1] = 1, 0
    assert dice_loss(missed, y) < 0.05
    assert dice_loss(missed, y, image_share=1) > 0.5
    assert dice_loss(truth, y, image_share=1).item() == pytest.approx(0, abs=1e-12)


def test_dice_of_images_leaves_out_unknown_pixels():
    p, y = torch.rand(2, 3, 8, 8).softmax(1), torch.randint(0, 3, (2, 8, 8))
    y[1] = 255
    assert torch.allclose(dice_loss(p, y, image_share=1), dice_loss(p[:1], y[:1], image_share=1))
    assert dice_loss(p, torch.full_like(y, 255), image_share=1) == 0


def test_cross_entropy_is_its_mean_over_the_dirichlet_distribution():
    torch.manual_seed(0)
    e = torch.tensor([[0.5, 2.0, 4.0]], dtype=torch.float64)
    draws = Dirichlet(e[0] + 1).sample((200_000,))
    for y in range(3):
        found = evidential_cross_entropy(e, torch.tensor([y])).item()
        assert found == pytest.approx(-draws[:, y].log().mean().item(), abs=0.02)


@pytest.mark.parametrize("shape", [(6,), (2, 4, 5)], ids=["images", "pixels"])
@pytest.mark.parametrize("classes", [2, 5])
def test_kl_agrees_with_torch(shape, classes):
    e, y = draw(*shape, classes=classes)
    wrong = (e * (1 - functional.one_hot(y, classes).movedim(-1, 1))).movedim(1, -1)
    expected = kl_divergence(Dirichlet(1 + wrong), Dirichlet(torch.ones_like(wrong))).mean()
    assert torch.allclose(kl_to_uniform(e, y), expected)


def test_kl_is_zero_without_wrong_evidence():
    e = torch.tensor([[0.0, 7.0, 0.0]])
    assert kl_to_uniform(e, torch.tensor([1])).item() == pytest.approx(0, abs=1e-6)


def test_dice_is_zero_for_the_truth_and_grows_with_errors():
    _, y = draw(2, 16, 16)
    truth = functional.one_hot(y, 3).movedim(-1, 1).double()
    assert dice_loss(truth, y).item() == pytest.approx(0, abs=1e-12)
    assert dice_loss(truth.roll(1, dims=1), y) > dice_loss(torch.full_like(truth, 1 / 3), y) > 0


def test_the_mask_loss_is_the_sum_of_its_parts():
    e, y = draw(2, 8, 8)
    expected = evidential_cross_entropy(e, y) + 0.3 * kl_to_uniform(e, y)
    assert torch.allclose(evidential_mask_loss(e, y, 0.3), expected + dice_loss(probability(e), y))
    assert torch.allclose(evidential_mask_loss(e, y, 0.3, "softmax"), expected + dice_loss(e.softmax(1), y))


def test_softmax_dice_stops_asking_for_evidence_where_the_expected_probability_does_not():
    y = torch.zeros(1, 32, 32, dtype=torch.long)
    y[:, :16] = 1
    e = functional.one_hot(y, 2).movedim(-1, 1).double() * 10  # u is still 2 / 12
    assert dice_loss(e.softmax(1), y) < 1e-3
    assert dice_loss(probability(e), y) > 0.05


# ---- the total


@pytest.mark.parametrize("evidential", [False, True])
@pytest.mark.parametrize("cross_entropy", [False, True])
@pytest.mark.parametrize("source", ["expected", "softmax"])
def test_total_is_the_weighted_sum_of_equation_10(evidential, cross_entropy, source):
    out = output(evidential=evidential)
    labels, masks = torch.tensor([0, 1]), draw(2, 8, 8)[1]
    loss = uml_loss(out, labels, masks, 0.2, cross_entropy, source)
    mutual = evidential_mask_loss(out.mutual_evidence, masks, 0.2, source)
    class_ = evidential_cross_entropy(out.class_evidence, labels) + 0.2 * kl_to_uniform(out.class_evidence, labels)
    mask = sum(dice_loss(s.softmax(1), masks) for s in out.mask_logits) / 4
    if cross_entropy:
        mask = mask + functional.cross_entropy(out.mask_logits[0], masks)
    if evidential:
        mask = mask + evidential_mask_loss(evidence_from_logits(out.mask_logits[0]), masks, 0.2, source)
    for found, expected in zip(loss, (0.1 * mutual + 0.5 * class_ + 0.4 * mask, mutual, class_, mask), strict=True):
        assert torch.allclose(found, expected)


def test_no_weight_switches_the_kl_term_off():
    out, masks = output(), draw(2, 8, 8)[1]
    loss = uml_loss(out, torch.tensor([0, 1]), masks, 0.0)
    assert torch.allclose(loss.class_, evidential_cross_entropy(out.class_evidence, torch.tensor([0, 1])))


# ---- derivatives, symmetry, extremes


@pytest.mark.parametrize("loss", EVIDENTIAL)
def test_gradients_of_evidential_losses(loss):
    e, y = draw(2, 3, 4)
    y[0, 0, 0] = IGNORE
    assert gradcheck(lambda x: loss(x, y), (e.requires_grad_(),))


@pytest.mark.parametrize("source", ["expected", "softmax"])
def test_gradients_of_the_mask_loss(source):
    e, y = draw(2, 3, 4)
    assert gradcheck(lambda x: evidential_mask_loss(x, y, 0.5, source), (e.requires_grad_(),))


def test_gradients_of_the_total():
    out, masks = output(size=2, evidential=True), draw(2, 2, 2)[1]
    labels = torch.tensor([1, -1])

    def total(e_c, e_s, *logits):
        return uml_loss(UMLOutput(e_c, e_s, logits, True), labels, masks, 0.5, True).total

    leaves = [out.class_evidence, out.mutual_evidence, *out.mask_logits]
    assert gradcheck(total, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("loss", ON_PIXELS)
def test_losses_do_not_depend_on_the_order_of_the_classes(loss):
    e, y = draw(2, 6, 6, classes=4)
    y[0, 0] = IGNORE
    order = torch.tensor([2, 0, 3, 1])
    table = torch.full((256,), IGNORE)
    table[order] = torch.arange(4)
    assert torch.allclose(loss(e, y), loss(e[:, order], table[y]))


@pytest.mark.parametrize("loss", EVIDENTIAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_evidence_and_a_million_are_finite(loss, dtype):
    e = torch.tensor([[0.0, 0.0], [1e6, 0.0], [0.0, 1e6], [1e6, 1e6]], dtype=dtype, requires_grad=True)
    for y in (0, 1):
        value = loss(e, torch.full((4,), y))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(e.grad).all()


def test_gradient_of_much_wrong_evidence_hardly_rounds():
    gradients = []
    for kind in (torch.float32, torch.float64):
        e = torch.tensor([[0.0, 1e3]], dtype=kind, requires_grad=True)
        kl_to_uniform(e, torch.tensor([0])).backward()
        gradients.append(e.grad[0, 1].item())
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-3)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32(kind):
    e, y = draw(2, 6, 6, dtype=torch.float32)
    e = e.to(kind)
    for loss in ON_PIXELS:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(e, y)
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(e.float(), y))


# ---- missing annotation


@pytest.mark.parametrize("loss", ON_PIXELS)
def test_ignored_pixels_change_nothing(loss):
    e, y = draw(2, 6, 6)
    y[:, :, 3:] = IGNORE
    changed = e.clone()
    changed[..., 3:] = 77
    assert torch.allclose(loss(e, y), loss(changed, y))
    assert torch.allclose(loss(e, y), loss(e[..., :3], y[..., :3]))


@pytest.mark.parametrize("loss", ON_PIXELS)
def test_a_batch_without_annotation_gives_zero_and_no_gradient(loss):
    e, y = draw(2, 6, 6)
    e.requires_grad_()
    value = loss(e, torch.full_like(y, IGNORE))
    value.backward()
    assert value.item() == 0
    assert (e.grad == 0).all()


def test_images_without_label_or_without_mask_train_what_they_can():
    out = output()
    masks = draw(2, 8, 8)[1]
    masks[1] = IGNORE
    loss = uml_loss(out, torch.tensor([-1, 1]), masks, 0.2, True)
    second = out.class_evidence[1:]
    kl = kl_to_uniform(second, torch.tensor([1]))
    assert torch.allclose(loss.class_, evidential_cross_entropy(second, torch.tensor([1])) + 0.2 * kl)
    assert torch.allclose(loss.mutual, evidential_mask_loss(out.mutual_evidence[:1], masks[:1], 0.2))


def test_mask_of_bytes_is_the_same_as_of_integers():
    e, y = draw(2, 6, 6)
    for loss in ON_PIXELS:
        assert torch.equal(loss(e, y.to(torch.uint8)), loss(e, y))


# ---- refused


@pytest.mark.parametrize("loss", EVIDENTIAL)
def test_labels_with_a_second_axis_are_refused(loss):
    e, _ = draw(3)
    with pytest.raises(ValueError, match=r"Expected integer targets of shape \(3,\), got torch.int64 \(3, 1\)"):
        loss(e, torch.zeros(3, 1, dtype=torch.long))


@pytest.mark.parametrize("loss", ON_PIXELS)
@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (2, 6), (2, 6, 5), (1, 6, 6)])
def test_masks_of_another_shape_are_refused(loss, shape):
    e, _ = draw(2, 6, 6)
    with pytest.raises(ValueError, match="Expected integer targets of shape"):
        loss(e, torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("loss", ON_PIXELS)
def test_targets_of_fractions_or_unknown_classes_are_refused(loss):
    e, y = draw(2, 6, 6)
    with pytest.raises(ValueError, match="Expected integer targets"):
        loss(e, y.float())
    y[1, 2, 3] = 3
    with pytest.raises(ValueError, match="Expected class numbers below 3, got 3"):
        loss(e, y)


def test_labels_and_masks_of_the_wrong_shape_are_refused_by_the_total():
    out, masks = output(), draw(2, 8, 8)[1]
    with pytest.raises(ValueError, match="Expected integer targets"):
        uml_loss(out, torch.zeros(2, 1, dtype=torch.long), masks, 0.2)
    with pytest.raises(ValueError, match="Expected integer targets"):
        uml_loss(out, torch.zeros(2, dtype=torch.long), masks[:, None], 0.2)


def test_an_unknown_dice_source_is_refused():
    e, y = draw(2, 6, 6)
    with pytest.raises(ValueError, match="Expected a Dice source among expected, softmax, got 'sigmoid'"):
        evidential_mask_loss(e, y, 0.1, "sigmoid")
