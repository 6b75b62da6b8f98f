"""A model file without torch: the same bytes, the same faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softpatch import SoftPatch, load
from softpatch.errors import ModelFileError
from softpatch.storage import model_bytes, model_file

DTYPES = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int8, torch.bool)


@pytest.mark.parametrize("value", [0.0, 1.5, 120, 1e-9, 123456.789])
def test_another_threshold_is_what_the_detector_would_save(
    value: float, small_model: Path, tmp_path: Path
) -> None:
    detector = load(small_model, SoftPatch)
    detector.threshold_ = value
    detector.save(tmp_path / "saved.softpatch")
    changed = model_bytes.with_header(small_model, threshold=float(value))
    assert changed == (tmp_path / "saved.softpatch").read_bytes()
    model_bytes.write(tmp_path / "changed.softpatch", changed)
    assert load(tmp_path / "changed.softpatch").threshold_ == value


@given(
    names=st.lists(st.text(min_size=1, max_size=12), max_size=4),
    shapes=st.dictionaries(
        st.sampled_from(sorted(model_bytes.TENSORS)),
        st.tuples(st.integers(0, 3), st.sampled_from(DTYPES)),
        max_size=5,
    ),
    added=st.text(max_size=9),
)
def test_a_changed_header_leaves_everything_else(
    names: list[str],
    shapes: dict[str, tuple[int, torch.dtype]],
    added: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    header = {
        "method": "any", "features": {}, "parameters": {}, "preprocessing": {}, "backbone": {},
        "images": names, "normal_limit": 1.0,
    }  # fmt: skip
    state = {name: torch.ones(rows, 2).to(dtype) for name, (rows, dtype) in shapes.items()}
    path = tmp_path_factory.mktemp("any") / "a.softpatch"
    model_file.write(path, header, state)
    expected = model_file.content({**header, "note": added}, state)
    assert model_bytes.with_header(path, note=added) == expected
    contents = model_bytes.read_checked(path)
    assert contents.header == model_file.read(path)[0] == {**header, "format": 1}
    for name, place in contents.places.items():
        assert place.shape == state[name].shape
        if place.dtype in model_bytes.FLOATS:
            np.testing.assert_array_equal(model_bytes.read_array(path, name), state[name])


def test_both_find_the_same_faults(small_model: Path, tmp_path: Path) -> None:
    """One flipped bit, or an end that is missing, at a hundred places."""
    whole, path = small_model.read_bytes(), tmp_path / "damaged.softpatch"
    for place in np.linspace(0, len(whole) - 1, 100).astype(int):
        for damaged in (_flipped(whole, place), whole[:place]):
            path.write_bytes(damaged)
            said = []
            for read in (model_bytes.read_checked, model_file.read):
                with pytest.raises(ModelFileError) as raised:
                    read(path)
                said.append(str(raised.value))
            assert said[0] == said[1]


def _flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def test_numbers_that_are_none_are_refused_by_both(small_model: Path, tmp_path: Path) -> None:
    header, state = model_file.read(small_model)
    state["bank"][0, 0] = torch.nan
    path = tmp_path / "nan.softpatch"
    model_file.write(path, header, state)
    for read in (model_bytes.read_checked, model_file.read):
        with pytest.raises(ModelFileError, match="bank holds NaN or infinite values; fit again"):
            read(path)
