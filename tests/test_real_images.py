"""The package's promise on real bottles: bad pictures among the training ones do less harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from softpatch import PatchCore, SoftPatch
from softpatch.datasets import Category, Contamination, contaminate, read_category
from softpatch.evaluation.protocol import evaluate
from softpatch.evaluation.row import Evaluation

TRAIN, INJECTED = 60, 6
RATIO = 0.02  # of the patches: enough for 60 bottles, and a fifth of the default's time


@pytest.fixture(scope="module")
def contamination(bottle: Path) -> Contamination:
    """60 good bottles and 6 broken ones to train on; the 6 are also tested."""
    whole = read_category(bottle)
    fewer = Category(whole.name, whole.folder, whole.train[:TRAIN], whole.test)
    return contaminate(fewer, INJECTED / TRAIN, overlap=True, seed=0)


@pytest.fixture(scope="module")
def softpatch(contamination: Contamination) -> tuple[Evaluation, SoftPatch]:
    detector = SoftPatch(coreset_ratio=RATIO)
    return evaluate("softpatch", detector, contamination)[0], detector


@pytest.fixture(scope="module")
def patchcore(contamination: Contamination) -> Evaluation:
    return evaluate("patchcore", PatchCore(coreset_ratio=RATIO), contamination)[0]


def test_softpatch_finds_defects_that_patchcore_has_learnt_as_normal(
    softpatch: tuple[Evaluation, SoftPatch], patchcore: Evaluation
) -> None:
    row, _ = softpatch
    assert (row.n_train, row.n_injected, row.n_test) == (66, 6, 83)
    for name, margin in (("image_auroc", 0.04), ("pixel_auroc", 0.03), ("aupro", 0.04)):
        ours, theirs = getattr(row, name), getattr(patchcore, name)
        assert ours > theirs + margin, f"{name}: {ours:.3f} against {theirs:.3f}"
    assert row.image_auroc is not None
    assert row.image_auroc > 0.98
    assert row.pixel_auroc is not None
    assert row.pixel_auroc > 0.96


def test_injected_pictures_are_the_first_suspects(
    softpatch: tuple[Evaluation, SoftPatch], contamination: Contamination
) -> None:
    _, detector = softpatch
    suspects = [name for name, _ in detector.suspects()]
    ranks = sorted(suspects.index(str(sample.path)) for sample in contamination.injected)
    assert len(suspects) == TRAIN + INJECTED
    assert sum(rank < INJECTED for rank in ranks) >= INJECTED - 1
    assert ranks[-1] < 2 * INJECTED  # one small flaw may lie a little further down
