"""Opening a model file: as the detector it holds, on the device that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import softpatch
from softpatch import BackboneError, ModelFileError, SoftPatch, UsageError, load
from softpatch.features.backbones import named_backbone
from softpatch.storage import model_file

pytestmark = pytest.mark.usefixtures("one_backbone")


@pytest.mark.parametrize("kind", [str, Path])
def test_load_takes_text_and_paths(small_model: Path, kind: type) -> None:
    assert isinstance(softpatch.load(kind(small_model)), SoftPatch)


def test_loaded_model_knows_its_training(small_model: Path, small_pictures: Path) -> None:
    model = load(small_model)
    assert model.image_names_ == [str(small_pictures / f"{index}.png") for index in range(8)]
    assert model.normal_limit_ > 0
    assert model.skipped_ == []


def test_loaded_model_can_be_fitted_again(small_model: Path, small_pictures: Path) -> None:
    model = load(small_model)
    model.fit([small_pictures / f"{index}.png" for index in range(4)])
    assert len(model.image_names_) == 4


def test_options_of_the_run_are_checked(small_model: Path) -> None:
    with pytest.raises(UsageError, match="batch_size must be at least 1, got -1"):
        load(small_model, batch_size=-1)
    with pytest.raises(UsageError, match=r"device must be auto, .* got 'tpu9'"):
        load(small_model, device="tpu9")
    with pytest.raises(TypeError):
        load(small_model, tau=0.1)  # type: ignore[call-overload]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device_is_no_fault_of_the_file(small_model: Path) -> None:
    with pytest.raises(UsageError, match=r"^no CUDA device is available here"):
        load(small_model, device="cuda")


def test_backbone_from_a_local_file_moves_with_the_weights_option(
    small_pictures: Path, tmp_path: Path
) -> None:
    """The path in the model file is where the checkpoint lay when it was fitted."""
    fitting = {"backbone": "resnet18", "layers": ("layer1",), "resize": 64, "dimension": 32}
    network = named_backbone("resnet18", ("layer1",), "random").network
    before, after = tmp_path / "before.pth", tmp_path / "after.pth"
    torch.save(network.state_dict(), before)
    model = SoftPatch(weights=str(before), **fitting).fit(small_pictures)  # type: ignore[arg-type]
    model.save(tmp_path / "m.softpatch")
    before.rename(after)
    with pytest.raises(BackboneError, match=r"gone\.pth: no such weights file"):
        load(tmp_path / "m.softpatch", weights=str(tmp_path / "gone.pth"))
    moved = load(tmp_path / "m.softpatch", weights=str(after))
    picture = small_pictures / "0.png"
    assert moved.predict(picture).score == model.predict(picture).score


def test_other_method_than_this_version_knows_is_named(small_model: Path, tmp_path: Path) -> None:
    header, tensors = model_file.read(small_model)
    path = tmp_path / "m.softpatch"
    model_file.write(path, header | {"method": "softfetch"}, tensors)
    with pytest.raises(ModelFileError, match="unknown method 'softfetch'"):
        load(path)
