"""How a detector is run does not change what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import softpatch
from softpatch import Detector, PaDiM, PatchCore, RandomBank, RandomEnsemble, SoftPatch
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import fail_unreadable
from tests.detectors.pictures import (
    SMALL,
    assert_predictions_close,
    assert_predictions_equal,
    new_pictures,
    predictions,
    random_patches,
)
from tests.detectors.tables import learn
from tests.threads import thread_count

pytestmark = pytest.mark.usefixtures("one_backbone")

Make = Callable[..., Detector]
every_method = pytest.mark.parametrize(
    "make",
    [
        pytest.param(SoftPatch, id="softpatch"),
        pytest.param(PatchCore, id="patchcore"),
        pytest.param(PaDiM, id="padim"),
        pytest.param(RandomBank, id="random-bank"),
        pytest.param(RandomEnsemble, id="random-ensemble"),
    ],
)
every_variant = pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(SoftPatch, {}, id="softpatch"),
        pytest.param(SoftPatch, {"discriminator": "nearest"}, id="nearest"),
        pytest.param(SoftPatch, {"discriminator": "gaussian", "seed": 3}, id="gaussian"),
        pytest.param(SoftPatch, {"discriminator": "lof", "tau": 0.3}, id="lof"),
        pytest.param(SoftPatch, {"denoise": False, "distance": "euclidean"}, id="no-denoise"),
        pytest.param(
            SoftPatch, {"discriminator": "lof", "soft_weight": False, "k": 3}, id="no-weights"
        ),
        pytest.param(SoftPatch, {"embedding": "rooted"}, id="rooted"),
        pytest.param(PatchCore, {"coreset_ratio": 0.3}, id="patchcore"),
        pytest.param(PatchCore, {"reweight": True}, id="reweighted"),
        pytest.param(PaDiM, {"dimensions": 20, "embedding": "average"}, id="padim"),
        pytest.param(RandomBank, {"bank_size": 30, "reweight": True}, id="random-bank"),
        pytest.param(
            RandomEnsemble,
            {"banks": 3, "bank_size": 50, "distance": "euclidean", "max_false_alarms": 0.2},
            id="random-ensemble",
        ),
    ],
)


@pytest.mark.parametrize("threads", [1, 2])
def test_patches_of_a_picture_do_not_depend_on_how_many_there_are(threads: int) -> None:
    """Not in the last bit: with 2 threads, a picture alone would have others at 112 pixels."""
    many = [ImageSource(str(index), one) for index, one in enumerate(new_pictures(9))]
    detector = SoftPatch(resize=112, crop=112, batch_size=4)
    with thread_count(threads):
        sets = [many, many[:5], iter(many[:1])]
        patches = [
            torch.cat([batch for _, batch in detector.embedder.embed(some, fail_unreadable)])
            for some in sets
        ]
    for some in patches[1:]:
        assert torch.equal(some, patches[0][: len(some)])


@every_method
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batch_size(make: Make, batch_size: int, pictures: Path) -> None:
    reference = make(**SMALL, batch_size=5).fit(pictures)
    detector = make(**SMALL, batch_size=batch_size).fit(pictures)
    assert_predictions_close(
        predictions(detector, new_pictures()), predictions(reference, new_pictures())
    )


@every_method
@pytest.mark.parametrize("budget", [10_000, 1_000_000])
def test_chunk_size(
    make: Make, budget: int, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictions(make(**SMALL).fit(pictures), new_pictures())
    monkeypatch.setattr("softpatch.compute.scratch.CHUNK_BYTES", budget)
    assert_predictions_close(predictions(make(**SMALL).fit(pictures), new_pictures()), expected)


@every_method
def test_thread_count(make: Make, pictures: Path) -> None:
    found = []
    for threads in (1, 2):
        with thread_count(threads):
            found.append(predictions(make(**SMALL).fit(pictures), new_pictures()))
    assert_predictions_close(found[0], found[1])


@every_method
def test_order_of_test_pictures(make: Make, pictures: Path) -> None:
    detector = make(**SMALL).fit(pictures)
    forwards = predictions(detector, new_pictures())
    backwards = predictions(detector, new_pictures()[::-1])
    assert_predictions_close(backwards[::-1], forwards)


@every_method
def test_company_of_a_test_picture(make: Make, pictures: Path) -> None:
    detector = make(**SMALL).fit(pictures)
    together = predictions(detector, new_pictures())
    alone = [detector.predict(picture) for picture in new_pictures()]
    assert_predictions_close(alone, together)


@every_variant
def test_same_seed_gives_the_same_bytes(
    make: Make, options: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / "first.softpatch", tmp_path / "second.softpatch"]
    for path in paths:
        torch.rand(3)  # somebody else draws in between
        make(**SMALL, **options).fit(pictures).save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@every_variant
def test_a_loaded_model_predicts_every_bit_alike(
    make: Make, options: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    fitted = make(**SMALL, **options).fit(pictures)
    fitted.save(tmp_path / "model.softpatch")
    loaded = softpatch.load(tmp_path / "model.softpatch")
    assert type(loaded) is type(fitted)
    assert loaded.image_names_ == fitted.image_names_
    assert loaded.normal_limit_ == fitted.normal_limit_
    assert loaded.features == fitted.features
    for name, value in options.items():
        assert getattr(loaded, name, getattr(loaded.features, name, None)) == value
    assert_predictions_equal(
        predictions(loaded, new_pictures()), predictions(fitted, new_pictures())
    )
    loaded.save(tmp_path / "again.softpatch")
    assert (tmp_path / "again.softpatch").read_bytes() == (
        tmp_path / "model.softpatch"
    ).read_bytes()


@every_method
def test_fitting_again_forgets_the_first_fit(make: Make, pictures: Path) -> None:
    once = make(**SMALL).fit(pictures)
    twice = make(**SMALL).fit([255 - picture for picture in new_pictures()])
    twice.fit(pictures)
    assert twice.image_names_ == once.image_names_
    assert_predictions_equal(predictions(twice, new_pictures()), predictions(once, new_pictures()))


@every_method
def test_the_spot_is_found(make: Make, pictures: Path) -> None:
    """Rows 10..30 of 48 and columns 20..40 of 64, seen at 64 x 64."""
    found = predictions(make(**SMALL).fit(pictures), new_pictures())
    assert max(found, key=lambda prediction: prediction.score) is found[-1]
    row, column = np.unravel_index(found[-1].anomaly_map.argmax(), (64, 64))
    assert 10 / 48 * 64 - 8 <= row <= 30 / 48 * 64 + 8
    assert 20 - 8 <= column <= 40 + 8


@every_method
def test_identical_training_pictures_are_normal(make: Make) -> None:
    picture = new_pictures()[0]
    detector = make(**SMALL).fit([picture] * 4)
    normal, spot = predictions(detector, [picture, new_pictures()[-1]])
    assert normal.score < spot.score
    assert np.isfinite(spot.anomaly_map).all()


@every_method
def test_blank_training_pictures_are_normal(make: Make) -> None:
    blank = np.full((64, 64, 3), 255, dtype=np.uint8)
    detector = make(**SMALL).fit([blank] * 3)
    normal, spot = predictions(detector, [blank, new_pictures()[-1]])
    assert normal.score < spot.score


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@every_method
def test_cuda_equals_cpu(make: Make) -> None:
    scores = []
    for device in ("cpu", "cuda"):
        detector = learn(make(device=device), random_patches().to(device))
        with torch.inference_mode():
            test = random_patches(seed=1).flatten(1, 2).to(device)
            scores.append(detector.learned_.score(test).cpu())
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-4, atol=1e-6)
