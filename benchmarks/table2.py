"""Table 2: the systems with both answers under Gaussian noise; sigma on the [0, 1] scale, added to the input.

    python benchmarks/table2.py --small [--data DIR] [--sets busi refuge isic] [--seeds 0 1 2]

The runs are those of Table 1: what is trained there is not trained again. Every seed has noise of its own, the same
for every system.
"""

from __future__ import annotations

from study import arguments, of_arch, run_all
from study_table import cells, publish

SYSTEMS = [of_arch(arch) for arch in ("uml", "bcs", "dsi-net")]
SIGMAS = (0.0, 0.03, 0.05, 0.1, 0.2)


def main() -> None:
    """Train what is missing, score at every sigma, print, write."""
    study = arguments(__doc__)
    found = run_all(study, SYSTEMS, SIGMAS)
    for name in study.sets:
        tables = {
            f"sigma {sigma:g}": cells({s.title: found[name, s.name, sigma] for s in SYSTEMS}, "UML") for sigma in SIGMAS
        }
        publish("table2", study, name, tables, "UML", "noise on the input", found)


if __name__ == "__main__":
    main()
