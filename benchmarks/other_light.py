"""False alarms of a limit on pictures that were taken otherwise than those it was learned from.

The good pictures of magnetic tile have their exposure in their names. A model learns from those of
some exposures, but for every fifth, from ``--first`` on; these show what the limit does on pictures
of its own kind, and all of the other exposures what it does where the light is another.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown import table, text
from benchmarks.pictures import DATA
from softpatch import SoftPatch
from softpatch.calling.rates import Rate, chance_of_more
from softpatch.datasets import open_dataset

EXPOSURE = re.compile(r"exp([1-6])_")
EVERY = 5
ASKED = (0.01, 0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--learned", nargs="+", default=["123", "456", "1"])
    parser.add_argument("--first", type=int, choices=range(EVERY), default=0)  # not learned
    parser.add_argument("--resize", type=int, default=224)
    options = parser.parse_args()
    by_exposure = good_pictures(options.data)
    rows = []
    for learned in options.learned:
        rows += measured(by_exposure, learned, options.first, options.resize)
    columns = ("exposures learned", "asked", "said", "the same exposures", "the others", "chance")
    print(table({name: text(name) for name in columns}, rows))


def good_pictures(data: Path) -> dict[str, list[Path]]:
    """By exposure, sorted by name."""
    category = open_dataset(data).read("magnetic_tile")
    found: dict[str, list[Path]] = {}
    for sample in (*category.train, *category.test):
        exposure = EXPOSURE.match(sample.path.name)
        if exposure is not None and not sample.defective:
            found.setdefault(exposure[1], []).append(sample.path)
    return {name: sorted(paths, key=lambda path: path.name) for name, paths in found.items()}


def measured(
    by_exposure: dict[str, list[Path]], learned: str, first: int, resize: int
) -> list[dict[str, Any]]:
    """What limits asked for stop, once these exposures are learned."""
    same = [path for name in learned for path in by_exposure[name]]
    kept = same[first::EVERY]
    train = [path for at, path in enumerate(same) if at % EVERY != first]
    others = [path for name, paths in by_exposure.items() if name not in learned for path in paths]
    model = SoftPatch(resize=resize).fit(train)
    scores = [
        np.array([one.score for one in model.predict(paths, refuse_unusable=False)])
        for paths in (kept, others)
    ]
    rows = []
    for asked in ASKED:
        limit = model.choose_threshold(asked)
        of_kept, of_others = (Rate(int((s > limit.value).sum()), len(s)) for s in scores)
        good = model.learned_.calibration.reference
        assert good is not None
        known = Rate(int((good > limit.value).sum()), len(good))
        rows.append({
            "exposures learned": f"{', '.join(learned)} ({len(train)} pictures)",
            "asked": f"{asked:.0%}",
            "said": f"{limit.expected:.1%}",
            "the same exposures": str(of_kept),
            "the others": str(of_others),
            "chance": f"{chance_of_more(of_others, known):.2g}",
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
