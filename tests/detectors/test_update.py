"""An update keeps what a fit promises, without the pictures that were learned before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from softpatch import PatchCore, RandomBank, SoftPatch, load
from softpatch.compute.progress import silent
from softpatch.detectors import BankDetector
from softpatch.errors import DatasetError, NotFittedError, UsageError
from softpatch.images.sources import OddImageWarning, fail_unreadable
from softpatch.noise.discriminators import DISCRIMINATORS
from tests.detectors.pictures import SMALL, new_pictures, predictions

pytestmark = pytest.mark.usefixtures("one_backbone")

Picture = npt.NDArray[np.uint8]
OPTIONS: dict[str, Any] = {**SMALL, "dimension": 64, "max_false_alarms": 0.2}
every_method = pytest.mark.parametrize("kind", [SoftPatch, PatchCore, RandomBank])


def fitted(pictures: Path, kind: type[BankDetector] = SoftPatch, **options: Any) -> Any:
    return kind(**{**OPTIONS, **options}).fit(pictures)


def spoiled(count: int = 6) -> list[Picture]:
    """New pictures, the last with a spot: a bad one among them."""
    return new_pictures(count)


@every_method
def test_what_was_not_learned_becomes_normal(kind: Any, pictures: Path) -> None:
    """A new kind of good picture, of which there are many."""
    brighter = [picture // 2 + 127 for picture in new_pictures(36)[:-1]]
    detector = fitted(pictures, kind)
    before = detector.predict(brighter[0]).score
    detector.update(brighter[1:])
    assert detector.predict(brighter[0]).score < before / 2


def test_a_bad_picture_does_not(pictures: Path) -> None:
    bad = spoiled()[-1]
    softpatch = fitted(pictures, discriminator="position-free")
    patchcore = fitted(pictures, PatchCore)
    for detector in (softpatch, patchcore):
        detector.update(spoiled())
    score = softpatch.predict(bad).score
    assert score > 10 * patchcore.predict(bad).score
    assert score > softpatch.threshold_


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_suspects_of_the_new_pictures_are_reported(discriminator: str, pictures: Path) -> None:
    detector = fitted(pictures, discriminator=discriminator)
    detector.update(spoiled())
    assert detector.image_names_[8:] == [f"image {index}" for index in range(6)]
    assert len(detector.suspicion_) == 14
    assert detector.suspects(first=8)[0][0] == "image 5"
    assert len(detector.suspects(first=8)) == 6
    assert detector.suspects()[0][0] == "image 5"


def test_floors_are_of_the_old_and_the_new_pictures(pictures: Path) -> None:
    """What a fit on all of them would find is the least they can be, and nearly what they are."""
    first, rest = [*sorted(pictures.iterdir()), *new_pictures(24)[:-1]], spoiled()
    grown = SoftPatch(**OPTIONS).fit(first)
    assert grown.floors_ is not None
    assert grown.floors_.rank
    before = grown.learned_.floors
    grown.update(rest[:2]).update(rest[2:])
    after = grown.learned_.floors
    assert before is not None
    assert after is not None
    assert after.rule == before.rule
    total = len(first) + 6
    table = grown.embedder.collect([*first, *rest], fail_unreadable, grown._run(silent))
    patches, picks = table.patches, grown.bank_.vectors
    assert int(after.support.own.max()) < total
    nearest = [torch.cdist(picks, patches[image]).amin(dim=1) for image in range(total)]
    distance = torch.stack(nearest)
    distance[after.support.own, torch.arange(len(picks))] = torch.inf
    least = distance.sort(dim=0).values[after.rule.rank - 1]
    found = after.support.rank(after.rule.rank)
    assert (found >= least - 1e-3).all()
    if not after.rule.near:
        assert float((found / least).median()) < 1.3


def test_a_bad_picture_among_the_new_ones_stands_out_with_floors(pictures: Path) -> None:
    first = [*sorted(pictures.iterdir()), *new_pictures(24)[:-1]]
    softpatch, patchcore = SoftPatch(**OPTIONS).fit(first), PatchCore(**OPTIONS).fit(first)
    for detector in (softpatch, patchcore):
        detector.update(spoiled())
    bad = spoiled()[-1]
    assert softpatch.predict(bad).score > 5 * patchcore.predict(bad).score
    assert softpatch.predict(bad).score > softpatch.threshold_
    assert softpatch.suspects()[0][0] == softpatch.image_names_[-1]


def test_all_pictures_are_judged_as_a_fit_on_all_of_them_would(pictures: Path) -> None:
    """Their patches are short enough to be kept."""
    added = spoiled()
    everything = [*sorted(pictures.iterdir()), *added]
    options = {**OPTIONS, "discriminator": "lof-distance"}
    grown, refitted = SoftPatch(**options).fit(pictures), SoftPatch(**options).fit(everything)
    grown.update(added[:2]).update(added[2:])
    torch.testing.assert_close(grown.suspicion_, refitted.suspicion_, rtol=0.01, atol=0)


@pytest.mark.parametrize("tau", [0.5, 0.4])
def test_vectors_of_the_bank_are_judged_anew(tau: float, pictures: Path) -> None:
    """And leave it if they are twice as far from the median, in log W, as those that may enter."""
    detector = fitted(pictures, discriminator="lof", tau=tau)
    before, old = detector.bank_.weights, detector.reservoir_.bank_patch_index
    detector.update(spoiled())
    patches = detector.reservoir_.patches
    policy = detector.policy_
    outlier = policy.discriminator(patches.float().transpose(0, 1)).T.flatten()
    again = (before * outlier[old]).sqrt()
    median = outlier.median()
    enters = policy.cutoff(outlier)
    stays = (again / median).log() <= 2 * (enters / median).log()
    assert 0 < int(stays.sum()) < len(old)
    assert set(detector.reservoir_.bank_patch_index.tolist()) & set(old.tolist()) == set(
        old[stays].tolist()
    )
    now = torch.isin(detector.reservoir_.bank_patch_index, old)
    torch.testing.assert_close(detector.bank_.weights[now], again[stays])
    torch.testing.assert_close(
        detector.bank_.weights[~now], outlier[detector.reservoir_.bank_patch_index[~now]]
    )


def test_a_bad_picture_stays_a_suspect_and_its_score_out_of_the_threshold(pictures: Path) -> None:
    detector = fitted(pictures).update(spoiled())
    bad = detector.image_names_.index("image 5")
    assert bad not in detector.held_out_of_[:, 0]
    assert detector.held_out_.max() < detector.predict(spoiled()[-1]).score


def test_scores_of_when_the_model_knew_little_are_dropped(pictures: Path) -> None:
    detector = fitted(pictures)
    seen = [set(detector.held_out_of_[:, 1].tolist())]
    for _ in range(4):
        detector.update(new_pictures(6)[:-1])
        seen.append(set(detector.held_out_of_[:, 1].tolist()))
    assert seen == [{8}, {8, 13}, {13, 18}, {13, 18, 23}, {18, 23, 28}]


@pytest.mark.parametrize("kind", [SoftPatch, PatchCore])
def test_old_vectors_stay_as_long_as_there_is_room(kind: Any, pictures: Path) -> None:
    """All that are no outliers; and no more of the new ones than their share."""
    detector = (
        fitted(pictures, kind, denoise=False) if kind is SoftPatch else fitted(pictures, kind)
    )
    first = {row.tobytes() for row in detector.bank_.vectors.numpy()}
    detector.update(new_pictures(2))
    now = {row.tobytes() for row in detector.bank_.vectors.numpy()}
    assert first <= now
    detector.bank_size = len(first)
    detector.update(new_pictures(2))
    left = sum(row.tobytes() in now for row in detector.bank_.vectors.numpy())
    assert len(detector.bank_) == len(first)
    assert left == len(first) - round(len(first) * 2 / 12 - 0.5)


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_one_good_picture_is_enough_and_unsuspected(discriminator: str, pictures: Path) -> None:
    detector = fitted(pictures, discriminator=discriminator)
    detector.update(new_pictures()[:1])
    assert detector.suspicion_[-1] < 1.5 * detector.suspicion_[:8].max()


@every_method
def test_the_bank_stays_within_its_size(kind: Any, pictures: Path) -> None:
    detector = fitted(pictures, kind, bank_size=60)
    sizes = [len(detector.bank_)]
    for _ in range(3):
        detector.update(spoiled())
        sizes.append(len(detector.bank_))
    patches = detector.extractor.positions
    assert sizes[0] == int(0.1 * 8 * patches)
    assert sizes[1:] == [60, 60, 60]


@every_method
def test_the_bank_grows_as_a_fit_on_all_of_them_would(kind: Any, pictures: Path) -> None:
    detector = fitted(pictures, kind)
    positions = detector.extractor.positions
    detector.update(spoiled())
    assert len(detector.bank_) == int(0.1 * 8 * positions) + int(0.1 * 6 * positions)


def test_no_outlier_patch_of_the_new_pictures_is_in_the_bank(pictures: Path) -> None:
    """The dark spot's patches are far from all others: the coreset would take them first."""
    detector = fitted(pictures, discriminator="position-free")
    patches = detector.extractor(detector.preprocessing(spoiled_tensor())).flatten(0, 2)
    spot = patches[detector.learned_.score(patches.unsqueeze(0))[0].argmax()]
    detector.update(spoiled())
    assert float(torch.linalg.vector_norm(detector.bank_.vectors - spot, dim=1).min()) > 1


def spoiled_tensor() -> torch.Tensor:
    return torch.from_numpy(spoiled()[-1]).permute(2, 0, 1)


def test_what_is_forgotten_and_not_seen_again_is_gone(pictures: Path) -> None:
    brighter = [picture // 2 + 100 for picture in new_pictures(12)[:-1]]
    kept, forgotten = fitted(pictures), fitted(pictures)
    first = {row.tobytes() for row in kept.bank_.vectors.numpy()}
    for _ in range(2):
        kept.update(brighter)
        forgotten.update(brighter, forget=0.8)
    left = sum(row.tobytes() in first for row in forgotten.bank_.vectors.numpy())
    assert 0 < left <= 0.2**2 * len(first) + 2
    old = new_pictures()[0]
    assert forgotten.predict(old).score > kept.predict(old).score
    with pytest.raises(UsageError, match="forget must lie in"):
        kept.update(brighter, forget=1.0)


def test_the_threshold_is_chosen_anew_unless_it_was_set(pictures: Path) -> None:
    detector = fitted(pictures)
    detector.update(spoiled())
    assert len(detector.held_out_) == len(detector.held_out_of_) >= 8
    assert detector.threshold_ == detector.choose_threshold(0.2).value
    detector.threshold_ = 7.0
    detector.update(spoiled())
    assert detector.threshold_ == 7.0


@every_method
def test_the_same_updates_give_the_same_bytes(kind: Any, pictures: Path, tmp_path: Path) -> None:
    """Whether the model was in memory or came from a file in between."""
    one, other = fitted(pictures, kind), fitted(pictures, kind)
    parent = one.digest()
    one.update(spoiled())
    one.update(spoiled()[:2], forget=0.3)
    other.save(tmp_path / "m.softpatch")
    loaded = load(tmp_path / "m.softpatch")
    assert isinstance(loaded, BankDetector)
    loaded.update(spoiled()).save(tmp_path / "m.softpatch")
    again = load(tmp_path / "m.softpatch")
    assert isinstance(again, BankDetector)
    assert again.lineage_.parents == (parent,)
    assert again.lineage_.added == 6
    again.update(spoiled()[:2], forget=0.3)
    assert again.digest() == one.digest()
    assert again.lineage_.version == 3
    assert [p.score for p in predictions(again, spoiled())] == [
        p.score for p in predictions(one, spoiled())
    ]


def test_an_update_that_fails_changes_nothing(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = fitted(pictures)
    before = detector.digest()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softpatch.detectors.update.recalibrate", stopped)
    with pytest.raises(KeyboardInterrupt):
        detector.update(spoiled())
    with pytest.raises(DatasetError, match="0 readable training pictures"):
        detector.update([np.zeros((0, 3), np.uint8)], on_unreadable=lambda _: None)
    assert detector.digest() == before


def test_what_cannot_be_updated(pictures: Path) -> None:
    with pytest.raises(NotFittedError):
        SoftPatch(**OPTIONS).update(pictures)
    tiled = SoftPatch(**{**OPTIONS, "tile": 40, "discriminator": "lof"}).fit(pictures)
    with (
        pytest.warns(OddImageWarning, match="another shape"),
        pytest.raises(DatasetError, match="pictures of the same size"),
    ):
        tiled.update([picture[:40, :40] for picture in spoiled()])


def test_tiled_pictures(pictures: Path) -> None:
    detector = fitted(pictures, tile=40).update(spoiled())
    assert detector.suspects(first=8)[0][0] == "image 5"
