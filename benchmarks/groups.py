"""Whether suspects that show one kind of defect are together in the audit.

Each set is 50 good training pictures of a category and some defective test pictures: ``one`` has
nine of one kind and one of each other, ``many`` the same number of each kind. What two pictures of
one group are is counted pair by pair. The last column is the cut that the other categories choose.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.machine import command, hardware
from benchmarks.markdown import number, table, text
from benchmarks.pictures import DATA
from benchmarks.processes import RESULTS, say, write_json
from softpatch import SoftPatch
from softpatch.auditing.audit import WHOLE
from softpatch.auditing.groups import ALIKE, groups_of
from softpatch.detectors.oddest import OddestSpots

KINDS = {
    "mvtec_bottle": ("broken_large", "broken_small", "contamination"),
    "magnetic_tile": ("blowhole", "break", "crack", "fray", "uneven"),
    "kolektor_sdd": ("defect",),
    "mvtec_screw_512": (
        "manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top",
    ),
}  # fmt: skip
GOOD = 50
MIXES = ("one", "many")
CUTS = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
PAIRS = ("same kind", "other kinds", "defect and good", "both good")
ROWS = {
    "category": text("category"),
    "mix": text("mix"),
    **{pair: text(pair) for pair in PAIRS},
    "of one kind, in the largest group": text("together"),
    "cut by the other categories": number("cut"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "groups.json")
    arguments = parser.parse_args()
    sets = {}
    for category in arguments.categories:
        for mix in MIXES:
            say(f"== {category}, {mix}")
            sets[category, mix] = spots_of(arguments.data / category, mix, arguments.seed)
            say(str(found(*sets[category, mix])))
    rows = []
    for (category, mix), (spots, kinds) in sets.items():
        others = [one for (name, _), one in sets.items() if name != category]
        rows.append(
            {"category": category, "mix": mix, "cut": best_cut(others), **found(spots, kinds)}
        )
    result = {"command": command("benchmarks.groups"), "hardware": hardware(), "sets": rows}
    write_json(arguments.output, result)
    say(table(ROWS, rows))


def spots_of(folder: Path, mix: str, seed: int) -> tuple[OddestSpots, list[str]]:
    """What the suspects of a set show, and the kind of each of its pictures."""
    kinds = KINDS[folder.name]
    draw = random.Random(f"{folder.name}{seed}{mix}")
    recurring = kinds[seed % len(kinds)]
    each = max(3, 12 // len(kinds))
    counts = {kind: each if mix == "many" else 9 if kind == recurring else 1 for kind in kinds}
    drawn = [(path, "good") for path in some(draw, folder / "train" / "good", GOOD)]
    for kind, count in counts.items():
        drawn += [(path, kind) for path in some(draw, folder / "test" / kind, count)]
    draw.shuffle(drawn)
    scores = SoftPatch(coreset_ratio=WHOLE).outlier_scores([path for path, _ in drawn])
    return scores.oddest, [kind for _, kind in drawn]


def some(draw: random.Random, folder: Path, count: int) -> list[Path]:
    pictures = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    return draw.sample(pictures, count)


def pairs(spots: OddestSpots, kinds: list[str], cut: float) -> Counter[str]:
    """How many pairs of one group are of which kinds."""
    groups = groups_of(spots, len(kinds), cut)
    counted = Counter[str]()
    for one, other in combinations(range(len(kinds)), 2):
        if groups[one] is None or groups[one] != groups[other]:
            continue
        two = {kinds[one], kinds[other]}
        if len(two) == 1:
            counted["both good" if two == {"good"} else "same kind"] += 1
        else:
            counted["defect and good" if "good" in two else "other kinds"] += 1
    return counted


def best_cut(sets: list[tuple[OddestSpots, list[str]]]) -> float | None:
    """With which pairs of the same kind outnumber the others by most."""
    if not sets:
        return None
    gains = {}
    for cut in CUTS:
        counted = sum((pairs(*one, cut) for one in sets), Counter[str]())
        gains[cut] = 2 * counted["same kind"] - counted.total()
    return max(CUTS, key=lambda cut: gains[cut])


def found(spots: OddestSpots, kinds: list[str]) -> dict[str, Any]:
    """With the cut that there is: pairs, and how many of the most frequent kind are together."""
    groups, suspects = groups_of(spots, len(kinds)), set(spots.images.tolist())
    kind = Counter(kind for kind in kinds if kind != "good").most_common(1)[0][0]
    mine = [at for at, one in enumerate(kinds) if one == kind]
    together = Counter(groups[at] for at in mine if groups[at] is not None)
    largest = max(together.values(), default=0)
    return {
        **{pair: pairs(spots, kinds, ALIKE)[pair] for pair in PAIRS},
        "together": f"{largest} of {len(suspects & set(mine))} suspects, {len(mine)} {kind}",
    }


if __name__ == "__main__":
    main()
