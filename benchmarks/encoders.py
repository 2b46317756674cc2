"""Which encoder reads the class and which the mask: the preset `paper` beside `paper-as-printed`.

    python benchmarks/encoders.py --small [--data DIR] [--sets busi refuge isic] [--seeds 0 1 2]

The paper's text gives VGG-16 to the class and Res2Net-50 to the mask; its supplement shows channels that only the other
way round has, which is the preset `paper`. An interrupted table goes on with the same command.
"""

from __future__ import annotations

from study import Variant, arguments, run_all
from study_table import cells, publish

ORDERS = [
    Variant("uml-paper", "paper: Res2Net-50 for the class, VGG-16 for the mask", preset="paper"),
    Variant("uml-printed", "paper-as-printed: VGG-16, Res2Net-50", preset="paper-as-printed"),
]


def main() -> None:
    """Train, score, print, write."""
    study = arguments(__doc__, own_preset="paper")
    found = run_all(study, ORDERS)
    reference = ORDERS[0].title
    for name in study.sets:
        rows = {order.title: found[name, order.name, 0.0] for order in ORDERS}
        publish("encoders", study, name, {"": cells(rows, reference)}, reference, "the two orders of encoders", found)


if __name__ == "__main__":
    main()
