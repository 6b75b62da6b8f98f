"""The model file: exact, refused with one line when anything is wrong, and never code."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from softpatch import Detector, PaDiM, PatchCore, RandomBank, RandomEnsemble, SoftPatch, load
from softpatch.cli.info import info
from softpatch.errors import ModelFileError, NotFittedError, SoftPatchError
from softpatch.storage import model_bytes, model_file

pytestmark = pytest.mark.usefixtures("one_backbone")

Header = dict[str, Any]
State = dict[str, Tensor]


def rewrite(model: Path, target: Path, change: Callable[[Header, State], object]) -> Path:
    """A copy of a model file with a changed header or changed tensors."""
    header, state = model_file.read(model)
    change(header, state)
    return forge(target, header, state)


def forge(target: Path, header: object, state: State) -> Path:
    metadata = {model_bytes.KEY: header if isinstance(header, str) else json.dumps(header)}
    save_file(state, target, metadata)
    return target


def refusal(path: Path) -> str:
    """The one line in which a file is refused."""
    with pytest.raises(ModelFileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def same_predictions(one: Detector, other: Detector, pictures: Path) -> bool:
    pairs = zip(one.predict(pictures), other.predict(pictures), strict=True)
    return all(
        (a.name, a.score, a.size, a.box) == (b.name, b.score, b.size, b.box)
        and np.array_equal(a.anomaly_map, b.anomaly_map)
        for a, b in pairs
    )


# --- round trip ----------------------------------------------------------------------------------


def test_round_trip_is_exact(
    small_detector: SoftPatch, small_model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    back = load(small_model)
    assert isinstance(back, SoftPatch)
    assert same_predictions(small_detector, back, small_pictures)
    assert back.suspects() == small_detector.suspects()
    assert back.floors_ == small_detector.floors_
    assert back.normal_limit_ == small_detector.normal_limit_
    assert back.image_names_ == small_detector.image_names_
    back.save(tmp_path / "again.softpatch")
    assert (tmp_path / "again.softpatch").read_bytes() == small_model.read_bytes()


@pytest.mark.parametrize(
    "detector",
    [
        pytest.param(PatchCore(resize=64, crop=48, reweight=True, seed=3), id="PatchCore"),
        pytest.param(RandomBank(resize=64, crop=48, bank_size=30, seed=3), id="RandomBank"),
        pytest.param(
            RandomEnsemble(
                resize=64, crop=64, banks=3, bank_size=40, distance="euclidean",
                max_false_alarms=0.2, seed=3,
            ),
            id="RandomEnsemble",
        ),
        pytest.param(PaDiM(resize=(64, 96), crop=(64, 96), dimensions=20), id="PaDiM"),
        pytest.param(
            SoftPatch(
                resize=64, crop=64, embedding="average", dimension=64, discriminator="nearest",
                tau=0.3, soft_weight=False, distance="euclidean", layers=("blocks.4",),
            ),
            id="SoftPatch",
        ),
    ],
)  # fmt: skip
def test_every_option_survives_the_file(
    detector: Detector, small_pictures: Path, tmp_path: Path
) -> None:
    detector.fit(small_pictures)
    detector.save(str(tmp_path / "m.softpatch"))
    back = load(str(tmp_path / "m.softpatch"))
    assert type(back) is type(detector)
    assert same_predictions(detector, back, small_pictures)
    left_out = {"device", "batch_size", "preset", *vars(detector.features)}
    names = detector.option_names() - left_out
    assert {name: getattr(back, name) for name in names} == {
        name: getattr(detector, name) for name in names
    }
    assert back.features == detector.features


def test_options_of_the_run_are_not_the_models(
    small_detector: SoftPatch, small_model: Path, small_pictures: Path
) -> None:
    back = load(small_model, batch_size=3, device="cpu")
    assert back.batch_size == 3
    scores = [prediction.score for prediction in back.predict(small_pictures)]
    expected = [prediction.score for prediction in small_detector.predict(small_pictures)]
    assert scores == pytest.approx(expected, rel=1e-5)


def test_same_fit_gives_the_same_bytes(
    small_pictures: Path, small_model: Path, tmp_path: Path
) -> None:
    again = SoftPatch(resize=64, crop=64, dimension=64, max_false_alarms=None).fit(small_pictures)
    again.save(tmp_path / "again.softpatch")
    assert (tmp_path / "again.softpatch").read_bytes() == small_model.read_bytes()


def test_header_can_be_read_alone(small_model: Path) -> None:
    header = model_bytes.read_header(small_model)
    assert header == model_file.read(small_model)[0]
    assert header["format"] == model_bytes.FORMAT
    assert header["method"] == "softpatch"
    assert len(header["backbone"]["sha256"]) == 64


def test_model_stays_usable_when_its_file_changes(
    small_model: Path, small_detector: SoftPatch, small_pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.softpatch"
    path.write_bytes(small_model.read_bytes())
    model = load(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert same_predictions(model, small_detector, small_pictures)


def test_unfitted_detector_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="before it is saved"):
        SoftPatch().save(tmp_path / "m.softpatch")
    assert not list(tmp_path.iterdir())


# --- damaged and foreign files -------------------------------------------------------------------


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    assert "no such model file" in refusal(tmp_path / "none.softpatch")
    assert "no such model file" in refusal(tmp_path)


@pytest.mark.parametrize("share", [*np.linspace(0, 0.02, 12).tolist(), 0.1, 0.3, 0.6, 0.9, 0.99999])
def test_cut_file_is_refused(small_model: Path, tmp_path: Path, share: float) -> None:
    content = small_model.read_bytes()
    path = tmp_path / "cut.softpatch"
    path.write_bytes(content[: int(share * len(content))])
    assert "cut, or not a softpatch model" in refusal(path)


def test_longer_file_is_refused(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.softpatch"
    path.write_bytes(small_model.read_bytes() + b"\0")
    assert "cut, or not a softpatch model" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not a model\n" * 20, id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(500), id="picture"),
        pytest.param(pickle.dumps({"bank": [1.0]}), id="pickle"),
        pytest.param(b"\xff" * 8 + b"{}", id="absurd header length"),
        pytest.param((2).to_bytes(8, "little") + b"{}", id="no content"),
        pytest.param((9).to_bytes(8, "little") + b'{"a":[[[[', id="broken JSON"),
        pytest.param(
            (lambda h: len(h).to_bytes(8, "little") + h)(
                b'{"bank":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4]}}'
            )
            + bytes(4),
            id="absurd shape",
        ),
    ],
)
def test_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.softpatch"
    path.write_bytes(content)
    assert "not a softpatch model" in refusal(path)


def test_torch_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"bank": torch.zeros(3)}, tmp_path / "m.pth")
    assert "not a softpatch model" in refusal(tmp_path / "m.pth")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_foreign_safetensors_file_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"bank": torch.zeros(3)}, path, metadata)
    assert "a safetensors file, but not a softpatch model" in refusal(path)


def test_newer_format_says_how_to_upgrade(small_model: Path, tmp_path: Path) -> None:
    path = rewrite(small_model, tmp_path / "m", lambda header, _: header.update(format=2))
    assert "format 2 is newer than this softpatch reads (1); pip install -U" in refusal(path)


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", None, [], {}])
def test_impossible_format_is_refused(small_model: Path, tmp_path: Path, version: object) -> None:
    path = rewrite(small_model, tmp_path / "m", lambda header, _: header.update(format=version))
    assert "the header is damaged" in refusal(path)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "null", "3", '"text"', "{}", "[" * 100_000, '{"format": 1'],
    ids=["empty", "text", "list", "null", "number", "string", "bare", "deep", "cut"],
)  # fmt: skip
def test_header_that_is_no_header_is_refused(small_model: Path, tmp_path: Path, text: str) -> None:
    _, state = model_file.read(small_model)
    assert "the header is damaged" in refusal(forge(tmp_path / "m", text, state))


@pytest.mark.parametrize(
    ("alignment", "chosen"),
    [(None, "position-free"), (0.5, "position-free"), (0.9, "lof-distance"), (1.0, "lof-distance")],
)
def test_models_from_before_floors_keep_the_discriminator_chosen_for_them(
    alignment: float | None, chosen: str, small_pictures: Path, tmp_path: Path
) -> None:
    fitted = SoftPatch(resize=64, crop=48, dimension=32, discriminator=chosen).fit(small_pictures)
    fitted.save(tmp_path / "now")

    def as_before(header: Header, state: State) -> None:
        header["parameters"]["discriminator"] = "auto"
        if alignment is not None:
            state["alignment"] = torch.tensor(alignment, dtype=torch.float64)

    back = load(rewrite(tmp_path / "now", tmp_path / "before", as_before), SoftPatch)
    assert back.discriminator == chosen
    assert back.floors_ is None
    assert same_predictions(fitted, back, small_pictures)
    back.update(small_pictures)
    assert len(back.image_names_) == 16


# --- values that do not belong together ----------------------------------------------------------


@pytest.mark.parametrize("key", ["bank", "weights", "suspicion"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_numbers_are_refused(
    small_model: Path, tmp_path: Path, key: str, value: float
) -> None:
    def poison(_: Header, state: State) -> None:
        state[key].view(-1)[-1] = value

    assert f"{key} holds NaN" in refusal(rewrite(small_model, tmp_path / "m", poison))


TENSOR_CHANGES: dict[str, Callable[[State], object]] = {
    "bank missing": lambda state: state.pop("bank"),
    "weights missing": lambda state: state.pop("weights"),
    "suspicion missing": lambda state: state.pop("suspicion"),
    "bank narrower": lambda state: state.update(bank=state["bank"][:, :-1].contiguous()),
    "bank shorter": lambda state: state.update(bank=state["bank"][1:].contiguous()),
    "bank flat": lambda state: state.update(bank=state["bank"].flatten()),
    "bank 3-D": lambda state: state.update(bank=state["bank"][None].contiguous()),
    "bank a number": lambda state: state.update(bank=torch.tensor(1.0)),
    "bank empty": lambda s: s.update(bank=s["bank"][:0].clone(), weights=s["weights"][:0].clone()),
    "bank of integers": lambda state: state.update(bank=state["bank"].long()),
    "bank of complex numbers": lambda state: state.update(bank=state["bank"].to(torch.complex64)),
    "bank of half precision": lambda state: state.update(bank=state["bank"].half().clamp(-9, 9)),
    "weights of integers": lambda state: state.update(weights=state["weights"].long()),
    "weights negative": lambda state: state.update(weights=-state["weights"]),
    "suspicion longer": lambda state: state.update(suspicion=torch.ones(9)),
    "suspicion 2-D": lambda state: state.update(suspicion=torch.ones(8, 1)),
    "floors of three numbers": lambda state: state.update(floors=torch.zeros(3).double()),
    "floors of another precision": lambda state: state.update(floors=state["floors"].float()),
    "a rank of a half": lambda state: state["floors"][0].fill_(0.5),
    "a rank beyond any": lambda state: state["floors"][0].fill_(65),
    "a rank below none": lambda state: state["floors"][0].fill_(-1),
    "near twice": lambda state: state["floors"][1].fill_(2),
    "a spread above one": lambda state: state["floors"][2].fill_(1.5),
    "a spacing below none": lambda state: state["floors"][3].fill_(-0.5),
    "support missing": lambda state: state.pop("support_own"),
    "support shorter": lambda s: s.update(support_places=s["support_places"][1:].contiguous()),
    "support of other vectors": lambda state: state.update(
        {key: state[key][1:].contiguous() for key in state if key.startswith("support_")}
    ),
    "support of pictures there are not": lambda state: state["support_pictures"].fill_(8),
    "support from pictures there are not": lambda state: state["support_own"].fill_(8),
    "support at a distance below none": lambda state: state["support_distances"].fill_(-2),
    "support too far": lambda state: state["support_distances"].fill_(1e30),
}


@pytest.mark.parametrize("change", TENSOR_CHANGES.values(), ids=TENSOR_CHANGES.keys())
def test_tensors_that_disagree_are_refused(
    small_model: Path, tmp_path: Path, change: Callable[[State], object]
) -> None:
    path = rewrite(small_model, tmp_path / "m", lambda _, state: change(state))
    assert "damaged" in refusal(path)


PADIM_CHANGES: dict[str, Callable[[State], object]] = {
    "channel beyond the last": lambda state: state["chosen"].add_(10_000),
    "negative channel": lambda state: state["chosen"].sub_(10_000),
    "channels are floats": lambda state: state.update(chosen=state["chosen"].float()),
    "mean of another grid": lambda state: state.update(mean=state["mean"][1:].contiguous()),
    "whitening not square": lambda s: s.update(whitening=s["whitening"][:, 1:].contiguous()),
    "whitening missing": lambda state: state.pop("whitening"),
    "no channels": lambda s: s.update(
        chosen=s["chosen"][:0].clone(),
        mean=s["mean"][:, :0].clone(),
        whitening=s["whitening"][:, :0, :0].clone(),
    ),
}


@pytest.mark.parametrize("change", PADIM_CHANGES.values(), ids=PADIM_CHANGES.keys())
def test_padim_tensors_that_disagree_are_refused(
    padim_model: Path, tmp_path: Path, change: Callable[[State], object]
) -> None:
    path = rewrite(padim_model, tmp_path / "m", lambda _, state: change(state))
    assert "damaged" in refusal(path)


@pytest.fixture(scope="module")
def padim_model(small_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("padim") / "padim.softpatch"
    PaDiM(resize=64, crop=64, dimensions=5).fit(small_pictures).save(path)
    return path


def set_value(header: Header, keys: tuple[str, ...], value: object) -> None:
    for key in keys[:-1]:
        header = header[key]
    header[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("method",), "onnx"),
        (("method",), None),
        (("method",), ["softpatch"]),
        (("method",), "padim"),
        (("features",), []),
        (("features", "colour"), "blue"),
        (("features", "backbone"), 5),
        (("features", "layers"), "blocks.2"),
        (("features", "layers"), [["blocks.2"]]),
        (("features", "layers"), ["blocks.99"]),
        (("features", "embedding"), "magic"),
        (("features", "dimension"), 63),
        (("features", "dimension"), 10**15),
        (("features", "dimension"), "64"),
        (("features", "resize"), [10**9, 10**9]),
        (("features", "resize"), [64]),
        (("features", "resize"), "64x64"),
        (("features", "resize"), [64.5, 64.5]),
        (("features", "crop"), [0, 0]),
        (("features", "crop"), [-64, -64]),
        (("features", "crop"), [65, 64]),
        (("parameters", "tau"), 2),
        (("parameters", "tau"), "0.1"),
        (("parameters", "coreset_ratio"), 0),
        (("parameters", "distance"), "cosine"),
        (("parameters", "discriminator"), "magic"),
        (("parameters", "k"), 0),
        (("parameters", "device"), "cuda"),
        (("parameters",), None),
        (("backbone",), {}),
        (("backbone",), "efficientnet_lite2"),
        (("images",), 8),
        (("images",), ["a.png"]),
        (("images",), None),
        (("normal_limit",), "much"),
        (("normal_limit",), None),
        (("normal_limit",), float("nan")),
        (("normal_limit",), float("inf")),
        (("normal_limit",), -1.0),
        (("threshold",), "much"),
        (("threshold",), float("nan")),
        (("threshold",), float("inf")),
        (("threshold",), -1.0),
    ],
)  # fmt: skip
def test_header_values_out_of_place_are_refused(
    small_model: Path, tmp_path: Path, keys: tuple[str, ...], value: object
) -> None:
    path = rewrite(small_model, tmp_path / "m", lambda header, _: set_value(header, keys, value))
    refusal(path)


def test_absurd_size_of_everything_is_refused(small_model: Path, tmp_path: Path) -> None:
    def grow(header: Header, _: State) -> None:
        header["features"] |= {"resize": [10**9, 10**9], "crop": [10**9, 10**9]}

    refusal(rewrite(small_model, tmp_path / "m", grow))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([-1, 0, 1, 2, 7, 64, 10**12, -(10**40), 0.5, -0.5, 1e300, float("nan")])
    | st.sampled_from(["", "x", "padim", "concat", "random", "gaussian", "cuda", "a\nb", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "backbone", "seed", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: object, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [here]
    below = [place for key, item in value.items() for place in places(item, (*here, key))]
    return below + ([here] if here else [])


def refused_or_in_order(path: Path, picture: Path) -> None:
    """Loads and predicts, or says in one line why not; anything else fails."""
    try:
        prediction = load(path).predict(picture)
        info(path)
    except SoftPatchError as error:
        message = str(error)  # pytest.raises would demand an error; loading is right too
        if "\n" in message or not message:
            pytest.fail(f"not one line: {error!r}")
    else:
        assert prediction.score >= 0
        assert np.isfinite(prediction.anomaly_map).all()


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), remove=st.booleans())
def test_mutated_header_predicts_or_is_refused_and_nothing_else(
    small_model: Path, small_pictures: Path, tmp_path: Path, data: st.DataObject, remove: bool
) -> None:
    header, state = model_file.read(small_model)
    keys = data.draw(st.sampled_from(places(header)))
    if remove:
        holder = header
        for key in keys[:-1]:
            holder = holder[key]
        del holder[keys[-1]]
    else:
        set_value(header, keys, data.draw(JSON))
    path = forge(tmp_path / "mutated.softpatch", header, state)
    refused_or_in_order(path, small_pictures / "0.png")


@pytest.mark.parametrize(("tensor", "value"), [("bank", 1e19), ("bank", -3e38), ("weights", 1e30)])
def test_numbers_that_would_overflow_are_refused(
    tensor: str, value: float, small_model: Path, tmp_path: Path
) -> None:
    header, state = model_file.read(small_model)
    state[tensor].view(-1)[5] = value
    with pytest.raises(ModelFileError, match="numbers no patch has"):
        load(forge(tmp_path / "huge.softpatch", header, state))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 2500), bit=st.integers(0, 7))
def test_flipped_bit_in_the_header_predicts_or_is_refused_and_nothing_else(
    small_model: Path, small_pictures: Path, tmp_path: Path, place: int, bit: int
) -> None:
    content = bytearray(small_model.read_bytes())
    content[place] ^= 1 << bit
    path = tmp_path / "flipped.softpatch"
    path.write_bytes(content)
    refused_or_in_order(path, small_pictures / "0.png")


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("images",), None), (("images",), 5), (("parameters",), 5), (("method",), ["[red]"])],
)
def test_info_on_a_damaged_header_is_one_line_or_a_table(
    small_model: Path, tmp_path: Path, keys: tuple[str, ...], value: object
) -> None:
    path = rewrite(small_model, tmp_path / "m", lambda header, _: set_value(header, keys, value))
    with contextlib.suppress(SoftPatchError):
        info(path)


# --- the backbone --------------------------------------------------------------------------------


def test_other_backbone_weights_are_refused(small_model: Path, tmp_path: Path) -> None:
    def other(header: Header, _: State) -> None:
        header["backbone"]["sha256"] = "0" * 64

    message = refusal(rewrite(small_model, tmp_path / "m", other))
    assert "other weights of efficientnet_lite2" in message
    assert "--weights FILE" in message


def test_random_weights_are_not_taken_for_the_real_ones(small_model: Path) -> None:
    with pytest.raises(ModelFileError, match="other weights"):
        load(small_model, weights="random")


# --- no code -------------------------------------------------------------------------------------


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def test_payload_works_at_all(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("writer", ["pickle", "torch"])
@pytest.mark.parametrize("place", ["model", "weights in the header"])
def test_no_code_is_run(small_model: Path, tmp_path: Path, writer: str, place: str) -> None:
    mark, hostile = tmp_path / "mark", tmp_path / "hostile.pth"
    if writer == "pickle":
        hostile.write_bytes(pickle.dumps(Payload(mark)))
    else:
        torch.save({"conv_stem.weight": Payload(mark)}, hostile)
    path = hostile
    if place != "model":
        path = rewrite(
            small_model,
            tmp_path / "m",
            lambda header, _: header["features"].update(weights=str(hostile)),
        )
    with pytest.raises(SoftPatchError):
        load(path)
    assert not mark.exists()


def test_loading_never_unpickles(
    small_model: Path, small_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one call of torch.load, for the backbone's own weights, is restricted to tensors."""
    load_tensors = torch.load

    def careful(*arguments: Any, **options: Any) -> Any:
        assert options["weights_only"] is True
        return load_tensors(*arguments, **options)

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("unpickled")

    monkeypatch.undo()  # a backbone of its own: its weights are read here
    monkeypatch.setattr(torch, "load", careful)
    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    prediction = load(small_model).predict(small_pictures / "0.png")
    assert prediction.score >= 0


# --- full disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("replacing", [False, True])
def test_full_disk_leaves_what_was_there(
    small_detector: SoftPatch,
    small_model: Path,
    tmp_path: Path,
    replacing: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.softpatch"
    before = small_model.read_bytes()
    if replacing:
        path.write_bytes(before)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelFileError, match=r"cannot be written \(No space left"):
        small_detector.save(path)
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [before] * replacing


def test_missing_folder_is_named(small_detector: SoftPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none/m\.softpatch: cannot be written"):
        small_detector.save(tmp_path / "none" / "m.softpatch")


def test_writing_does_not_change_header_or_tensors(small_model: Path, tmp_path: Path) -> None:
    header, state = model_file.read(small_model)
    header["parameters"] = {"list": [1, {"a": None}]}
    state["bank"] = torch.arange(6.0).view(2, 3).T  # not contiguous
    before = copy.deepcopy(header)
    model_file.write(tmp_path / "m", header, state)
    back, tensors = model_file.read(tmp_path / "m")
    assert header == before == back
    assert torch.equal(tensors["bank"], torch.arange(6.0).view(2, 3).T)
