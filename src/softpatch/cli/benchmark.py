"""``softpatch benchmark``: a grid of experiments that can be killed and goes on."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli import inputs, options
from softpatch.cli.options import argument, flag, option, to_output
from softpatch.cli.terminal import Display, note, say
from softpatch.errors import DatasetError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from softpatch.benchmark.grid import Grid
    from softpatch.benchmark.results import Row
    from softpatch.benchmark.run import Runner, RunSettings

of_grid = partial(option, panel="What to run")
FEATURES = "features"  # folder of the cache below the results


@options.reads_pictures
def benchmark(
    grid: Path | None = argument("A grid in YAML; the options below replace its keys.", None),
    recipe: str | None = of_grid(
        "A grid that comes along: paper-mvtec, paper-btad, ablation, prevalence, robust, realism "
        "or truth."
    ),
    data: list[str] | None = of_grid("Folder that holds categories, or elpv; may be given again."),
    layout: str | None = of_grid("Of the data.  [recognised]"),
    categories: str | None = of_grid("Such as bottle,cable.  [all]"),
    methods: str | None = of_grid(
        "Such as softpatch-lof,patchcore,random-ensemble; oracle is PatchCore without the added "
        "pictures."
    ),
    noise: list[float] | None = of_grid("Shares, such as 0,0.1."),
    policy: str | None = of_grid("overlap, no-overlap or both."),
    kinds: str | None = of_grid("Of contamination.  [defects]"),
    seeds: list[int] | None = of_grid("Such as 0,1,2.  [0]"),
    presets: str | None = of_grid("Backbones, such as edge,paper."),
    pixel_at: str | None = of_grid("Where pixel metrics are taken: input or native.  [input]"),
    set_: list[str] | None = of_grid(
        "An option of every method, such as tau=0.1; tau=0.1,0.2 runs both.", "--set"
    ),
    allow_empty_masks: bool = flag(
        "--allow-empty-masks", "Go on where a defective picture's mask marks nothing."
    ),
    output: Path = to_output(
        "Folder of the results; goes on where it was.", Path("softpatch-benchmark")
    ),
    cache: Path | None = option("Folder of the features, to share.  [OUTPUT/features]"),
    cache_limit: int = option("What the features may take; the oldest make room.", default="20GB"),
    no_cache: bool = flag("--no-cache", "Compute all features anew."),
    jobs: int = option("Fits at a time; they share the cores.", "--jobs", "-j", default=1),
    device: str = options.Running.device,
    memory_limit: int | None = options.Running.memory_limit,
    engine: str = inputs.ENGINE,
    address: str | None = inputs.ADDRESS,
) -> None:
    """Run a grid of experiments: data sets × methods × noise × policies × seeds.

    Needs the extra: pip install 'softpatch[benchmark]'

    OUTPUT/results.csv gets one row a cell. A run that was stopped goes on when it is started
    again. Exit code 1 if a cell failed; a noise ratio for which the defects do not suffice is no
    failure, and named.

    Examples:
    softpatch benchmark --recipe prevalence --data mvtec/ --categories bottle -o out

    softpatch benchmark --data mvtec/ --methods softpatch-lof,patchcore --noise 0,0.1 --seeds 0,1

    softpatch benchmark grid.yaml -o out; softpatch report out

    softpatch benchmark grid.yaml -o /shared/out --engine ray --address auto
    """
    from softpatch.benchmark.results import BEGINNINGS, CELLS, MANIFESTS
    from softpatch.runtime.targets import check_folder, check_results

    inputs.check_engine(engine, address)
    check_results(output, BEGINNINGS)
    kept = () if no_cache else (cache or output / FEATURES,)
    for folder in (output / CELLS, output / MANIFESTS, *kept):
        check_folder(folder)
    if grid is not None and recipe is not None:
        raise UsageError("give a grid file or --recipe, not both")
    flags = {
        "data": data,
        "layout": layout,
        "categories": _split(categories),
        "methods": _split(methods),
        "noise": noise,
        "policies": ["overlap", "no-overlap"] if policy == "both" else _split(policy),
        "kinds": _split(kinds),
        "seeds": seeds,
        "pixel_at": pixel_at,
        "features": [{"preset": name} for name in _split(presets) or []] or None,
    }
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("yaml", "sklearn", "scipy")):
        raise MissingExtraError("benchmark", "softpatch benchmark")
    from softpatch.benchmark.grid import load_yaml, read_grid
    from softpatch.benchmark.recipes import recipe_path

    path = recipe_path(recipe) if recipe else grid
    content = load_yaml(path) if path is not None else {}
    content |= {key: value for key, value in flags.items() if value}
    if set_:
        content["options"] = {**(content.get("options") or {}), **_options(set_)}

    import torch

    from softpatch.benchmark.run import RunSettings, run_fits

    settings = RunSettings(
        output=output,
        features=None if no_cache else cache or output / FEATURES,
        features_limit=cache_limit,
        device=device,
        memory_limit=memory_limit,
        jobs=jobs,
        threads=torch.get_num_threads(),
        allow_empty_masks=allow_empty_masks,
    )
    runner: Runner = run_fits
    if engine == "ray":
        if jobs != 1:
            raise UsageError("--engine ray takes no --jobs")
        from softpatch.distributed.benchmark import run_on_cluster

        runner = partial(run_on_cluster, address=address)
    if _run(read_grid(content), settings, runner, shlex.join(["softpatch", *sys.argv[1:]])):
        raise typer.Exit(1)


def _run(grid: Grid, settings: RunSettings, runner: Runner, command: str) -> bool:
    """Whether a cell failed."""
    from softpatch.benchmark.plan import plan, read_category
    from softpatch.benchmark.results import FAILED, RESULTS
    from softpatch.benchmark.run import run_cells
    from softpatch.benchmark.setting import write_setting
    from softpatch.datasets import remarks

    cells = plan(grid)
    for place in dict.fromkeys((cell.root, cell.layout, cell.category) for cell in cells):
        with suppress(DatasetError):  # the cells say so
            for line in remarks(read_category(*place)):
                note(f"{place[-1]}: {line}")
    settings.output.mkdir(parents=True, exist_ok=True)
    write_setting(settings.output, grid, len(cells), command)
    with Display("cells", len(cells), settings.output) as display:

        def finished(rows: Sequence[Row]) -> None:
            display.finished([f"{_name(row)}: {_outcome(row)}" for row in rows])

        rows = run_cells(cells, settings, finished=finished, progress=display.step, runner=runner)
    counts = Counter(row["status"] for row in rows)
    say(", ".join(f"{count} {status}" for status, count in counts.items()))
    output = settings.output
    say(f"wrote {output / RESULTS}; softpatch report {output} makes a page of it")
    return FAILED in counts


def _name(row: Row) -> str:
    options = "" if row["options"] == "{}" else f" {row['options']}"
    return (
        f"{row['category']} {row['method']}{options}, {row['kind']} {row['noise']:g} "
        f"{row['policy']}, seed {row['seed']}"
    )


def _outcome(row: Row) -> str:
    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    image, pixel = (
        "-" if row[key] is None else f"{row[key]:.3f}" for key in ("image_auroc", "pixel_auroc")
    )
    note = f" ({row['reason']})" if row["reason"] else ""
    return f"image AUROC {image}, pixel AUROC {pixel}{note}"


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text is not None else None


def _options(settings: Sequence[str]) -> dict[str, Any]:
    """``tau=0.1,0.2`` -> ``{"tau": [0.1, 0.2]}``; values as in YAML."""
    import yaml

    chosen = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set takes NAME=VALUE, got {setting!r}")
        try:
            values = [yaml.safe_load(part) for part in value.split(",")]
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting}: {value!r} is no value") from error
        name = name.replace("-", "_")
        chosen[name] = value if name == "layers" else values if len(values) > 1 else values[0]
    return chosen
