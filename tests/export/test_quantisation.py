"""An exported network in 8 bits: only its convolutions, and about the same scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softpatch import SoftPatch, UsageError
from softpatch.export import export_model
from softpatch.export.quantisation import quantise
from softpatch.runtime.engine import OPENERS
from softpatch.runtime.exported import Exported
from tests.detectors.pictures import new_pictures

onnx = pytest.importorskip("onnx", reason="needs softpatch[export]")
openvino = pytest.importorskip("openvino", reason="needs softpatch[export]")


@pytest.fixture(scope="module")
def softened(small_pictures: Path) -> SoftPatch:
    detector = SoftPatch(discriminator="lof", resize=64, crop=64, dimension=64)
    return detector.fit(small_pictures)


@pytest.fixture(scope="module")
def exported(softened: SoftPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    softened.save(folder / "softened.softpatch")
    export_model(
        folder / "softened.softpatch", folder / "softened.onnx", pictures=[], threshold=1.0
    )
    return folder / "softened.onnx"


@pytest.fixture(scope="module")
def quantised(exported: Path) -> Any:
    return quantise(onnx.load(exported), new_pictures(4))


def weights_of(model: Any) -> dict[str, Any]:
    """What each convolution is given as weights: a tensor, or the node that makes it."""
    made = {node.output[0]: node.op_type for node in model.graph.node}
    return {
        node.name: (node.input[1], made.get(node.input[1]))
        for node in model.graph.node
        if node.op_type == "Conv"
    }


def test_the_network_s_convolutions_but_the_first_are_in_8_bits(
    exported: Path, quantised: Any
) -> None:
    before, after = weights_of(onnx.load(exported)), weights_of(quantised)
    of_network = [name for name, (weight, _) in before.items() if weight.startswith("backbone.")]
    in_8_bits = [name for name, (_, made) in after.items() if made == "DequantizeLinear"]
    assert len(of_network) > 20
    assert in_8_bits == of_network[1:]
    assert before.keys() == after.keys()
    [entry] = [entry for entry in quantised.metadata_props if entry.key == "softpatch"]
    assert '"threshold": 1.0' in entry.value


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_scores_stay_near(suffix: str, quantised: Any, softened: SoftPatch, tmp_path: Path) -> None:
    file = tmp_path / f"part{suffix}"
    onnx.save_model(quantised, tmp_path / "part.onnx")
    if suffix == ".xml":
        openvino.save_model(openvino.Core().read_model(tmp_path / "part.onnx"), file)
    batch = np.stack(new_pictures(3))
    weights = file.with_suffix(".bin").read_bytes() if suffix == ".xml" else b""
    run, _ = OPENERS[suffix](file, Exported(file.read_bytes(), weights, checked=False), None)
    found = run(batch)["score"]
    expected = [one.score for one in softened.predict(list(batch))]
    np.testing.assert_allclose(found, expected, rtol=0.3)
    assert not np.allclose(found, expected, rtol=1e-4)


def test_network_without_convolutions_is_refused(exported: Path) -> None:
    model = onnx.load(exported)
    for node in model.graph.node:
        if node.op_type == "Conv":
            node.input[1] = f"other.{node.input[1]}"
    with pytest.raises(UsageError, match="int8 is for networks of convolutions"):
        quantise(model, new_pictures(1))
