"""What a fit will take, before it begins: time, memory, temporary space, size of the model.

A few images are embedded and a few positions scored, here and now, and scaled up. Only the coreset
cannot be tried on a few: its cost grows with the square of the patches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from softpatch.bank.bounds import number_format, row_length
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.support import COORDINATES
from softpatch.calling.threshold import MOST_HELD_OUT
from softpatch.compute.progress import silent
from softpatch.compute.scratch import RESERVE, ScratchSpace, resident_bytes
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.comparison import compared_length
from softpatch.detectors.embedder import Embedder
from softpatch.detectors.look_alikes import KEPT
from softpatch.detectors.patch_table import LocalPatches, require_images
from softpatch.detectors.reservoir import DIMENSION, reservoir_size
from softpatch.detectors.run import Run
from softpatch.detectors.supported import withheld_images
from softpatch.errors import ImageError
from softpatch.features.embedding import PatchEmbedding
from softpatch.images.decode import decode_image
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import (
    Images,
    ignore_unreadable,
    listed_sources,
    spread,
)
from softpatch.noise.discriminators import Discriminator
from softpatch.noise.policy import NoisePolicy
from softpatch.noise.position_free import PositionFree, ReferenceImages

PROBE_IMAGES = 8
PROBE_POSITIONS = 4  # that tell what the discriminator will take
# Time of a pair of patch and pick, as a share of the product of their rows: looking at the products
# and at few picks at a time costs as much again.
PAIR_SHARE = 2.0
# Of the time of scoring all patches of an image: its worst ones without its own vectors take half
# to two thirds; all of them and the worst ones by every rule for floors, twice that time.
WORST_SHARE = 0.6
RULES_SHARE = 2.0


@dataclass(frozen=True)
class FitCost:
    """What a method's own steps will take.

    Attributes:
        seconds: by step, as progress names them.
        arrays: bytes of the large arrays beside the patches, which may be spilled.
        model: bytes of the fitted state.
    """

    seconds: dict[str, float]
    arrays: list[int]
    model: int


@dataclass(frozen=True)
class Estimate:
    """What a fit will take.

    Attributes:
        images: training pictures that can be read, by the share of those looked at.
        patches: of all of them.
        seconds: by step.
        memory: bytes resident at most.
        scratch: bytes of temporary files.
        model: bytes of the model file.
        seen: (height, width) of what the network is shown of a picture, or of a tile.
        pixel: (height, width) of one pixel so seen, in pixels of the first picture.
        looked_at: training pictures that were opened, spread over all.
        unreadable: of those, how many cannot be read.
    """

    images: int
    patches: int
    seconds: dict[str, float]
    memory: int
    scratch: int
    model: int
    seen: tuple[int, int]
    pixel: tuple[float, float]
    looked_at: int
    unreadable: int

    @property
    def total_seconds(self) -> float:
        """Of all steps."""
        return sum(self.seconds.values())


def estimate(
    embedder: Embedder, images: Images, cost: Callable[[LocalPatches, int], FitCost], run: Run
) -> Estimate:
    """See ``Detector.estimate``; ``cost`` is what a method's own steps take."""
    every = listed_sources(images)
    require_images(every, 0, least=1)
    probed, unreadable = _probed(every)
    looked_at = len(probed) + len(unreadable)
    readable = round(len(every) * len(probed) / looked_at)
    with torch.inference_mode():
        embedder.collect(probed[:1] * 2, ignore_unreadable, run)  # warms up
        started = time.perf_counter()
        sample = embedder.collect(probed, ignore_unreadable, run)
        embed = (time.perf_counter() - started) / len(sample.names)
        expected = cost(sample, readable)
    patches = len(sample.flat) * readable // len(sample.names)
    limit = run.scratch.limit
    memory, scratch = memory_and_scratch([4 * patches * sample.shape[2], *expected.arrays], limit)
    return Estimate(
        images=readable,
        patches=patches,
        seconds={"embed": embed * readable, **expected.seconds},
        memory=memory,
        scratch=scratch,
        model=expected.model,
        seen=embedder.extractor.preprocessing.crop,
        pixel=(1 / sample.layouts[0].rows.scale, 1 / sample.layouts[0].columns.scale),
        looked_at=looked_at,
        unreadable=len(unreadable),
    )


def _probed(every: Sequence[ImageSource]) -> tuple[list[ImageSource], list[ImageError]]:
    """A few images that can be read, spread over all; and those on the way that cannot.

    Raises:
        DatasetError: fewer than a fit needs can be read.
    """
    probed: dict[int, ImageSource] = {}
    unreadable: list[ImageError] = []
    for place in spread(len(every), PROBE_IMAGES):
        source = every[place]
        try:
            decode_image(source.content, source.name)
        except ImageError as error:
            unreadable.append(error)
        else:
            probed[place] = source
            if len(probed) == PROBE_IMAGES:
                break
    require_images(list(probed), len(unreadable), least=2)
    return [probed[place] for place in sorted(probed)], unreadable


def bank_cost(
    sample: LocalPatches,
    images: int,
    options: BankOptions,
    noise: tuple[NoisePolicy, PatchEmbedding] | None,
) -> FitCost:
    """Of a fit with a memory bank, on that many images like those of the sample.

    ``noise``: what is done about it, and what of patches is compared for that; None does nothing.
    """
    patches = len(sample.flat) * images // len(sample.patches)
    picks = options.coreset_size(patches)
    steps, arrays = {}, []
    if not options.at_random:
        length = row_length(sample.flat.cpu())
        steps["coreset"] = coreset_seconds(patches, picks, length)
        arrays.append(length * number_format(torch.device("cpu")).itemsize * patches)
    if options.max_false_alarms:
        steps["calibrate"] = search_seconds(sample, min(images, MOST_HELD_OUT), picks)
    cost = FitCost(
        seconds=steps,
        arrays=arrays,
        model=4 * picks * (sample.shape[2] + 1),
    )
    if noise is None:
        return cost
    policy, embedding = noise
    return _with_noise(cost, sample, images, policy.discriminator, embedding)


def _with_noise(
    cost: FitCost,
    sample: LocalPatches,
    images: int,
    discriminator: Discriminator,
    embedding: PatchEmbedding,
) -> FitCost:
    """With outlier scores and the reservoir; random numbers cost what patches do."""
    positions, dimension = sample.shape[1], compared_length(discriminator, embedding)
    device = sample.patches.device
    arrays = cost.arrays
    if not discriminator.by_position:
        arrays = [4 * images * positions * dimension, *arrays]
    if isinstance(discriminator, PositionFree):
        one = torch.rand(positions, dimension, device=device)
        references = len(discriminator.chosen(images, positions))
        samples = torch.rand(references, discriminator.sampled(positions), dimension)
        memory = ReferenceImages(samples.to(one))
        scored = seconds(lambda: memory.to_similar(one))
        taken = references * seconds(lambda: discriminator.sample(one)) + images * scored
    else:
        few = torch.rand(min(positions, PROBE_POSITIONS), images, dimension, device=device)
        taken = positions / len(few) * seconds(lambda: discriminator(few, silent))
    kept = min(dimension, DIMENSION)
    half = 2 * reservoir_size(images, positions, dimension) * positions * kept
    return replace(
        cost,
        seconds={"discriminate": taken, **cost.seconds},
        arrays=arrays,
        model=cost.model + half + 4 * dimension * kept,
    )


def supported_cost(sample: LocalPatches, images: int, options: BankOptions) -> FitCost:
    """Of a bank with floors."""
    cost = bank_cost(sample, images, replace(options, max_false_alarms=None), None)
    patches = len(sample.flat) * images // len(sample.patches)
    picks = options.coreset_size(patches)
    an_image = search_seconds(sample, 1, picks)
    withheld = len(withheld_images(images))
    seconds = {
        **cost.seconds,
        "support": coreset_seconds(patches, picks, COORDINATES) + RULES_SHARE * an_image * withheld,
        "hold out": WORST_SHARE * an_image * images,
    }
    # The picture and place of each vector, and one other picture and its distance.
    support = picks * (8 + 8 + 12)
    look_alikes = min(KEPT, len(sample.patches) * images // len(sample.names)) * 4 * sample.shape[2]
    return replace(cost, seconds=seconds, model=cost.model + support + look_alikes)


def search_seconds(sample: LocalPatches, images: int, vectors: int) -> float:
    """Of scoring that many images by so many vectors."""
    few = MemoryBank(sample.flat, sample.flat.new_ones(len(sample.flat)))
    return images * seconds(lambda: few.nearest(sample.patches[0])) * vectors / len(few)


def coreset_seconds(members: int, picks: int, length: int) -> float:
    """Of picking so many of so many patches with sketches of that length, at the speed this machine
    multiplies matrices.
    """
    side = 2048
    dtype = number_format(torch.device("cpu"))
    left, right = torch.ones(side, length, dtype=dtype), torch.ones(length, side, dtype=dtype)
    pair = seconds(lambda: left @ right) / side**2
    return PAIR_SHARE * pair * members * picks


def seconds(work: Callable[[], object]) -> float:
    """Of the second call: the first one also warms up."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory_and_scratch(arrays: list[int], limit: int | None) -> tuple[int, int]:
    """Bytes resident at most and bytes spilled of arrays made one after another."""
    allowed = ScratchSpace(limit).limit
    resident = resident_bytes() + RESERVE
    scratch = 0
    for size in arrays:
        if resident + size <= allowed:
            resident += size
        else:
            scratch += size
    return (max(resident, allowed) if scratch else resident), scratch
