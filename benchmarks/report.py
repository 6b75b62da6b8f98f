"""``benchmarks/results/*.json`` -> ``benchmarks/results/README.md``. No figure is typed by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.markdown import figure, number, table, text
from benchmarks.processes import RESULTS

TITLE = """# Benchmark results

Written by `python -m benchmarks.report` from the JSON files beside it. Ratios above 1 mean
softpatch is ahead. Times are by the clock, memory is resident memory. *Other work* is how many
cores other processes kept busy meanwhile; above about 0.1 the times are worth little.
"""

ROUTES = """All routes get the same pictures through the same reader, the same backbone with the
same weights, and a bank of the same share of their patches. They are not the same method:

- `released` restates the authors' released code (`benchmarks/reference/released.py`): outlier
  scores and coreset on a random projection, a scikit-learn LOF per position, one pass over all
  patches for every pick, flat search in faiss. `softpatch` does the same on the patches
  themselves, exactly; its coreset works on vectors that much longer.
- `anomalib` is its PatchCore torch model without the trainer. It has no noise discriminator, so
  one step less. Its patches are plain averages of the backbone's channels, its coreset works on a
  random projection, its image score looks at neighbours of the nearest vector.
- `anomalib` learns from every third picture, as its coreset was not through with 229 in 20 minutes;
  `softpatch-100` is what it is compared with.
- `softpatch-bf16` lets the network compute in 8 significant bits, which no peer does here;
  `softpatch-1gb` is given a memory limit of 1 GB, imports and network included.
- `softpatch-openvino` and `softpatch-int8` predict by files exported for OpenVINO, the latter with
  the network's convolutions in 8 bits; they fit as `softpatch` does, and
  the export is part of their fit.
- Peak memory is that of the process while it fits and predicts, *before fit* what the imports and
  the network take of it.
- *Directions* is how many principal directions hold 99 % of the variance of softpatch's bank. In
  a network with random weights as timm draws them no residual block adds anything, and there are
  few: softpatch's coreset and search then skip more than with trained weights, while the peers'
  work does not depend on it. `--weights calibrated` draws weights without that advantage.
"""

STEPS = """One process, patches of EfficientNet-Lite0, nothing projected. Where a peer did only a
part, its time for all is that part's, scaled up by position or by pick. *Agreement* is the largest
relative difference of the outlier scores; how many of the first picks are the same (the naive rule
works in float32, where a near tie may fall the other way); the share of patches with the same
nearest vector. Memory is what the step adds at its peak; for the search it is the structure
searched in, whose building is not part of the time.
"""

GROWTH = """Preset `edge` with `lof` and the paper's crop, 256 to 224. The pictures are the
category's, repeated with small shifts, another brightness and fresh noise, made when asked for.
Each size has a process of its own.
"""

FLOOR = """What no route can be faster or smaller than, as long as it reads these pictures and runs
this network through torch: reading and the network alone, and what the libraries and the network
take before any picture is read.
"""

TILES = """Preset `edge`, tiles of 512 pixels; the pictures are made up when they are read. Scores
of a good picture and of one with a scratch 400 pixels long.
"""

AGREEMENT = ("largest_relative_difference", "first_picks_the_same", "share_the_same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    folder = parser.parse_args().results
    sections = {
        "latest": routes_section,
        "floor": floor_section,
        "steps": steps_section,
        "growth": growth_section,
        "tiles": tiles_section,
    }
    parts = [TITLE]
    for name, section in sections.items():
        file = folder / f"{name}.json"
        if file.is_file():
            parts += section(json.loads(file.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("\n".join(parts))


def routes_section(result: dict[str, Any]) -> list[str]:
    rows = [{"route": name, **route} for name, route in result["routes"].items()]
    ran = [row for row in rows if "skipped" not in row]
    times = {
        "route": text("route"),
        "pictures": number("images"),
        "embed s": number("steps", "embed"),
        "discriminate s": number("steps", "discriminate"),
        "coreset s": number("steps", "coreset"),
        "fit s": number("fit_seconds"),
        "predict s/picture": number("predict_seconds"),
        "before fit MB": number("memory_before_fit_mb"),
        "peak MB": number("peak_memory_mb"),
        "other work, cores": number("other_work_cores"),
    }
    shapes = {
        "route": text("route"),
        "vectors in the bank": number("bank"),
        "their length": number("dimension"),
        "projected for outliers": number("discriminate_dimension"),
        "projected for the coreset": number("coreset_dimension"),
        "neighbours": number("neighbours"),
        "directions": number("directions"),
    }
    ratios = [{"ratio": name, "value": value} for name, value in result["ratios"].items()]
    images = max((row["images"] for row in ran), default=0)
    return [
        "## Fit and predict, beside the released route and anomalib\n",
        measured_on(result),
        f"At most {images} training pictures of `{result['category']}`, some of them defective; "
        f"`{result['backbone']}`, {result['weights']} weights; {result['predicted']} test pictures "
        "predicted one by one, the median.\n",
        table(times, ran),
        table({"ratio": text("ratio"), "": number("value")}, ratios),
        table(shapes, ran),
        *(f"`{row['route']}` did not run: {row['skipped']}.\n" for row in rows if "skipped" in row),
        *(f"`{row['route']}` (few pictures): {row['note']}.\n" for row in rows if "note" in row),
        ROUTES,
    ]


def floor_section(result: dict[str, Any]) -> list[str]:
    fit, predict = result["fit"], result["predict"]
    rows = [
        {"what": "fit", "all": fit["seconds"], "floor": fit["reading_and_network_seconds"]},
        {
            "what": "predict a picture",
            "all": predict["seconds"],
            "floor": predict["decode_seconds"] + predict["network_seconds"],
        },
    ]
    columns = {
        "": text("what"),
        "softpatch s": number("all"),
        "reading and network s": number("floor"),
        "share": lambda row: f"{row['floor'] / row['all']:.0%}",
    }
    parts = {
        "decode s": number("decode_seconds"),
        "network s": number("network_seconds"),
        "search s": number("search_seconds"),
    }
    coreset = {**fit["coreset_parts"], "all": fit["steps"]["coreset"]}
    memory = result["memory"]["libraries_and_network_mb"]
    return [
        "## The floor\n",
        measured_on(result),
        f"{result['images']} training pictures of `{result['category']}`, "
        f"`{result['backbone']}` with random weights. The process has {figure(memory)} MB before "
        f"the first picture is read. Other work: {figure(result['other_work_cores'])} cores.\n",
        table(columns, rows),
        "The parts of a prediction:\n",
        table(parts, [predict]),
        "The parts of the coreset, by the names in `coreset_distances.py`:\n",
        table({f"{name} s": number(name) for name in coreset}, [coreset]),
        FLOOR,
    ]


def steps_section(result: dict[str, Any]) -> list[str]:
    categories = result["categories"]
    rows = [
        {
            "category": name,
            "step": step,
            "ratio": category["ratios"][f"{step}_vs_{numbers['peer']}"],
            "agreement": next(f"{numbers[key]:.3g}" for key in AGREEMENT if key in numbers),
            **numbers,
        }
        for name, category in categories.items()
        for step, numbers in category["steps"].items()
    ]
    columns = {
        "category": text("category"),
        "step": text("step"),
        "softpatch s": number("seconds"),
        "peer": text("peer"),
        "peer s": number("peer_seconds"),
        "ratio": number("ratio"),
        "peer measured on": text("peer_measured"),
        "agreement": text("agreement"),
        "softpatch MB": number("extra_memory_mb"),
        "peer MB": number("peer_extra_memory_mb"),
    }
    sizes = (
        f"`{name}`: {category['images']} pictures, bank of {figure(category['bank'])}, "
        f"other work {figure(category['other_work_cores'])} cores"
        for name, category in categories.items()
    )
    return [
        "## Single steps, beside scikit-learn, a naive greedy and faiss\n",
        measured_on(result),
        "; ".join(sizes) + ".\n",
        table(columns, rows),
        STEPS,
    ]


def growth_section(result: dict[str, Any]) -> list[str]:
    columns = {
        "pictures": number("images"),
        "embed s": number("steps", "embed"),
        "of it making pictures s": number("making_pictures_seconds"),
        "discriminate s": number("steps", "discriminate"),
        "coreset s": number("steps", "coreset"),
        "fit s": number("fit_seconds"),
        "s/picture": number("seconds_per_image"),
        "bank": number("bank"),
        "before fit MB": number("memory_before_fit_mb"),
        "peak MB": number("peak_memory_mb"),
        "other work, cores": number("other_work_cores"),
    }
    options = result["sizes"][0]["options"]
    given = ", ".join(f"`{name}={value:_}`" for name, value in options.items()) or "none given"
    return [
        "## Growth of the training set\n",
        measured_on(result),
        f"Options: {given}; the others at their defaults unless said.\n",
        table(columns, result["sizes"]),
        GROWTH,
    ]


def tiles_section(result: dict[str, Any]) -> list[str]:
    columns = {
        "width": number("width"),
        "height": number("height"),
        "tiles": number("tiles"),
        "pictures": number("images"),
        "fit s": number("fit_seconds"),
        "predict s/picture": number("predict_seconds"),
        "limit MB": number("memory_limit_mb"),
        "before fit MB": number("memory_before_fit_mb"),
        "peak MB": number("peak_memory_mb"),
        "good": number("good_score"),
        "scratched": number("scratched_score"),
    }
    return ["## Large pictures\n", measured_on(result), table(columns, result["sizes"]), TILES]


def measured_on(result: dict[str, Any]) -> str:
    """The command, and the machine it ran on."""
    machine = result["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    memory = machine["memory_mb"]
    return (
        f"```sh\n{result['command']}\n```\n\n"
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{figure(memory / 1000 if memory else None)} GB; torch on {machine['torch_threads']} "
        f"threads, MKL on {machine['mkl_threads']}. "
        f"Python {machine['python']}, {versions}.\n"
    )


if __name__ == "__main__":
    main()
