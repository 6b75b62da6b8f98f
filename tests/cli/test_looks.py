"""From the pictures that a limit rests on to the limit without the bad ones among them."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch import SoftPatch, load
from tests.auditing.pictures import part, parts
from tests.cli.test_cli import SMALL, Run, run

__all__ = ["run"]  # the fixture


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty parts, two of them with a different flaw each."""
    folder = tmp_path_factory.mktemp("looks") / "photos"
    parts(folder, 28)
    for number, colour in enumerate([(200, 30, 20), (20, 60, 220)]):
        array = part(60 + number)
        array[40 + 30 * number :][:20, 60:80] = colour
        Image.fromarray(array).save(folder / f"bad {number}.png")
    return folder


def rests_on(audit: Path) -> list[str]:
    found: list[str] = json.loads((audit / "audit.json").read_text())["limit_rests_on"]
    return found


def decided(photos: Path, audit: Path, file: Path, **changes: Any) -> Path:
    """As the page exports it, by somebody who knows; without digests, as written by hand."""
    names = [Path(path).name for path in rests_on(audit)]
    content = {
        "format": "softpatch-decisions", "version": 1, "folder": str(photos),
        "decisions": {name: "remove" if "bad" in name else "keep" for name in names},
    }  # fmt: skip
    file.write_text(json.dumps(content | changes))
    return file


def test_a_few_looks_buy_the_limit(run: Run, photos: Path, tmp_path: Path) -> None:
    model, audit = tmp_path / "m.softpatch", tmp_path / "audit"
    assert run("fit", photos, "-o", model, *SMALL, "--discriminator", "lof").code == 0
    before = load(model, SoftPatch)
    result = run("audit", photos, "-o", audit, "--model", model, *SMALL)
    assert result.code == 0, result.err
    assert f"next: softpatch threshold {model} --decisions decisions.json" in result.out
    page = (audit / "audit.html").read_text()
    order = re.findall(r'"path": "([^"]+)", "rank"', page)
    first = [Path(path).name for path in rests_on(audit)]
    assert len(first) == 12
    assert order[:12] == first == [Path(name).name for name, _ in before.to_look_at()]
    assert page.count('"code": "limit"') == 12
    result = run("threshold", model, "--decisions", decided(photos, audit, tmp_path / "d.json"))
    assert result.code == 0, result.err
    after = load(model, SoftPatch)
    kept = [name for name in first if "bad" not in name]
    said = f"{len(kept)} good and {12 - len(kept)} bad of the training pictures are known now"
    assert said in result.out
    assert before.held_out_ is not None
    assert after.held_out_ is not None
    assert len(after.held_out_) == len(before.held_out_) - (12 - len(kept))
    assert not set(first) & {Path(name).name for name, _ in after.to_look_at()}
    assert after.threshold_ == max(
        score for name, score in before.to_look_at() if Path(name).name in kept
    )


def test_pictures_are_known_by_their_content(run: Run, photos: Path, tmp_path: Path) -> None:
    model, moved, audit = tmp_path / "m.softpatch", tmp_path / "moved", tmp_path / "audit"
    assert run("fit", photos, "-o", model, *SMALL).code == 0
    shutil.copytree(photos, moved)
    other = Image.fromarray(np.full((160, 160, 3), 90, np.uint8))
    other.save(moved / "000.png")  # is not what the model learned
    result = run("audit", moved, "-o", audit, "--model", model, *SMALL)
    assert result.code == 0, result.err
    first = rests_on(audit)
    assert 11 <= len(first) <= 12
    assert str(moved / "000.png") not in first


def test_what_cannot_be_decided(run: Run, photos: Path, tmp_path: Path) -> None:
    model, audit = tmp_path / "m.softpatch", tmp_path / "audit"
    assert run("fit", photos, "-o", model, *SMALL, "--max-false-alarms", "0").code == 0
    result = run("audit", photos, "--model", model, *SMALL)
    assert (result.code, "were not scored for a limit" in result.err) == (2, True)
    assert run("fit", photos, "-o", model, *SMALL).code == 0
    assert run("audit", photos, "-o", audit, "--model", model, *SMALL).code == 0
    content = model.read_bytes()
    elsewhere = decided(photos, audit, tmp_path / "d.json", folder="/nowhere")
    for file, code, message in (
        (tmp_path / "none.json", 1, "no such file of decisions"),
        (elsewhere, 1, "decides about none of the pictures that the model learned"),
    ):
        result = run("threshold", model, "--decisions", file)
        assert (result.code, message in result.err) == (code, True), result.err
        assert model.read_bytes() == content


def test_copies_of_a_picture_are_looked_at_once_and_leave_together(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    copied, model, audit = tmp_path / "copied", tmp_path / "m.softpatch", tmp_path / "audit"
    shutil.copytree(photos, copied)
    worst, copy = copied / "bad 0.png", copied / "copy of bad 0.png"
    shutil.copy(worst, copy)
    assert run("fit", copied, "-o", model, *SMALL).code == 0
    assert run("audit", copied, "-o", audit, "--model", model, *SMALL).code == 0
    first = rests_on(audit)
    assert len(set(first)) == len(first)
    assert len({str(worst), str(copy)} & set(first)) == 1
    shown = next(path for path in first if path in {str(worst), str(copy)})
    name = Path(shown).name
    for digests in ({}, {"sha256": {name: sha256(worst.read_bytes()).hexdigest()}}):
        file = decided(copied, audit, tmp_path / "d.json", decisions={name: "remove"}, **digests)
        result = run("threshold", model, "--decisions", file, "-o", tmp_path / "new.softpatch")
        assert "0 good and 2 bad of the training pictures are known now" in result.out
    both = {worst.name: "keep", copy.name: "remove"}  # no duplicates, please
    file = decided(copied, audit, tmp_path / "d.json", decisions=both)
    result = run("threshold", model, "--decisions", file)
    assert "2 good and 0 bad of the training pictures are known now" in result.out


def test_few_pictures_with_suspects_among_them_can_be_decided_about(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    few, model = tmp_path / "few", tmp_path / "m.softpatch"
    parts(few, 8)
    for number in range(2):
        shutil.copy(photos / f"bad {number}.png", few)
    assert run("fit", few, "-o", model, *SMALL).code == 0
    (tmp_path / "audit.json").write_text('{"limit_rests_on": []}')
    file = decided(few, tmp_path, tmp_path / "d.json", decisions={"003.png": "remove"})
    result = run("threshold", model, "--decisions", file)
    assert (result.code, "0 good and 1 bad" in result.out) == (0, True), result.err
