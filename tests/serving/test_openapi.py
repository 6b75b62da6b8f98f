"""The service does what its OpenAPI says, whatever is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.serving.conftest import Make
from tests.serving.live import live
from tests.serving.process import serving

COMMAND = Path(sys.executable).with_name("schemathesis")
ROOT = Path(__file__).parents[2]


def test_openapi_is_what_the_service_does(make: Make) -> None:
    """Requests made up from the schema, answers checked against it."""
    application = make(api_key="key")
    schema = schemathesis.openapi.from_dict(application.openapi())
    operations: list[Any] = [each.ok() for each in schema.get_all_operations()]  # type: ignore[union-attr]
    assert {each.path for each in operations} == {
        "/health", "/ready", "/metrics", "/models", "/models/{name}/reload",
        "/models/{name}/detect",
    }  # fmt: skip
    statuses = set()
    with live(application) as address:
        for operation in operations:

            @settings(max_examples=20, deadline=None, derandomize=True, database=None)
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                if "name" in case.path_parameters and len(case.path_parameters["name"]) % 2:
                    case.path_parameters["name"] = "part"
                answer = case.call(base_url=address, headers={"X-API-Key": "key"})
                case.validate_response(
                    answer,
                    headers={"X-API-Key": "key"},
                    # A schema cannot say what a picture is.
                    excluded_checks=[positive_data_acceptance],
                )
                statuses.add(answer.status_code)

            ask()
    assert statuses <= {200, 400, 404, 422}
    assert {200, 400, 404} <= statuses


def test_it_says_how_many_pictures_a_request_may_have(make: Make) -> None:
    for most in (1, 5):
        paths = make(max_pictures=most).openapi()["paths"]
        body = paths["/models/{name}/detect"]["post"]["requestBody"]["content"]
        images = body["multipart/form-data"]["schema"]["properties"]["images"]
        assert (images["minItems"], images["maxItems"]) == (1, most)


# Loading a model takes a second or two.
ALL = """
[phases.stateful.generation]
max-examples = 5

[[operations]]
include-path = "/models/{name}/reload"
generation.max-examples = 20
"""
PICTURES = f"""
hooks = "tests.serving.fuzzed_pictures"
{ALL}
[parameters]
"path.name" = "part"
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("sent", "more"),
    [(PICTURES, ()), (ALL, ("--exclude-checks", "positive_data_acceptance"))],
    ids=["pictures", "anything"],
)
def test_a_fuzzer_of_all_of_it(
    small_model: Path, tmp_path: Path, sent: str, more: tuple[str, ...]
) -> None:
    """What is allowed, what is just not, several requests in a row; good keys and others."""
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(sent)
    with serving(Path(f"part={small_model}"), "--api-key", "key") as (process, port):
        done = subprocess.run(
            [
                COMMAND, "--config-file", settings, "run",
                f"http://127.0.0.1:{port}/openapi.json", "--header", "X-API-Key: key",
                "--checks", "all", "--max-examples", "500", "--continue-on-failure",
                "--seed", "0", *more,
            ],
            cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )  # fmt: skip
        said = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
        assert done.returncode == 0, said
        assert process.poll() is None
