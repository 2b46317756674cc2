"""Table 1: UML and its rivals under one budget, on breast ultrasound, optic discs and skin lesions.

    python benchmarks/table1.py --small [--data DIR] [--sets busi refuge isic] [--seeds 0 1 2]

Every system has the same encoders, widths, data, augmentation and epochs. The three ways of looking several times are
on top of BCS, which has the same encoders and no evidence: they are what evidence competes with. An interrupted table
goes on with the same command.
"""

from __future__ import annotations

from study import Variant, arguments, of_arch, run_all
from study_table import cells, publish

SYSTEMS = [
    of_arch("uml"),
    of_arch("ec"),
    of_arch("tbrats"),
    of_arch("transunet"),
    of_arch("bcs"),
    of_arch("dsi-net"),
    Variant("bcs-dropout", "BCS, Monte-Carlo dropout", "bcs", way="dropout", base="bcs"),
    Variant("bcs-augmentation", "BCS, test-time augmentation", "bcs", way="augmentation", base="bcs"),
    Variant("bcs-ensemble", "BCS, ensemble of the seeds (one run)", "bcs", way="ensemble", base="bcs"),
]


def main() -> None:
    """Train, score, print, write."""
    study = arguments(__doc__)
    found = run_all(study, SYSTEMS)
    for name in study.sets:
        rows = {system.title: found[name, system.name, 0.0] for system in SYSTEMS}
        publish("table1", study, name, {"": cells(rows, "UML")}, "UML", "UML and its rivals under one budget", found)


if __name__ == "__main__":
    main()
