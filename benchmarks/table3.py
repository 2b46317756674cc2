"""Table 3: what mutual learning, the navigator and the instructor add, and what the weights of the losses do.

    python benchmarks/table3.py --small [--data DIR] [--sets busi refuge isic] [--seeds 0 1 2]

"Apart" has no mutual learning at all: the class comes from EC, the mask from TBraTS, each with one of UML's encoders.
The runs of UML, EC and TBraTS are those of Table 1.
"""

from __future__ import annotations

from dataclasses import replace

from study import Scores, Variant, arguments, of_arch, run_all
from study_table import cells, publish

PARTS = [
    Variant("uml-plain", "mutual decoder", network={"navigator": False, "instructor": False}),
    Variant("uml-navigator", "mutual decoder, navigator", network={"instructor": False}),
    Variant("uml-instructor", "mutual decoder, instructor", network={"navigator": False}),
    Variant("uml", "UML: mutual decoder, navigator, instructor"),
]
LOSSES = [
    PARTS[-1],
    Variant("uml-mutual-03", "L_m 0.3, L_c 0.4, L_s 0.3", settings={"mutual_weight": 0.3, "class_weight": 0.4}),
    Variant("uml-class-07", "L_m 0.1, L_c 0.7, L_s 0.2", settings={"class_weight": 0.7}),
    Variant("uml-class-03", "L_m 0.1, L_c 0.3, L_s 0.6", settings={"class_weight": 0.3}),
    Variant("uml-no-kl", "no KL term", settings={"kl_scale": 0.0}),
    Variant("uml-kl-1", "KL term with weight 1, as in the paper", settings={"kl_scale": 1.0}),
]
APART = "apart: EC and TBraTS"


def main() -> None:
    """Train what is missing, score, print, write."""
    study = arguments(__doc__)
    found = run_all(study, [of_arch("ec"), of_arch("tbrats"), *PARTS, *LOSSES[1:]])
    reference = PARTS[-1].title
    for name in study.sets:
        pairs = zip(found[name, "ec", 0.0], found[name, "tbrats", 0.0], strict=True)
        parts = {APART: [joined(*pair) for pair in pairs]}
        parts |= {variant.title: found[name, variant.name, 0.0] for variant in PARTS}
        losses = {variant.title: found[name, variant.name, 0.0] for variant in LOSSES}
        rows = {"parts": parts, "losses (UML: L_m 0.1, L_c 0.5, L_s 0.4, KL 0.2)": losses}
        tables = {heading: cells(scores, reference) for heading, scores in rows.items()}
        publish("table3", study, name, tables, reference, "parts and losses of UML", found)


def joined(classifier: Scores, segmenter: Scores) -> Scores:
    """The class of one system and the mask of another, about the same images."""
    return replace(
        segmenter, probability=classifier.probability, uncertainty=classifier.uncertainty, label=classifier.label
    )


if __name__ == "__main__":
    main()
