"""The UML network (paper Fig. 2).

image (B, 1 or 3, H, W) in [0, 1]
encoders    f^c_1..4, f^s_1..4       finest first
mixers      f^m_1..4
Psi         mutual evidence e^s      (B, Q, H, W)  ->  M, U
navigator   s_1..s_4, r^s            mask logits, s_1 the final mask's
instructor  class evidence e^c       (B, K)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from napari_uml.nn.base import LastLayers, Network, initialise
from napari_uml.nn.decoders import MutualDecoder, Navigator
from napari_uml.nn.encoders import Encoder
from napari_uml.nn.evidence import dirichlet, evidence_from_logits, uncertainty
from napari_uml.nn.instructor import Instructor
from napari_uml.nn.mixer import Mixer
from napari_uml.nn.output import Intermediates, UMLOutput, summed_up

if TYPE_CHECKING:
    from torch import Tensor

    from napari_uml.config import UMLConfig


class UMLNetwork(Network):
    """Uncertainty-informed mutual learning of a class and a mask.

    Parameters
    ----------
    config
        Every number of it; see `napari_uml.config.preset`.
    download
        False builds pretrained encoders without their weights, to be filled from a weights file.

    Raises
    ------
    ValueError
        When an encoder does not exist or does not fit, or the two have different strides.
    WeightsError
        When pretrained weights cannot be had.
    """

    last_layers: ClassVar[LastLayers] = LastLayers(
        modules=("instructor.classify", "mutual.head", "navigator.heads"),
        classes=("instructor.classify.weight",),
        structures=("mutual.head.1.weight", *(f"navigator.heads.{i}.weight" for i in range(4))),
        structure_inputs=("navigator.guide_bottom.embed.0.weight", "navigator.guide_top.embed.0.weight"),
        class_head="instructor",
    )

    def __init__(self, config: UMLConfig, download: bool = True) -> None:
        super().__init__(config)
        self.class_encoder = Encoder(config.class_encoder, download)
        self.mask_encoder = Encoder(config.seg_encoder, download)
        if self.class_encoder.strides != self.mask_encoder.strides:
            raise ValueError(
                f"Expected encoders with the same strides, got {self.class_encoder.strides} of "
                f"{config.class_encoder.name} and {self.mask_encoder.strides} of {config.seg_encoder.name}."
            )
        levels = zip(self.class_encoder.channels, self.mask_encoder.channels, config.mixer_widths, strict=True)
        mixers = [Mixer(c, s, config.mixer_project, w, config.mixer_groups) for c, s, w in levels]
        self.mixers = nn.ModuleList(mixers)
        mixed = [mixer.width for mixer in mixers]
        q, dropout = config.num_structures, config.dropout
        self.mutual = MutualDecoder(mixed, config.decoder_widths, config.mutual_head_width, q, dropout)
        self.navigator = Navigator(
            self.mask_encoder.channels, mixed[3], config.decoder_widths, config.bottom_width, q, dropout,
            config.navigator,
        )  # fmt: skip
        self.instructor = Instructor(
            self.class_encoder.channels[3] + mixed[3], config.head, config.head_widths, self.navigator.channels,
            config.num_classes, dropout, config.instructor,
        )  # fmt: skip
        initialise((self.mixers, self.mutual, self.navigator, self.instructor))

    def forward(self, image: Tensor, intermediates: bool = False) -> UMLOutput:
        """Classes and structures of a batch; see `Network.forward`."""
        x, size = self.prepare(image), image.shape[2:]
        class_features, mask_features = self.class_encoder(x), self.mask_encoder(x)
        mixed = [mix(c, s) for mix, c, s in zip(self.mixers, class_features, mask_features, strict=True)]
        mutual_logits = self.mutual(mixed)
        evidence = evidence_from_logits(mutual_logits)
        mutual_mask = dirichlet(evidence) if self.config.mask_source == "alpha" else evidence
        navigation = self.navigator(mask_features, mixed[3], mutual_mask, uncertainty(evidence))
        instruction = self.instructor(class_features[3], mixed[3], navigation.features)
        shown = navigation.logits if self.training else navigation.logits[:1]  # the others only teach

        return UMLOutput(
            class_evidence=evidence_from_logits(instruction.logits),
            mutual_evidence=evidence_from_logits(self.to_input(mutual_logits, size)),
            mask_logits=tuple(self.to_input(s, size) for s in shown),
            evidential_mask=self.config.evidential_mask,
            intermediates=Intermediates(
                tuple(class_features), tuple(mixed), navigation.reliable_top, navigation.reliable_bottom,
                navigation.features, instruction.guidance, instruction.features, instruction.instructed,
            ) if intermediates else None,
            features=summed_up(class_features[3]),
        )  # fmt: skip
