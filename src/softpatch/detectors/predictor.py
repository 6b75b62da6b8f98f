"""Patches -> predictions: tiles are scored, and put together to one record an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from softpatch.detectors.calibration import Calibration
from softpatch.detectors.embedder import Embedder, Judge
from softpatch.errors import ImageError, reason_of
from softpatch.images.image_source import ImageSource
from softpatch.images.roi import Tile
from softpatch.images.sources import OnUnreadable
from softpatch.predictions.anomaly_map import tiled_anomaly_map
from softpatch.runtime.prediction import Prediction


@dataclass(frozen=True)
class ScoredTile:
    """A tile, its ``(p,)`` patch scores inside the region of interest, and its own score."""

    tile: Tile
    scores: Tensor
    score: float


@dataclass(frozen=True)
class Predictor:
    """What a fitted detector needs to score images.

    Attributes:
        embedder: images -> patches.
        score: ``(B, P, D)`` patches -> ``(B, P)`` scores.
        image_scores: those and their scores -> ``(B,)``.
        calibration: whose limits records carry.
        judge: see ``Embedder.embed``.
    """

    embedder: Embedder
    score: Callable[[Tensor], Tensor]
    image_scores: Callable[[Tensor, Tensor], Tensor]
    calibration: Calibration
    judge: Judge | None = None

    def predict(
        self, sources: Iterable[ImageSource], on_unreadable: OnUnreadable
    ) -> Iterator[Prediction]:
        """One record an image, in order; see ``Detector.predict``."""
        scored: list[ScoredTile] = []  # of the image that is not complete yet
        for tiles, patches in self.embedder.embed(sources, on_unreadable, judge=self.judge):
            with torch.inference_mode():
                parts = self._score_tiles(tiles, patches)
            for part in parts:
                scored.append(part)
                if not part.tile.last:
                    continue
                try:
                    prediction = self._prediction(scored)
                except Exception as error:  # such as a map too large for the memory
                    on_unreadable(ImageError(part.tile.name, reason_of(error)))
                else:
                    yield prediction
                scored = []

    def _score_tiles(self, tiles: list[Tile], patches: Tensor) -> list[ScoredTile]:
        """Of a batch of tiles and their ``(b, P, D)`` patches."""
        if self.embedder.roi is None:
            scores = self.score(patches)  # (b, P)
            own = self.image_scores(patches, scores).tolist()
            return [ScoredTile(*part) for part in zip(tiles, scores, own, strict=True)]
        parts = []
        for tile, one in zip(tiles, patches, strict=True):
            seen = one[tile.inside].unsqueeze(0)  # (P, D) -> (1, P inside, D)
            scores = self.score(seen)
            parts.append(ScoredTile(tile, scores[0], float(self.image_scores(seen, scores))))
        return parts

    @torch.inference_mode()
    def _prediction(self, scored: list[ScoredTile]) -> Prediction:
        """One image's record from its scored tiles."""
        first, roi, grid = scored[0].tile, self.embedder.roi, self.embedder.extractor.grid
        layout = first.layout
        canvas = scored[0].scores.new_zeros(len(layout.tiles), grid[0] * grid[1])
        for part in scored:
            inside = ... if part.tile.inside is None else part.tile.inside
            canvas[part.tile.number, inside] = part.scores
        heat = tiled_anomaly_map(canvas.view(-1, *grid), layout)
        if roi is not None and first.region is not None:
            # Means over the patches inside alone, up to the region's edge and not beyond it.
            weight = tiled_anomaly_map(first.region.to(canvas).view(-1, *grid), layout)
            within = roi.frame(layout).to(heat.device) & (weight > 0)
            heat = torch.where(within, heat / weight, 0)
        # The tile of the worst patch speaks for the image.
        worst = max(scored, key=lambda part: float(part.scores.max()))
        return Prediction(
            first.name,
            worst.score,
            heat.cpu().numpy(),
            (layout.rows.side, layout.columns.side),
            layout.box,
            self.calibration.threshold,
            first.remark,
            self.embedder.extractor.preprocessing.intensity,
            self.calibration.look,
            self.calibration.reference,
        )
