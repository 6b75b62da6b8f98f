"""The search in the graph against distances to everything, in float64."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softpatch.export.formats import to_onnx
from softpatch.export.search import GROUP, NearestSearch


def check(bank: Tensor, patches: Tensor, distance: Tensor, index: Tensor) -> None:
    """Nearest within float32 rounding: that of the difference of coordinates and of its sum."""
    exact = torch.cdist(patches.double(), bank.double())
    largest = max(bank.abs().max().item(), patches.abs().max().item(), 1e-12)
    absolute = 1e-6 * largest * bank.shape[1] ** 0.5
    torch.testing.assert_close(distance.double(), exact.amin(dim=1), rtol=1e-5, atol=absolute)
    found = exact.gather(1, index.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, exact.amin(dim=1), rtol=1e-5, atol=absolute)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 3 * GROUP + 1),
    dimension=st.integers(1, 40),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 30.0]),
    outlier=st.sampled_from([1.0, 40.0]),
    copies=st.booleans(),
)
def test_nearest_are_those_of_a_full_comparison(
    seed: int, members: int, dimension: int, size: float, offset: float, outlier: float,
    copies: bool,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    bank = torch.randn(members, dimension, generator=generator)
    bank[0] *= outlier  # beyond what codes reach
    if copies:
        bank[members // 2 :] = bank[0].clone()
    patches = torch.randn(20, dimension, generator=generator)
    patches[:5] *= outlier
    patches[5:10] = bank[torch.randint(members, (5,), generator=generator)]
    bank, patches = size * (bank + offset), size * (patches + offset)
    check(bank, patches, *NearestSearch(bank)(patches))


def test_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.randn(50, 256, generator=generator)
    bank = corners.repeat(40, 1) + 0.3 * torch.randn(2000, 256, generator=generator)
    patches = corners + 0.3 * torch.randn(50, 256, generator=generator)
    compared = []
    distances = NearestSearch._distances

    def counted(search: NearestSearch, patches: Tensor, row: Tensor, index: Tensor) -> Tensor:
        compared.append(len(index))
        return distances(search, patches, row, index)

    monkeypatch.setattr(NearestSearch, "_distances", counted)
    check(bank, patches, *NearestSearch(bank)(patches))
    assert sum(compared) < 0.02 * 50 * 2000


def test_distances_of_near_copies_keep_their_digits() -> None:
    """As |p|^2 + |m|^2 - 2 pm alone, float32 would lose all of this one."""
    bank = torch.randn(10, 64, generator=torch.Generator().manual_seed(0)) * 100
    patch = bank[3:4] + 1e-3
    distance, index = NearestSearch(bank)(patch)
    assert index.item() == 3
    exact = (patch.double() - bank[3].double()).norm()
    torch.testing.assert_close(distance[0].double(), exact, rtol=1e-2, atol=0)


def test_bank_of_one_vector() -> None:
    search = NearestSearch(torch.ones(1, 4))
    distance, index = search(torch.zeros(2, 4))
    assert distance.tolist() == [2.0, 2.0]
    assert index.tolist() == [0, 0]
    assert search.neighbours(torch.zeros(2, 4), 9).tolist() == [[0], [0]]


def test_of_equally_near_ones_the_first() -> None:
    bank = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    bank[40], bank[59] = bank[7], bank[7]
    _, index = NearestSearch(bank)(bank[40:41] + 0.01)
    assert index.item() == 7


def test_neighbours_are_those_of_a_full_comparison() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = 100 + torch.randn(130, 24, generator=generator)  # far from the origin
    patches = 100 + torch.randn(50, 24, generator=generator)
    expected = torch.cdist(patches.double(), bank.double()).topk(9, dim=1, largest=False)
    assert torch.equal(NearestSearch(bank).neighbours(patches, 9), expected.indices)


def test_runtimes_find_the_same() -> None:
    """By their own 8-bit products, with the largest sums there can be, of either sign."""
    pytest.importorskip("onnx", reason="needs softpatch[export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs softpatch[export]")
    openvino = pytest.importorskip("openvino", reason="needs softpatch[export]")
    generator = torch.Generator().manual_seed(0)
    bank = 100 * torch.randn(300, 256, generator=generator).sign()
    bank[:8] *= 1000  # six standard deviations: with the largest codes in all coordinates
    bank *= 1 + 0.1 * torch.rand(300, 256, generator=generator)
    patches = -bank[:40] * (1 + 0.1 * torch.rand(40, 256, generator=generator))
    patches[20:] = bank[:20] + torch.rand(20, 256, generator=generator)
    outputs, sides = ["distance", "index"], {"patches": {0: "count"}}
    content = to_onnx(NearestSearch(bank).eval(), patches, outputs, sides).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    by_onnx = session.run(None, {"patches": patches.numpy()})
    model = openvino.Core().read_model(io.BytesIO(content))
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_openvino = list(compiled(patches.numpy()).values())
    for found in (by_onnx, by_openvino):
        check(bank, patches, *(torch.from_numpy(np.array(one)) for one in found))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    members=st.integers(1, 3 * GROUP + 1),
    largest=st.sampled_from([0.5, 3.0, 50.0]),
)
def test_no_vector_is_nearer_than_its_floor(seed: int, members: int, largest: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    bank = torch.randn(members, 24, generator=generator)
    patches = torch.cat([torch.randn(20, 24, generator=generator), bank[:5]])
    floors = largest * torch.rand(members, generator=generator)
    floors[torch.rand(members, generator=generator) < 0.5] = 0
    distance, index = NearestSearch(bank, floors)(patches)
    reached = torch.maximum(torch.cdist(patches.double(), bank.double()), floors.double())
    torch.testing.assert_close(distance.double(), reached.amin(dim=1), rtol=1e-5, atol=1e-4)
    found = reached.gather(1, index.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, reached.amin(dim=1), rtol=1e-5, atol=1e-4)
