"""A mask as a DICOM Segmentation: it refers to the images that it was made from, and viewers show it on them."""

from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Any

from napari_uml.data.decoded import optional
from napari_uml.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

SCHEME = "99NAPARIUML"
"""Coding scheme of the structures' names, a private one: a model's names need not be those of a terminology."""
SERIES_NUMBER = 900


def write_segmentation(
    sources: Sequence[Path], mask: NDArray[np.uint8], names: Sequence[str], colours: Sequence[str], about: str,
    version: str, destination: Path,
) -> None:  # fmt: skip
    """Write a DICOM Segmentation (binary) with a segment a structure.

    Parameters
    ----------
    sources
        The DICOM files, a slice each, in the order of the mask's.
    mask
        (H, W) or (D, H, W), the number of the structure; 0 is background.
    names, colours
        Of the structures, background first; colours as #RRGGBB.
    about, version
        Name and version of the model.
    destination
        Where to write.

    Raises
    ------
    ImageError
        When highdicom is not installed, there are not as many files as slices, these miss what a Segmentation must say
        of them, or a name or colour is none that DICOM has.
    """
    highdicom, pydicom = optional("highdicom", destination), optional("pydicom", destination)
    slices = mask if mask.ndim == 3 else mask[None]
    if len(sources) != len(slices):
        raise ImageError(f"Expected a DICOM file for each of {len(slices)} slices, got {len(sources)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names and numbers in the source that DICOM would have otherwise
            written = highdicom.seg.Segmentation(
                source_images=[pydicom.dcmread(source) for source in sources],
                pixel_array=slices,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_segments(names, colours, version, highdicom, pydicom.sr.codedict.codes),
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="napari-uml",
                manufacturer_model_name=about,
                software_versions=version,
                device_serial_number="0",
                content_label="NAPARI_UML",
                content_description="Research use only, not a medical device",
                series_description=f"napari-uml {about}"[:64],
                omit_empty_frames=bool(slices.any()),
            )
            written.save_as(destination)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what highdicom raises, by what is missing
        raise ImageError(f"{sources[0].name} and the model make no DICOM Segmentation ({error}).") from error


def _segments(names: Sequence[str], colours: Sequence[str], version: str, highdicom: Any, codes: Any) -> list[Any]:
    """A segment for every structure but the background; the same name has the same code in every model."""
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="napari-uml", version=version, family=codes.cid7162.ArtificialIntelligence
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=names[number],
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,  # the others would say what it is
            segmented_property_type=highdicom.sr.CodedConcept(
                f"S{zlib.crc32(names[number].encode()):08X}", SCHEME, names[number]
            ),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*_rgb(colours[number])),
        )
        for number in range(1, len(names))
    ]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
