"""Responses of the service; fields are named as Amazon Lookout for Vision's where it has them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from softpatch.predictions.overlays import layer
from softpatch.runtime.heatmap import png_bytes
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.verdict import Verdict
from softpatch.serving.models import Served
from softpatch.serving.regions import anomalous_regions


class _Record(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)


class Region(_Record):
    """Part of a picture that is anomalous."""

    polygon: list[tuple[float, float]] = Field(
        description="x and y in pixels of the picture, from its top left corner; not closed"
    )
    percentage_area: float = Field(description="of the picture, 0 to 100")


class Result(_Record):
    """One picture's result."""

    name: str = Field(description="of the file as it was sent")
    is_anomalous: bool | None = Field(
        description="Score is above Threshold; null for a model without one"
    )
    confidence: float | None = Field(
        description="in IsAnomalous: the larger of Level and 1 - Level, so 0.5 at the threshold "
        "and never less; no probability. Null without a threshold"
    )
    level: float | None = Field(
        description="Score / (Score + Threshold): 0 to 1, 0.5 at the threshold"
    )
    score: float = Field(
        description="at least 0; larger is more anomalous; comparable within a model"
    )
    threshold: float | None = Field(description="the model's")
    width: int = Field(description="of the picture in pixels, as EXIF turns it")
    height: int
    remark: str | None = Field(
        description="what is odd about the picture, such as values that the model does not know, "
        "so that the score may mean less; null if nothing is"
    )
    regions: list[Region] = Field(
        description="largest first; empty if IsAnomalous is false. Where the map exceeds the "
        "threshold or half its peak, whichever is lower"
    )
    anomaly_mask: str | None = Field(
        description="with ?map=png: a PNG file as base64, RGBA, of the picture's aspect and at "
        "most 512 pixels long, to be laid over it; colourless if Verdict is good, faint if it is "
        "look"
    )
    picture: str | None = Field(
        description="with ?picture=jpeg: a JPEG file as base64, at most 1024 pixels long: the "
        "picture as it was seen, upright and with the model's black and white, where a browser "
        "may show the file otherwise, or not at all"
    )
    verdict: Verdict | None = Field(
        description="bad: Score is above Threshold; look, people should look at it: it is above "
        "Look and no more; good. Null for a model without a threshold"
    )
    look: float | None = Field(description="the model's look limit; null if it has none")
    p_value: float | None = Field(
        description="of good pictures about the share that scores at least as high, by the "
        "training pictures' own scores; null if the model has none"
    )
    rarity: str | None = Field(description="PValue in words")

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        name: str,
        served: Served,
        *,
        drawn: bool,
        picture: str | None,
    ) -> Self:
        """The result of a prediction, with its map as a PNG if ``drawn``, and a ``picture``."""
        normal_limit = served.detector.normal_limit_
        level = prediction.level
        mask = in_text(png_bytes(layer(prediction, normal_limit))) if drawn else None
        return cls(
            name=name,
            is_anomalous=prediction.anomalous,
            confidence=None if level is None else max(level, 1 - level),
            level=level,
            score=prediction.score,
            threshold=prediction.threshold,
            width=prediction.size[1],
            height=prediction.size[0],
            remark=prediction.remark,
            regions=[
                Region(
                    polygon=[(round(x, 1), round(y, 1)) for x, y in polygon.points.tolist()],
                    percentage_area=100 * polygon.share,
                )
                for polygon in anomalous_regions(prediction, normal_limit)
            ],
            anomaly_mask=mask,
            picture=picture,
            verdict=prediction.verdict,
            look=prediction.look,
            p_value=prediction.p_value,
            rarity=prediction.rarity,
        )


def in_text(content: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(content).decode()


class Detection(_Record):
    """The answer to a request."""

    model: str
    results: list[Result] = Field(description="one a picture, in order")


class Model(_Record):
    """One served model."""

    name: str
    method: str
    threshold: float | None
    normal_limit: float = Field(
        description="the score where colour begins in maps of a model without other limits"
    )
    loaded: datetime
    problem: str | None = Field(
        description="why the file, as it is now, could not be loaded; the one before it is served"
    )
    look: float | None = Field(description="the look limit; null if there is none")

    @classmethod
    def of(cls, served: Served) -> Self:
        """The description of a model."""
        return cls(
            name=served.name,
            method=served.detector.method,
            threshold=served.detector.threshold_,
            normal_limit=served.detector.normal_limit_,
            loaded=served.loaded,
            problem=served.problem,
            look=served.detector.look_,
        )


class Status(BaseModel):
    """State of the service."""

    status: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class NotJudged(BaseModel):
    """Why a picture is not judged, or which parameters are wrong."""

    detail: str | list[dict[str, Any]] = Field(description="a list where parameters are wrong")
    picture: str | None = Field(None, description="with ?picture=jpeg: as Picture of a result")
