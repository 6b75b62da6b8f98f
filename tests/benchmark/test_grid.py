"""What a grid says, and how it refuses what makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from softpatch.benchmark.grid import Method, load_yaml, read_grid
from softpatch.benchmark.recipes import recipe_names, recipe_path
from softpatch.errors import UsageError


def test_a_list_of_values_gives_one_method_each() -> None:
    methods = [{"method": "softpatch-lof", "tau": [0.1, 0.2], "k": 3}, "oracle"]
    grid = read_grid({"data": "d", "methods": methods, "features": [{}, {"preset": "dino"}]})
    assert grid.methods == (
        Method("softpatch-lof", (("k", 3), ("tau", 0.1))),
        Method("softpatch-lof", (("k", 3), ("tau", 0.2))),
        Method("softpatch-lof", (("k", 3), ("preset", "dino"), ("tau", 0.1))),
        Method("softpatch-lof", (("k", 3), ("preset", "dino"), ("tau", 0.2))),
        Method("oracle"),
        Method("oracle", (("preset", "dino"),)),
    )
    assert grid.methods[0].variant == "k=3, tau=0.1"


def test_a_methods_own_options_win_over_the_shared_ones() -> None:
    methods = ["patchcore", {"method": "patchcore", "coreset_ratio": 0.5}]
    grid = read_grid({"data": "d", "methods": methods, "options": {"coreset_ratio": 0.1}})
    assert [dict(method.options) for method in grid.methods] == [
        {"coreset_ratio": 0.1},
        {"coreset_ratio": 0.5},
    ]


def test_options_are_read_as_on_the_command_line() -> None:
    method = Method("patchcore", (("layers", "a,b"), ("resize", "256x512"), ("crop", 224)))
    assert method.arguments == {"layers": ("a", "b"), "resize": (256, 512), "crop": 224}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no data"),
        ({"data": "d", "method": ["padim"]}, "no key 'method'"),
        ({"data": "d", "methods": ["softpach"]}, "no method is called 'softpach'"),
        ({"data": "d", "methods": [["lof"]]}, r"no method is called \['lof'\]"),
        ({"data": "d", "methods": [{"method": "padim", "tau": 0.1}]}, "padim has no option 'tau'"),
        ({"data": "d", "methods": [{"method": "patchcore", "seed": 1}]}, "seed is no option"),
        ({"data": "d", "methods": [{"method": "softpatch", "tau": 2}]}, "tau must lie in"),
        ({"data": "d", "methods": [{"method": "softpatch", "tau": "much"}]}, "tau must lie in"),
        ({"data": "d", "options": [1]}, "options: expected options"),
        ({"data": "d", "noise": [-0.1]}, r"noise must lie in \[0, 1000\]"),
        ({"data": "d", "noise": ["much"]}, r"noise must lie in \[0, 1000\]"),
        ({"data": "d", "noise": [float("nan")]}, r"noise must lie in \[0, 1000\]"),
        ({"data": "d", "seeds": [0.5]}, "seeds must be a whole number"),
        ({"data": "d", "seeds": []}, "seeds: is empty"),
        ({"data": "d", "policies": ["both"]}, "policies: 'both' is none of"),
        ({"data": "d", "kinds": ["rust"]}, "kinds: 'rust' is none of"),
        ({"data": "d", "pixel_at": "far"}, "pixel_at: 'far' is none of"),
        ({"data": [{"folder": "d"}]}, "data: expected a folder"),
    ],
)
def test_what_a_grid_cannot_say(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_grid(content)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\tx: 1"])
def test_a_file_that_is_no_grid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"grid\.yaml"):
        load_yaml(path)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name: str) -> None:
    grid = read_grid(load_yaml(recipe_path(name)) | {"data": "d"})
    assert grid.methods
    assert grid.title != "Benchmark"


def test_the_recipes() -> None:
    assert recipe_names() == [
        "ablation", "paper-btad", "paper-mvtec", "prevalence", "realism", "robust", "truth",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no recipe is called 'abl'"):
        recipe_path("abl")
