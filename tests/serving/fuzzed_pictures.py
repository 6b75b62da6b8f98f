"""For schemathesis, which loads this: where OpenAPI says bytes, it sends pictures."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.serving.pictures import DARK, GOOD, encoded

schemathesis.openapi.format(
    "binary", st.sampled_from([encoded(GOOD), encoded(DARK), encoded(DARK, "JPEG")])
)
