"""A plant over time: which cameras are fitted, left alone, and need attention."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from softpatch import SoftPatch, load
from softpatch.errors import UsageError
from softpatch.fleet.fitting import Visit
from softpatch.fleet.fleet import CameraReport, fit_many
from softpatch.storage.versions import kept_versions, write_version
from tests.auditing.pictures import part
from tests.fleet.conftest import NAMES, Plant, files, other_part, photograph

UNCHANGED = dict.fromkeys(NAMES, "unchanged")


def line_of(plant: Plant, name: str, **changes: object) -> CameraReport:
    [line] = plant.fit(only=[name], **changes).lines
    return line


def test_what_has_not_changed_is_left_alone(plant: Plant) -> None:
    before = files(plant.models)
    assert plant.outcomes() == UNCHANGED
    assert plant.outcomes(preset="edge", batch_size=2) == UNCHANGED  # the same, or no part of it
    assert files(plant.models) == before
    assert plant.outcomes(check=True) == UNCHANGED


def test_a_model_is_what_fit_makes(plant: Plant) -> None:
    model = load(plant.models / "line2/top.softpatch")
    assert [name.rsplit("/", 1)[1] for name in model.image_names_] == [
        f"{seed}.png" for seed in range(200, 216)
    ]
    line = line_of(plant, "line2/top")
    assert line.visit.learned is not None
    assert line.visit.learned.threshold == model.threshold_
    assert line.visit.learned.promise is not None
    assert line.visit.learned.promise.max_false_alarms == 0.1


def test_new_pictures_like_the_old_ones_are_taken_in(plant: Plant) -> None:
    before = files(plant.models)
    photograph(plant.folder / "line1/left", range(20, 30))
    fleet = plant.fit()
    [line] = [line for line in fleet.lines if line.visit.camera == "line1/left"]
    assert line.visit.outcome == "fitted"
    assert line.visit.drift is not None
    assert (line.visit.drift.new, line.visit.drift.verdict) == (10, "as before")
    assert line.visit.learned is not None
    assert line.visit.learned.pictures == 26
    assert len(load(plant.models / "line1/left.softpatch").image_names_) == 26
    changed = {name for name, state in files(plant.models).items() if state != before[name]}
    assert changed == {"line1/left.softpatch", "line1/left.fit.json", "line1/left.drift"}
    assert plant.outcomes() == UNCHANGED


def test_a_camera_that_has_drifted_keeps_its_model_until_that_is_accepted(plant: Plant) -> None:
    before = files(plant.models)
    photograph(plant.folder / "line1/right", range(120, 130), other_part)
    photograph(plant.folder / "line2/top", range(220, 230))
    checked = plant.fit(check=True)
    assert files(plant.models) == before
    for fleet, outcome in ((checked, "checked"), (plant.fit(), "kept")):
        first = fleet.lines[0]
        assert (first.visit.camera, first.visit.outcome) == ("line1/right", outcome)
        assert first.attention == "drifted"
        assert "10 of 10 new pictures" in first.advice[0].text
        assert first.advice[0].commands[1].endswith("--only line1/right --force")
        assert [line.attention for line in fleet.lines].count("drifted") == 1
        assert not fleet.failed
    after = files(plant.models)
    assert after["line1/right.softpatch"] == before["line1/right.softpatch"]
    assert after["line2/top.softpatch"] != before["line2/top.softpatch"]
    accepted = line_of(plant, "line1/right", force=True)
    assert accepted.visit.outcome == "fitted"
    assert accepted.attention != "drifted"
    assert plant.outcomes() == UNCHANGED


def dark(seed: int) -> npt.NDArray[np.uint8]:
    return (part(seed) * 0.7).astype(np.uint8)


def test_a_lamp_that_fails_is_seen(plant: Plant) -> None:
    photograph(plant.folder / "line1/left", range(20, 30), dark)
    line = line_of(plant, "line1/left", check=True)
    assert line.visit.drift is not None
    assert line.visit.drift.brightness is not None
    assert line.visit.drift.brightness < -0.1
    assert line.attention in ("drifted", "other light")
    assert any("darker" in advice.text for advice in line.advice)


def test_cameras_that_fail_do_not_stop_the_others(plant: Plant) -> None:
    photograph(plant.folder / "a/one", [1])
    (plant.folder / "a/broken").mkdir()
    for number in range(3):
        (plant.folder / f"a/broken/{number}.png").write_bytes(b"no picture")
    photograph(plant.folder / "z/good", range(300, 310))
    (plant.folder / "z/good/cut.png").write_bytes(b"")
    fleet = plant.fit()
    outcomes = {line.visit.camera: line.visit.outcome for line in fleet.lines}
    assert outcomes == {**UNCHANGED, "a/one": "failed", "a/broken": "failed", "z/good": "fitted"}
    assert fleet.failed
    assert [line.attention for line in fleet.lines[:2]] == ["failed", "failed"]
    errors = {line.visit.camera: line.visit.error for line in fleet.lines}
    assert "1 readable training pictures" in str(errors["a/one"])
    assert "(3 skipped)" in str(errors["a/broken"])
    [good] = [line for line in fleet.lines if line.visit.camera == "z/good"]
    assert [path for path, _ in good.visit.unreadable] == [str(plant.folder / "z/good/cut.png")]
    assert any("cut.png" in advice.text for advice in good.advice)
    assert not (plant.models / "a").exists()
    again = plant.outcomes(strict=True, only=["z/good/"])
    assert again == {"z/good": "failed"}


def test_what_makes_a_camera_be_fitted_again(plant: Plant) -> None:
    name = "line1/left"

    def again(**changes: object) -> bool:
        outcome = line_of(plant, name, **changes).visit.outcome
        assert outcome in ("fitted", "unchanged")
        return outcome == "fitted"

    picture = plant.folder / name / "000.png"
    state = picture.stat()
    os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert again()
    assert again(coreset_ratio=0.05)
    assert not again(coreset_ratio=0.05)
    picture.unlink()
    assert again()
    (plant.models / f"{name}.fit.json").write_bytes(b"{")
    assert again()
    model = plant.models / f"{name}.softpatch"
    model.write_bytes(model.read_bytes()[:100])
    photograph(plant.folder / name, [90])  # new pictures, and no model that could score them
    assert again()
    assert not again()
    assert again(force=True)


def test_a_threshold_set_by_hand_stays(plant: Plant) -> None:
    path = plant.models / "line1/left.softpatch"
    model = load(path)
    model.threshold_ = 1.25
    model.save(path)
    line = line_of(plant, "line1/left")
    assert line.visit.outcome == "unchanged"
    assert line.visit.learned is not None
    assert (line.visit.learned.threshold, line.visit.learned.promise) == (1.25, None)


def test_a_camera_that_is_gone_is_named(plant: Plant) -> None:
    shutil.rmtree(plant.folder / "line2")
    fleet = plant.fit()
    assert fleet.lines[0].visit.outcome == "gone"
    assert fleet.lines[0].attention == "gone"
    assert not fleet.failed
    assert (plant.models / "line2/top.softpatch").exists()


def test_checking_what_was_never_fitted_fails(plant: Plant) -> None:
    photograph(plant.folder / "new", range(3))
    before = files(plant.models)
    outcomes = plant.outcomes(check=True)
    assert outcomes == {**UNCHANGED, "new": "failed"}
    assert files(plant.models) == before


def test_methods_without_ranking_or_threshold(plant: Plant) -> None:
    for outcome in ("fitted", "unchanged"):
        fleet = fit_many(
            plant.folder, plant.models, method="padim", only=["line1/left"], resize=64, crop=64,
            device="cpu", dimensions=10,
        )  # fmt: skip
        [line] = fleet.lines
        assert line.visit.outcome == outcome
        assert line.visit.learned is not None
        assert line.visit.learned.contamination is None


def test_what_an_update_has_made_is_kept_by_the_next_fit(plant: Plant) -> None:
    model = plant.models / "line1" / "left.softpatch"
    updated = load(model, SoftPatch, device="cpu")
    updated.update([part(900), part(901)])
    write_version(updated, model)
    content = model.read_bytes()
    photograph(plant.folder / "line1" / "left", [902])
    assert plant.outcomes(only=["line1/left"], force=True)["line1/left"] == "fitted"
    assert content in [kept.read_bytes() for kept in kept_versions(model).values()]
    model.write_bytes(content[:1000])  # damaged: it is replaced
    assert plant.outcomes(only=["line1/left"], force=True)["line1/left"] == "fitted"
    load(model, device="cpu")


def test_stopped_in_the_middle_it_goes_on(plant: Plant) -> None:
    shutil.rmtree(plant.models)
    seen: list[str] = []

    def stop(visits: Sequence[Visit], total: int) -> None:
        assert total == 3
        seen.extend(visit.camera for visit in visits)
        if seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plant.fit(finished=stop)
    assert seen == ["line1/left"]
    before = files(plant.models)
    assert set(before) == {"line1/left.softpatch", "line1/left.fit.json", "line1/left.drift"}
    assert plant.outcomes() == {**dict.fromkeys(NAMES, "fitted"), "line1/left": "unchanged"}
    assert before.items() <= files(plant.models).items()


def test_wrong_use(plant: Plant) -> None:
    with pytest.raises(UsageError, match="no camera is called 'line9'"):
        plant.fit(only=["line9"])
    with pytest.raises(UsageError, match="jobs"):
        plant.fit(jobs=0)
    with pytest.raises(UsageError, match="no option 'reweight'"):
        plant.fit(reweight=True)
    with pytest.raises(UsageError, match="no method"):
        plant.fit(method="other")


def test_what_a_fit_chooses_by_its_pictures_is_no_reason_to_fit_again(tmp_path: Path) -> None:
    """Neither the size of the network's input nor the range of a camera of 12 bits."""
    camera = tmp_path / "plant" / "strips"
    camera.mkdir(parents=True)
    for seed in range(4):
        values = np.random.default_rng(seed).normal(2000, 300, (64, 256)).clip(0, 4095)
        Image.fromarray(values.astype(np.uint16)).save(camera / f"{seed}.png")
    for outcome in ("fitted", "unchanged"):
        fleet = fit_many(tmp_path / "plant", tmp_path / "models", dimension=32)
        [line] = fleet.lines
        assert (line.visit.outcome, line.visit.error) == (outcome, None)
        assert line.visit.learned is not None
        assert line.visit.learned.intensity == (0, 4095)
