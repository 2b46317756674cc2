"""Settings of the task, the network and its training, checked where they are made; no torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

OKABE_ITO = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""A palette that people with colour-vision deficiencies can tell apart; the first is the background."""

IGNORE: Final = 255
"""In a mask: a pixel that nobody annotated; it teaches nothing and counts nowhere."""

Precision = Literal["auto", "float32", "bf16", "fp16"]

Arch = Literal["uml", "ec", "tbrats", "transunet", "bcs", "dsi-net"]
"""UML and the systems that the paper compares it with, see `napari_uml.baselines.registry`."""

Trainable = Literal["heads", "decoders", "all"]
"""Which part of a network learns."""

Way = Literal["dropout", "augmentation", "ensemble"]
"""How trained networks look several times: Monte-Carlo dropout, test-time augmentation, a deep ensemble."""


class Settings(BaseModel):
    """Base of every settings object: frozen, and a name that is not a field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measurement(Settings):
    """A measurement that a data set declares, such as the vertical cup/disc ratio.

    The extent of the structures `of` along `axis` divided by that of the structures `to`.
    """

    name: str
    kind: Literal["extent_ratio"] = "extent_ratio"
    axis: Literal["vertical", "horizontal"] = "vertical"
    of: tuple[str, ...]
    to: tuple[str, ...]


class Task(Settings):
    """What is to be found in an image: Q structures (background first) and K classes.

    A structure or class that was renamed keeps its earlier names, oldest first, in `former_structures` or
    `former_classes`, so that weights trained under one of them are still found.
    """

    modality: str = ""
    channels: Literal[1, 3] = 3
    seg_classes: tuple[str, ...] = Field(min_length=2, max_length=IGNORE)
    cls_classes: tuple[str, ...] = Field(min_length=2)
    seg_colors: tuple[Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")], ...] = ()
    unions: dict[str, tuple[str, ...]] = {}
    measurements: tuple[Measurement, ...] = ()
    former_structures: dict[str, tuple[str, ...]] = {}
    former_classes: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _names_exist_and_are_unique(self) -> Self:
        for kind, names in (("seg_classes", self.seg_classes), ("cls_classes", self.cls_classes)):
            if len(set(names)) != len(names):
                raise ValueError(f"Expected different names in {kind}, got {', '.join(names)}.")
        if self.seg_colors and len(self.seg_colors) != len(self.seg_classes):
            raise ValueError(
                f"Expected {len(self.seg_classes)} seg_colors, one a structure, got {len(self.seg_colors)}."
            )
        clash = sorted(set(self.unions) & set(self.seg_classes))
        if clash:
            raise ValueError(f"Expected unions with names of their own, {', '.join(clash)} is a pixel class, too.")
        in_unions = {name for parts in self.unions.values() for name in parts} - set(self.seg_classes)
        measured = {name for m in self.measurements for name in (*m.of, *m.to)} - {*self.seg_classes, *self.unions}
        unknown = sorted(in_unions | measured | self.former_structures.keys() - {*self.seg_classes})
        if unknown:
            raise ValueError(f"Unknown structure {', '.join(unknown)}: seg_classes has {', '.join(self.seg_classes)}.")
        if strange := sorted(self.former_classes.keys() - {*self.cls_classes}):
            raise ValueError(
                f"Unknown class {', '.join(strange)} in former_classes: cls_classes has {', '.join(self.cls_classes)}."
            )
        return self

    @property
    def colors(self) -> tuple[str, ...]:
        """Hex colour of every structure, background first."""
        if self.seg_colors:
            return self.seg_colors
        return tuple(OKABE_ITO[0] if i == 0 else OKABE_ITO[1 + (i - 1) % 7] for i in range(len(self.seg_classes)))

    def members(self, structure: str) -> tuple[int, ...]:
        """Class numbers in the mask that make up a structure or a union of structures."""
        names = self.unions.get(structure, (structure,))
        return tuple(self.seg_classes.index(name) for name in names)

    @property
    def structures(self) -> tuple[str, ...]:
        """Every structure that is measured and scored: the pixel classes without background, then the unions."""
        return (*self.seg_classes[1:], *self.unions)


class Focus(Settings):
    """Look twice: find `structures` in the whole photograph, crop a square around them, look again."""

    structures: tuple[str, ...] = Field(min_length=1)
    crop_factor: float = Field(2.2, ge=1.0, description="side of the crop divided by the extent of the structures")
    trigger: float = Field(
        0.3, gt=0.0, lt=1.0, description="look again when the extent is below this share of the image's shorter side"
    )


class EncoderConfig(Settings):
    """An encoder from timm with four taps, finest first."""

    name: str
    pretrained: bool = False
    stem_stride: Literal[1, 2] | None = Field(None, description="stride of the first convolution; None: as timm has it")
    frozen_norm: bool = Field(True, description="keep statistics and scales of the batch normalisation, if pretrained")

    @property
    def learns_norm(self) -> bool:
        """Whether batch normalisation learns."""
        return not (self.pretrained and self.frozen_norm)


class UMLConfig(Settings):
    """The network; everything that a preset decides.

    A system other than UML (`arch`) takes from it the encoders and widths that it has a use for. With a `way` it is
    what looks several times, an ensemble with so many `members`; that is made of trained networks, not trained.
    """

    arch: Arch = "uml"
    way: Way | None = None
    members: int = Field(1, ge=1, le=20)
    num_classes: int = Field(ge=2)
    num_structures: int = Field(ge=2)
    class_encoder: EncoderConfig
    seg_encoder: EncoderConfig
    normalise: bool = True
    mixer_project: int = Field(256, ge=4)
    mixer_widths: tuple[int, int, int, int | None] = (64, 128, 256, None)
    mixer_groups: int = Field(4, ge=1)
    decoder_widths: tuple[int, int, int] = (64, 128, 256)
    bottom_width: int = 512
    mutual_head_width: int = 32
    head: Literal["dilated", "conv"] = "dilated"
    head_widths: tuple[int, ...] = Field((1024, 512, 512, 1024), min_length=1)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    navigator: bool = True
    instructor: bool = True
    mask_source: Literal["alpha", "evidence"] = "alpha"
    evidential_mask: bool = False

    @model_validator(mode="after")
    def _an_ensemble_has_members(self) -> Self:
        if (self.members > 1) != (self.way == "ensemble"):
            raise ValueError(f"Expected an ensemble of two networks or more, else one, got {self.members}.")
        return self


def _paper(num_classes: int, num_structures: int, *, swapped: bool, pretrained: bool) -> UMLConfig:
    res2net = EncoderConfig(name="res2net50d", stem_stride=1, pretrained=pretrained)
    vgg = EncoderConfig(name="vgg16_bn", pretrained=pretrained)
    return UMLConfig(
        num_classes=num_classes,
        num_structures=num_structures,
        class_encoder=vgg if swapped else res2net,
        seg_encoder=res2net if swapped else vgg,
    )


def preset(name: str, num_classes: int, num_structures: int, *, pretrained: bool = False) -> UMLConfig:
    """The configuration of a named preset.

    Parameters
    ----------
    name
        `paper` (39.4 M parameters), `paper-as-printed` (the paper's text swaps the encoders), `compact`
        (8.7 M parameters, for a laptop) or `light` (`compact` with the encoders EfficientNet-Lite0).
    num_classes, num_structures
        K image classes and Q pixel classes, background included.
    pretrained
        Start the encoders from timm's weights, which timm downloads. Their batch normalisation learns in the presets
        for a laptop and stays frozen in the paper's.

    Raises
    ------
    ValueError
        When there is no preset of that name.
    """
    if name in ("paper", "paper-as-printed"):
        return _paper(num_classes, num_structures, swapped=name != "paper", pretrained=pretrained)
    if name in COMPACT_ENCODERS:
        encoder = EncoderConfig(name=COMPACT_ENCODERS[name], pretrained=pretrained, frozen_norm=False)
        return UMLConfig(
            num_classes=num_classes,
            num_structures=num_structures,
            class_encoder=encoder,
            seg_encoder=encoder,
            mixer_project=64,
            mixer_widths=(64, 64, 64, 64),
            decoder_widths=(32, 64, 128),
            bottom_width=256,
            head="conv",
            head_widths=(256,),
            evidential_mask=True,
        )
    raise ValueError(f"Expected a preset among {', '.join(PRESETS)}, got {name!r}.")


COMPACT_ENCODERS = {"compact": "resnet18d", "light": "tf_efficientnet_lite0"}
"""The presets for a laptop, and the backbone of both encoders."""

PRESETS = (*COMPACT_ENCODERS, "paper", "paper-as-printed")


class TrainConfig(Settings):
    """How a network is trained; the command line's options and the fine-tune form are made from these fields."""

    recipe: Literal["modern", "paper"] = Field(
        "modern",
        description="modern: AdamW, one-cycle, augmentation; paper: Adam, polynomial decay, no augmentation",
    )
    epochs: Annotated[int, Field(ge=1, description="passes over the training images")] = 60
    batch_size: Annotated[int, Field(ge=1, description="images a step, over all processes")] = 12
    image_size: Annotated[
        int, Field(ge=32, multiple_of=16, description="side of the network's square input, pixels")
    ] = 256
    start_size: Annotated[
        int | None,
        Field(ge=32, multiple_of=16, description="side in the first epoch, growing to image-size; saves time"),
    ] = None
    learning_rate: Annotated[float, Field(gt=0, le=1, description="highest learning rate")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, description="decoupled weight decay (L2 for the paper recipe)")] = 0.05
    kl_scale: Annotated[float, Field(ge=0, description="final weight of the KL term; 1 in the paper")] = 0.2
    annealing_epochs: Annotated[int, Field(ge=1, description="epochs until the KL term has its full weight")] = 10
    mutual_weight: Annotated[float, Field(ge=0, le=1, description="weight of the mutual loss L_m")] = 0.1
    class_weight: Annotated[
        float, Field(ge=0, le=1, description="weight of the class loss L_c; the mask loss L_s has the rest of 1")
    ] = 0.5
    mask_cross_entropy: bool = Field(True, description="add cross-entropy to the mask loss")
    dice_source: Literal["expected", "softmax"] = Field(
        "expected",
        description="probabilities in the mutual Dice loss: alpha / T, or softmax of the evidence",
    )
    image_dice: Annotated[
        float,
        Field(ge=0, le=1, description="share of the Dice loss that counts every image alike, so small structures too"),
    ] = 0.0
    balanced: Annotated[
        float, Field(ge=0, le=1, description="class balance of the sampling: 0 as in the data, 1 every class as often")
    ] = 0.5
    ema: Annotated[
        float, Field(ge=0, lt=1, description="decay of the averaged weights, less in a short run; 0: none")
    ] = 0.99
    clip: Annotated[float, Field(gt=0, description="largest norm of the gradient")] = 1.0
    patience: Annotated[
        int | None, Field(ge=1, description="stop after so many epochs without a better validation score")
    ] = None
    trainable: Trainable = Field("all", description="which part of the network learns")
    anchor: Annotated[float, Field(ge=0, description="L2 pull towards the start weights, against forgetting")] = 0.0
    class_anchor: Annotated[
        float,
        Field(
            ge=0,
            description="for few images: what known classes are told by stays, and the last layer alone learns them, "
            "with this L2 pull towards the start against the sum of the images' losses",
        ),
    ] = 0.0
    start_share: Annotated[
        float, Field(ge=0, lt=1, description="share of the start weights in the new model, against forgetting")
    ] = 0.0
    choose_share: bool = Field(
        False,
        description="with start-share: at the end take the largest of 0, 1/4, 1/2, 3/4 that is as good on the "
        "validation images",
    )
    seed: Annotated[int, Field(ge=0, description="seed of everything random")] = 0
    device: str = Field("auto", description="auto, cpu, cuda or mps")
    precision: Precision = Field("auto", description="auto: bf16 where the device has it")
    processes: Annotated[int, Field(ge=1, description="processes or GPUs that share each batch")] = 1
    num_workers: Annotated[int, Field(ge=0, description="data-loading processes; 0 works everywhere")] = 0

    @classmethod
    def paper(cls) -> TrainConfig:
        """The recipe as the paper states it."""
        return cls(
            recipe="paper", epochs=100, batch_size=8, learning_rate=1e-4, weight_decay=1e-5, kl_scale=1.0,
            annealing_epochs=50, mask_cross_entropy=False, balanced=0.0, ema=0.0,
        )  # fmt: skip

    @model_validator(mode="after")
    def _weights_leave_something_for_the_mask(self) -> Self:
        if self.mutual_weight + self.class_weight > 1:
            raise ValueError(
                f"Expected mutual_weight and class_weight of 1 together at most, got {self.mutual_weight:g} and "
                f"{self.class_weight:g}."
            )
        return self

    @model_validator(mode="after")
    def _start_size_is_smaller(self) -> Self:
        if self.start_size is not None and self.start_size > self.image_size:
            raise ValueError(f"Expected start_size up to image_size {self.image_size}, got {self.start_size}.")
        return self
