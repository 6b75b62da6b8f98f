"""``softpatch update``, ``merge`` and ``rollback``, and checkpoints of ``fit``, as commands."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch import ModelFileError, SoftPatch, load
from softpatch.storage import model_file
from softpatch.storage.versions import kept_versions, versions_folder
from tests.cli.test_cli import SMALL, Run, run
from tests.detectors.pictures import new_pictures
from tests.killed import killed_at_every_file_event

__all__ = ["run"]  # the fixture


@pytest.fixture
def part(small_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_model, tmp_path / "part.softpatch"))


@pytest.fixture
def today(tmp_path: Path) -> Path:
    folder = tmp_path / "today"
    folder.mkdir()
    for index, picture in enumerate(new_pictures(6)):
        Image.fromarray(picture).save(folder / f"{index}.png")
    (folder / "broken.png").write_text("no picture")
    return folder


def test_update_and_rollback(run: Run, part: Path, today: Path, tmp_path: Path) -> None:
    old = part.read_bytes()
    suspects = tmp_path / "suspects.csv"
    result = run("update", part, today, "--forget", "0.1", "--suspects", suspects)
    assert result.code == 0, result.err
    assert "added 6 pictures to 8" in result.out
    assert "version 2" in result.out
    assert "broken.png" in result.err
    ranked = [Path(row["path"]).name for row in csv.DictReader(suspects.read_text().splitlines())]
    assert ranked[0] == "5.png"
    assert len(ranked) == 6
    about = run("info", part)
    assert "pictures added" in about.out
    assert "made from" in about.out
    assert "versions kept" in about.out
    new = part.read_bytes()
    result = run("rollback", part)
    assert result.code == 0, result.err
    assert "is version 1; kept are versions 1, 2" in result.out
    assert part.read_bytes() == old
    assert run("rollback", part, "--to", "2").code == 0
    assert part.read_bytes() == new
    assert "names of pictures learned before" in run("update", part, today).err


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_a_kill_leaves_no_update_without_the_suspects_that_were_asked_for(
    run: Run, part: Path, today: Path, tmp_path: Path
) -> None:
    """No other run ranks what the model has learned."""
    old, suspects, deaths = part.read_bytes(), tmp_path / "suspects.csv", 0
    assert run("info", part).code == 0  # builds what forks share

    def update() -> None:
        assert run("update", part, today, "--suspects", suspects).code == 0

    for _ in killed_at_every_file_event(update, events=("os.rename",)):
        deaths += 1
        assert part.read_bytes() == old or suspects.exists()
        shutil.rmtree(versions_folder(part), ignore_errors=True)
        suspects.unlink(missing_ok=True)
    assert deaths == 3
    assert part.read_bytes() != old


def test_a_second_run_on_the_same_pictures_does_no_harm(
    run: Run, part: Path, today: Path, small_pictures: Path
) -> None:
    assert run("update", part, today).code == 0
    learned = part.read_bytes()
    again = run("update", part, today)
    assert again.code == 0
    assert "left out 6 picture(s)" in again.err
    assert "nothing new" in again.out
    assert "stays version 2" in again.out
    assert part.read_bytes() == learned
    (today / "0.png").rename(today / "renamed.png")
    shutil.copy(small_pictures / "1.png", today / "of the fit.png")
    picture = np.array(Image.open(today / "2.png"))
    Image.fromarray(picture[::-1]).save(today / "2.png")  # another one by the same name
    result = run("update", part, today)
    assert "left out 6 picture(s)" in result.err
    assert "added 1 pictures to 14" in result.out


def test_a_second_run_may_find_nothing_but_pictures_without_the_region(
    run: Run, small_pictures: Path, today: Path, tmp_path: Path
) -> None:
    part, region = tmp_path / "tiled.softpatch", np.zeros((48, 64), bool)
    region[20:23, 20:23] = True  # most of a patch; of a picture that is not cut, less
    SoftPatch(resize=64, tile=32, roi=region).fit(small_pictures).save(part)
    Image.open(today / "0.png").resize((20, 12)).save(today / "thumbnail.png")
    first, again = run("update", part, today), run("update", part, today)
    assert (first.code, again.code) == (0, 0)
    assert "thumbnail.png: the region of interest covers no patch" in again.err
    assert "nothing new" in again.out
    assert run("update", part, today, "--strict").code != 0


def test_pictures_learned_by_either_model_are_known_after_a_merge(
    run: Run, part: Path, today: Path, small_pictures: Path, tmp_path: Path
) -> None:
    one, both = Path(shutil.copy(part, tmp_path / "one.softpatch")), tmp_path / "both.softpatch"
    assert run("update", one, today).code == 0
    assert run("merge", part, one, "-o", both).code == 0
    for folder in (today, small_pictures):
        assert "nothing new" in run("update", both, folder).out


def test_models_of_versions_without_digests_learn_them(
    run: Run, part: Path, today: Path, small_pictures: Path
) -> None:
    header, tensors = model_file.read(part)
    assert len(header.pop("digests")) == 8
    (today / "broken.png").unlink()
    model_file.write(part, header, tensors)
    assert "added 6 pictures" in run("update", part, today).out
    assert "nothing new" in run("update", part, today).out
    assert "added 8 pictures" in run("update", part, small_pictures).out


@pytest.mark.parametrize("digests", [[], "12345678", [1] * 8, {}, None])
def test_digests_that_do_not_match_the_images(digests: object, part: Path) -> None:
    header, tensors = model_file.read(part)
    model_file.write(part, header | {"digests": digests}, tensors)
    with pytest.raises(ModelFileError, match="damaged model file"):
        load(part)


def test_update_mistakes(run: Run, part: Path, today: Path, tmp_path: Path) -> None:
    before = part.read_bytes()
    assert run("update", part, tmp_path / "none").code == 1
    assert "forget must lie in" in run("update", part, today, "--forget", "1").error
    assert run("update", part, today, "--strict").code == 1
    assert run("update", tmp_path / "none.softpatch", today).code == 1
    assert "no such folder" in run("update", part, today, "--suspects", tmp_path / "x" / "y").error
    assert "version 3 is not kept" in run("rollback", part, "--to", "3").error
    assert part.read_bytes() == before


@pytest.mark.parametrize("method", ["padim", "random-ensemble"])
def test_what_has_not_one_bank(
    run: Run, method: str, small_pictures: Path, today: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.softpatch"
    run("fit", small_pictures, "-o", model, "--method", method, "--resize", "64", "--crop", "64")
    assert f"a {method} model cannot be updated; fit again" in run("update", model, today).error
    assert f"a {method} model cannot be merged" in run("merge", model, model, "-o", model).error


def test_a_merge_says_which_thresholds_it_leaves(run: Run, part: Path, tmp_path: Path) -> None:
    by_hand = tmp_path / "by hand"
    assert run("threshold", part, "--value", "7", "-o", by_hand).code == 0
    result = run("merge", part, by_hand, "-o", tmp_path / "both")
    assert result.code == 0, result.err
    assert f"the threshold of {by_hand}, 7, was set otherwise and is left" in result.err
    assert f"the threshold of {part}," not in result.err


@pytest.fixture
def judging(run: Run, small_pictures: Path, tmp_path: Path) -> Path:
    """A model with a threshold."""
    path = tmp_path / "judging.softpatch"
    assert run("fit", small_pictures, "-o", path, *SMALL).code == 0
    return path


def test_a_merge_says_that_it_made_a_threshold_and_that_nothing_is_lost(
    run: Run, judging: Path, tmp_path: Path
) -> None:
    said = run("merge", judging, judging, "-o", tmp_path / "both").out
    assert "a threshold was made without labels, from the pictures of both: " in said
    assert "nothing that either model had is lost" in said


def bad_day(folder: Path, bad: int, good: int) -> Path:
    folder.mkdir()
    for index, picture in enumerate([*new_pictures(good + 1)[:-1], *([new_pictures()[-1]] * bad)]):
        picture = picture.copy()
        picture[0, 0] = index  # no two files are the same
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


def test_a_model_learns_from_a_bad_day_only_if_it_is_told_to(
    run: Run, judging: Path, tmp_path: Path
) -> None:
    part = judging
    before, suspects = part.read_bytes(), tmp_path / "suspects.csv"
    folder = bad_day(tmp_path / "bad", bad=5, good=3)
    result = run("update", part, folder, "--suspects", suspects)
    assert result.code == 1
    assert f"5 of 8 new pictures are bad by {part} so far, so nothing was learned" in result.error
    assert "3.png" in result.error
    for way in ("--suspects", "--exclude", "--yes"):
        assert way in result.error
    assert part.read_bytes() == before
    ranked = [Path(row["path"]).name for row in csv.DictReader(suspects.read_text().splitlines())]
    assert set(ranked[:5]) == {f"{index}.png" for index in range(3, 8)}
    result = run("update", part, folder, "--yes")
    assert result.code == 0
    assert "5 of 8 new pictures are bad" in result.err
    assert "added 8 pictures to 8" in result.out


def test_a_good_day_is_learned_unasked(run: Run, judging: Path, tmp_path: Path) -> None:
    result = run("update", judging, bad_day(tmp_path / "good", bad=0, good=5))
    assert result.code == 0, result.err
    assert f"0 of 5 new pictures are bad by {judging} so far" in result.err


def test_a_model_without_a_threshold_has_nothing_to_say(
    run: Run, part: Path, tmp_path: Path
) -> None:
    result = run("update", part, bad_day(tmp_path / "bad", bad=5, good=3))
    assert result.code == 0, result.err
    assert "so far" not in result.err


def test_merge(run: Run, part: Path, small_pictures: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.softpatch"
    result = run("merge", part, part, "-o", both, "--bank-size", "20")
    assert result.code == 0, result.err
    assert "8 are in both and counted once: " in result.out
    assert "memory bank: 20 of their " in result.out
    assert "heat maps begin to show colour at" in result.out
    assert (
        f"no threshold and so gives no verdicts; make one: softpatch threshold {both}" in result.out
    )
    assert not kept_versions(both)
    first = both.read_bytes()
    assert run("merge", part, part, "-o", both).code == 0
    assert kept_versions(both)[1].read_bytes() == first
    other = tmp_path / "other.softpatch"
    run("fit", small_pictures, "-o", other, "--resize", "64", "--crop", "48")
    refused = run("merge", part, other, "-o", tmp_path / "c.softpatch")
    assert refused.code == 2
    assert f"{part} and {other} cannot be merged: " in refused.error
    assert not (tmp_path / "c.softpatch").exists()


def test_fit_over_a_file_with_versions_is_another_version(
    run: Run, part: Path, today: Path, small_pictures: Path
) -> None:
    run("update", part, today)
    updated = part.read_bytes()
    assert run("fit", small_pictures, "-o", part, *SMALL).code == 0
    assert list(kept_versions(part)) == [1, 2]
    assert kept_versions(part)[2].read_bytes() == updated


def test_fit_over_what_is_no_model_says_so_before_the_work(
    run: Run, part: Path, today: Path, tmp_path: Path
) -> None:
    """Where there are versions, what is there would be kept as one."""
    run("update", part, today)
    part.write_text("no model")
    result = run("fit", tmp_path / "none", "-o", part, *SMALL)
    assert "is another kind of file" in result.error
    assert part.read_text() == "no model"


def test_fit_with_a_checkpoint(run: Run, small_pictures: Path, tmp_path: Path) -> None:
    plain, kept = tmp_path / "plain.softpatch", tmp_path / "kept.softpatch"
    assert run("fit", small_pictures, "-o", plain, *SMALL).code == 0
    folder = tmp_path / "unfinished"
    assert run("fit", small_pictures, "-o", kept, "--checkpoint", folder, *SMALL).code == 0
    assert kept.read_bytes() == plain.read_bytes()
    assert not folder.exists()
    refused = run("fit", small_pictures, "-o", kept, "--checkpoint", small_pictures, *SMALL)
    assert refused.code == 2
    assert "holds other files" in refused.error
