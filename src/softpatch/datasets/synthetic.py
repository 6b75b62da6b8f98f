"""A seeded, plainly labelled *synthetic* factory line, for `make demo` without any pictures.

Every picture shows the same turned aluminium flange from above: bevelled rim, raised hub with a
keyed bore, six countersunk bolt holes and an engraved mark, on a ribbed rubber belt. Pose, light,
turning marks, belt and camera vary a little between pictures.

How it is drawn: distances to the part's outlines give a height field whose edges are smooth ramps,
so that nothing is jagged or needs supersampling; a defect edits that surface; one shader lights it,
with the anisotropic highlights of turned metal; a camera blurs and adds noise.

Lengths are in half pictures: the frame spans 2, the part's radius is 0.8. Unless stated otherwise
an array is (size, size) float32, one value per pixel.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Lamp = tuple[float, float, float]
Point = tuple[float, float]

DEFECT_KINDS: tuple[str, ...] = ("scratch", "stain", "chip", "missing_hole")

_SPLITS, _KINDS = ("train", "test"), ("good", *DEFECT_KINDS)
_RIM, _HUB, _BORE = 0.80, 0.36, 0.18  # radii
_HOLES, _HOLE_CIRCLE, _HOLE = 6, 0.58, 0.070  # number and radii of the bolt holes
_SINK, _WALL = 0.026, 0.018  # widths, seen from above, of a hole's countersink and lit wall
_ALUMINIUM = np.array([0.93, 0.95, 0.98], np.float32)
_RUBBER = np.array([0.90, 1.00, 1.05], np.float32)
_LABEL = """\
These pictures are synthetic: no camera took them and no factory made these parts.
softpatch generated them, defects and masks included, by

    make_product_line(root, {call})

They are there to try the program out. A score on them says nothing about real parts.
"""


def make_product_line(
    root: Path | str,
    *,
    n_train: int = 120,
    n_test_good: int = 30,
    n_per_defect: int = 12,
    image_size: int = 288,
    seed: int = 0,
) -> Path:
    """Write an MVTec-layout tree of synthetic pictures and return `root`.

    Pictures are RGB PNGs of `image_size` pixels a side; masks are mode L, 255 on the defect and 0
    elsewhere. The same arguments write the same bytes, and a picture depends only on the seed, its
    size and its path in the tree, not on the counts. The tree appears complete or not at all.
    """
    counts = {"n_train": n_train, "n_test_good": n_test_good, "n_per_defect": n_per_defect}
    arguments = {**counts, "image_size": image_size, "seed": seed}
    for name, value in arguments.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    if image_size < 64:
        raise ValueError(f"image_size must be at least 64 pixels, got {image_size}")
    target = Path(root).resolve()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{root} exists and is not empty: remove it or name another folder")

    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as workshop:
        tree = Path(workshop) / target.name
        tree.mkdir()
        call = ", ".join(f"{name}={value}" for name, value in arguments.items())
        (tree / "SYNTHETIC.txt").write_text(_LABEL.format(call=call), encoding="utf-8")
        batches = [("train", "good", n_train), ("test", "good", n_test_good)]
        batches += [("test", kind, n_per_defect) for kind in DEFECT_KINDS]
        for split, kind, count in batches:
            for index in range(count):
                key = (seed, _SPLITS.index(split), _KINDS.index(kind), index)
                picture, mask = _photograph(key, image_size, kind)
                _save(picture, tree / split / kind / f"{index:03d}.png")
                if kind != "good":
                    _save(mask, tree / "ground_truth" / kind / f"{index:03d}_mask.png")
        if target.exists():
            target.rmdir()  # empty, as checked: Windows does not rename onto a folder
        tree.rename(target)
    return Path(root)


def _save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Run-length matching compresses noisy pictures as well as zlib's default, three times as fast.
    Image.fromarray(pixels).save(path, compress_type=zlib.Z_RLE)


def _photograph(key: tuple[int, ...], size: int, kind: str) -> tuple[Pixels, Pixels]:
    """One picture, (size, size, 3), and its defect's mask, (size, size) of 0 and 255.

    Part, defect, light and camera draw from separate streams, so that the same key with kind
    "good" shows the same part without the defect.
    """
    streams = np.random.SeedSequence(key).spawn(4)
    part, flaw, light, camera = (np.random.default_rng(stream) for stream in streams)
    view = _place(size, part)
    surface = _machine(view)
    mask = np.zeros((size, size), np.bool_)
    if kind != "good":
        mask = _DEFECTS[kind](surface, view, flaw)
    picture = _expose(_shade(surface, view, part, light), view, camera)
    return picture, np.where(mask, 255, 0).astype(np.uint8)


# --- the sound part -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """Coordinates of each pixel from the part's centre."""

    pixel: float  # a pixel's side
    x: Array  # along the picture's axes, y downwards
    y: Array
    u: Array  # along the part's own axes, which turn with it
    v: Array
    r: Array  # polar coordinates of (u, v), the angle in radians
    theta: Array

    def ramp(self, distance: Array, width: float = 0.0) -> Array:
        """0 to 1 as `distance` crosses 0, over `width` but never so fast as to alias."""
        t: Array = np.clip(distance / max(width, 1.6 * self.pixel) + 0.5, 0, 1)
        return t * t * (3 - 2 * t)

    def clouds(self, grain: float, rng: Generator) -> Array:
        """Smooth noise of about unit variance, with features of about `grain` across."""
        cells = math.ceil(2 / grain) + 2
        coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
        return np.asarray(coarse.resize(self.r.shape, Image.Resampling.BICUBIC))


@dataclass
class _Surface:
    """The surface to be lit; a defect edits it in place."""

    height: Array
    metal: Array  # 1 on the part, 0 where the belt shows: beside it, or through a hole
    gloss: Array  # factor on the highlights
    tint: Array  # (size, size, 3) factor on the metal's colour


def _place(size: int, rng: Generator) -> _View:
    """Place the part, which the fixture holds to within 1 % of the picture and 1.5 degrees."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis - rng.uniform(-0.02, 0.02), axis - rng.uniform(-0.02, 0.02))
    turn = math.radians(rng.uniform(-1.5, 1.5))
    u = math.cos(turn) * x + math.sin(turn) * y
    v = math.cos(turn) * y - math.sin(turn) * x
    return _View(2 / size, x, y, u, v, _length(u, v), np.arctan2(v, u))


def _machine(view: _View, drilled: bool = True) -> _Surface:
    """Turn, bore, drill and engrave a part."""
    height = 0.035 * view.ramp(_RIM - 0.022 - view.r, 0.044)
    height += 0.030 * view.ramp(_HUB - view.r, 0.05)
    height -= 0.010 * view.ramp(0.015 - np.abs(view.r - _HUB - 0.06), 0.02)  # relief groove
    metal = view.ramp(_RIM - view.r)
    keyway = np.maximum(np.abs(view.u) - 0.05, np.abs(view.v + _BORE) - 0.06)
    walls = [np.minimum(view.r - _BORE, keyway)]  # distances into the metal
    if drilled:
        walls.append(_to_nearest_hole(view) - _HOLE)
    for wall in walls:
        height -= 0.020 * view.ramp(_SINK / 2 - wall, _SINK)
        height -= 0.040 * view.ramp(-_WALL / 2 - wall, _WALL)
        metal *= view.ramp(wall + _WALL)
    mark = _engraving(view)
    height -= 0.005 * mark
    tint = np.repeat((1 - 0.45 * mark)[..., None], 3, axis=2)
    return _Surface(height, metal, np.ones_like(height), tint)


def _to_nearest_hole(view: _View) -> Array:
    """Distance to the nearest bolt hole's centre: every sector folded onto the first."""
    sector = 2 * math.pi / _HOLES
    angle = view.theta - sector * np.round(view.theta / sector)
    return _length(view.r * np.cos(angle) - _HOLE_CIRCLE, view.r * np.sin(angle))


def _engraving(view: _View) -> Array:
    """Depth, 0 to 1, of the mark engraved between the two upper holes."""
    fine = view.pixel / 2
    return _sample(_stencil(fine), (view.v + _HOLE_CIRCLE) / fine, view.u / fine)


@cache
def _stencil(fine: float) -> Array:
    """The mark, upright around [0, 0] of a sheet wider than the frame; `fine` is its pixel."""
    side = round(2.4 / fine)
    sheet = Image.new("L", (side, side))
    font, stroke = ImageFont.load_default(0.15 / fine), round(0.004 / fine)
    middle = (side - side // 2, side - side // 2)
    ImageDraw.Draw(sheet).text(middle, "S-40", 255, font, anchor="mm", stroke_width=stroke)
    depth: Pixels = np.asarray(sheet.filter(ImageFilter.GaussianBlur(1)))
    return np.roll(depth, side // 2, axis=(0, 1)).astype(np.float32) / np.float32(255)


def _sample(texture: Array, row: Array, column: Array) -> Array:
    """Bilinear look-up; negative coordinates count from the far end, as indices do."""
    top: Array = np.floor(row)
    left: Array = np.floor(column)
    down, right = row - top, column - left
    i, j = top.astype(np.intp), left.astype(np.intp)
    upper: Array = texture[i, j] * (1 - right) + texture[i, j + 1] * right
    lower: Array = texture[i + 1, j] * (1 - right) + texture[i + 1, j + 1] * right
    return upper * (1 - down) + lower * down


def _length(a: Array, b: Array) -> Array:
    length: Array = np.sqrt(a * a + b * b)  # ten times as fast as np.hypot
    return length


def _polar(radius: float, angle: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)


# --- the defects: each edits the surface and returns its mask -------------------------------------


def _scratch(surface: _Surface, view: _View, rng: Generator) -> Mask:
    """A tool dragged along an arc: a groove whose two flanks reflect the light differently."""
    severity, half_length = rng.uniform(0.4, 1.0), rng.uniform(0.09, 0.26)
    between_holes = math.pi / _HOLES * (2 * int(rng.integers(_HOLES)) + rng.uniform(0.5, 1.5))
    u, v = _polar(rng.uniform(0.40, 0.72), between_holes)
    bend, heading = rng.uniform(0.25, 1.2), rng.uniform(0, 2 * math.pi)
    cu, cv = _polar(bend, heading)  # from the scratch's middle to its centre of curvature
    du, dv = view.u - u - cu, view.v - v - cv
    along = bend * np.arctan2(dv * cu - du * cv, -du * cu - dv * cv)
    wander = 0.006 * np.sin(along * rng.uniform(10, 25) + rng.uniform(0, 2 * math.pi))
    off = _length(du, dv) - bend + wander
    taper: Array = np.clip(1 - (along / half_length) ** 2, 1e-6, 1)
    width = max(0.009 + 0.008 * severity, 1.5 * view.pixel)
    profile: Array = np.clip(1 - off * off / (width * width * taper), 0, 1)
    groove, mask = _trim(profile * taper * surface.metal)
    surface.height -= 1.1 * severity * width * groove
    surface.gloss *= 1 + 0.5 * severity * groove  # bare metal
    return mask


def _stain(surface: _Surface, view: _View, rng: Generator) -> Mask:
    """Oil: a thin brownish film that dulls the metal, thicker along its irregular border."""
    severity = rng.uniform(0.4, 1.0)
    place = _polar(rng.uniform(0.30, 0.66), rng.uniform(-math.pi, math.pi))
    inside = _blob(view, place, rng.uniform(0.09, 0.20), rng)
    film, mask = _trim(view.ramp(inside - 0.02, 0.04) * surface.metal)
    thickness = film * (0.75 + 0.35 * np.exp(-((inside / 0.045 - 1) ** 2)))
    surface.gloss *= 1 - 0.5 * severity * thickness
    surface.tint *= 1 - severity * thickness[..., None] * np.array([0.22, 0.36, 0.56], np.float32)
    return mask


def _chip(surface: _Surface, view: _View, rng: Generator) -> Mask:
    """A piece broken out of the rim: a rough, dull fracture, and the belt behind it."""
    severity = rng.uniform(0.0, 1.0)
    place = _polar(_RIM, rng.uniform(-math.pi, math.pi))
    inside = _blob(view, place, 0.05 + 0.07 * severity, rng)
    broken, mask = _trim(view.ramp(inside) * surface.metal)
    roughness = 0.006 * view.clouds(0.03, rng) + 0.004 * view.clouds(0.07, rng)
    surface.height += broken * (roughness - 0.02 - 0.25 * np.clip(inside, 0, 0.1))
    surface.gloss *= 1 - 0.7 * broken
    surface.tint *= 1 - 0.45 * broken[..., None]
    surface.metal *= 1 - view.ramp(inside - 0.035 - 0.015 * severity, 0.012)
    return mask


def _missing_hole(surface: _Surface, view: _View, rng: Generator) -> Mask:
    """A bolt hole that was not drilled: plain face, at most with the dimple of a centre punch."""
    u, v = _polar(_HOLE_CIRCLE, 2 * math.pi / _HOLES * int(rng.integers(_HOLES)))
    to_centre = _length(view.u - u, view.v - v)
    mask: Mask = to_centre < _HOLE + _SINK + view.pixel
    blank = _machine(view, drilled=False)
    for field in fields(_Surface):
        getattr(surface, field.name)[mask] = getattr(blank, field.name)[mask]
    if rng.random() < 0.5:
        surface.height -= 0.012 * view.ramp(0.012 - to_centre, 0.024)
    return mask


def _trim(cover: Array) -> tuple[Array, Mask]:
    """Cut the invisible edge of a soft defect, so that its mask covers every pixel it changes."""
    mask: Mask = cover > 0.1
    return cover * mask, mask


def _blob(view: _View, centre: Point, radius: float, rng: Generator) -> Array:
    """Depth inside an irregular outline around `centre`, negative outside."""
    radius = max(radius, 5 * view.pixel)
    swing = 0.28 * view.clouds(0.9 * radius, rng) + 0.08 * view.clouds(0.3 * radius, rng)
    bounded: Array = np.clip(swing, -0.5, 0.6)  # so that the centre is always inside
    return radius + radius * bounded - _length(view.u - centre[0], view.v - centre[1])


_DEFECTS = dict(zip(DEFECT_KINDS, (_scratch, _stain, _chip, _missing_hole), strict=True))


# --- light and camera -----------------------------------------------------------------------------


def _shade(surface: _Surface, view: _View, part: Generator, light: Generator) -> Array:
    """Linear RGB radiance, (size, size, 3): a key lamp upper left and a weak fill lamp across."""
    azimuth = math.radians(light.uniform(-155, -110))
    across = azimuth + math.radians(light.uniform(110, 160))
    key, fill = (*_polar(1.8, azimuth), 2.4), (*_polar(2.0, across), 1.9)
    intensity, warmth = light.uniform(0.85, 1.15), light.normal(0, 0.03)
    lamp_colour = intensity * np.array([1 + warmth, 1, 1 - warmth], np.float32)

    marks = _turning_marks(view, part)
    metal = _reflect(surface, view, marks, key) + 0.35 * _reflect(surface, view, marks, fill)
    metal = (metal + 0.06) * (1 + 0.06 * marks + 0.04 * view.clouds(0.4, part))
    cast = _length(view.x + 0.05 * key[0], view.y + 0.05 * key[1])
    # The shadow is always that of the sound part, so that nothing differs outside the mask.
    belt = _belt(view, part) * (1 - 0.75 * view.ramp(_RIM + 0.02 - cast, 0.22))

    covered = surface.metal[..., None]
    scene = covered * metal[..., None] * surface.tint * _ALUMINIUM
    scene += (1 - covered) * belt[..., None] * _RUBBER
    return scene * lamp_colour


def _turning_marks(view: _View, rng: Generator) -> Array:
    """Fine grooves around the centre, of about unit variance, that vary with the angle."""
    rings = rng.standard_normal((256, 1), np.float32)
    arcs = rng.standard_normal((256, 14), np.float32)
    pitch = max(0.008, 1.1 * view.pixel)
    return _sample(0.8 * rings + 0.7 * arcs, view.r / pitch, view.theta * (14 / (2 * math.pi)))


def _reflect(surface: _Surface, view: _View, marks: Array, lamp: Lamp) -> Array:
    """Light of one lamp off turned metal: a little diffuse, and Ward's anisotropic highlight.

    Grooves scatter across and hardly along themselves, hence the bow-tie of light on the face.
    """
    gy, gx = np.gradient(surface.height, view.pixel)
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    nx, ny = -gx * nz, -gy * nz
    to_x, to_y, to_z = lamp[0] - view.x, lamp[1] - view.y, lamp[2]
    scale = 1 / np.sqrt(to_x * to_x + to_y * to_y + to_z * to_z)
    lx, ly, lz = to_x * scale, to_y * scale, to_z * scale
    hx, hy, hz = lx, ly, lz + 1  # halfway to the camera, which is straight above
    tx, ty = -view.y / (view.r + view.pixel), view.x / (view.r + view.pixel)
    facing = hx * nx + hy * ny + hz * nz
    along = hx * tx + hy * ty - (nx * tx + ny * ty) * facing
    across = nz * (hy * tx - hx * ty) + hz * (nx * ty - ny * tx) + 0.12 * marks
    lobe = np.exp(-((along / 0.17) ** 2 + (across / 0.70) ** 2) / facing**2)
    diffuse = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    light: Array = 0.20 * diffuse + 0.78 * surface.gloss * lobe
    return light


def _belt(view: _View, rng: Generator) -> Array:
    """Brightness of dark rubber with shallow ribs, stopped at a random place."""
    ribs = 0.25 * np.sin(view.x * (2 * math.pi / 0.125) + rng.uniform(0, 2 * math.pi))
    grain = 0.20 * rng.standard_normal(view.r.shape, np.float32) + 0.10 * view.clouds(0.3, rng)
    brightness: Array = 0.05 * np.exp(ribs + grain)
    return brightness


def _expose(scene: Array, view: _View, rng: Generator) -> Pixels:
    """Camera image of the radiance: defocus, vignette, tone curve, sensor noise."""
    spill = rng.uniform(0.04, 0.16)  # of a pixel's light, into each neighbour
    for _ in range(2):  # down the columns, then, transposed, along the rows
        wide = np.pad(scene, [(1, 1), (0, 0), (0, 0)], "edge")
        scene = ((1 - 2 * spill) * scene + spill * (wide[2:] + wide[:-2])).swapaxes(0, 1)
    falloff = 1 - rng.uniform(0.06, 0.14) * view.r**2  # the part is near the optical axis
    encoded = np.sqrt(1 - np.exp(-1.3 * scene * falloff[..., None]))
    # Photon noise grows as the root of the signal, so after a square root it is uniform.
    encoded += 0.008 * rng.standard_normal(scene.shape, np.float32)
    pixels: Pixels = (255 * np.clip(encoded, 0, 1) + 0.5).astype(np.uint8)
    return pixels
