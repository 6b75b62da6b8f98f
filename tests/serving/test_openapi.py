"""The service does what its OpenAPI says, whatever is asked for."""

from __future__ import annotations

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


@pytest.mark.long
@pytest.mark.parametrize("known", [True, False], ids=["a model that there is", "any name"])
def test_all_phases_of_a_fuzzer(small_model: Path, tmp_path: Path, known: bool) -> None:
    """Examples, constraints just met and just broken, made-up requests, and several in a row."""
    (tmp_path / "schemathesis.toml").write_text(
        '[parameters]\n"path.name" = "part"\n' if known else ""
    )
    with serving(Path(f"part={small_model}"), "--api-key", "key") as (process, port):
        words: list[str | Path] = [
            COMMAND, "--config-file", tmp_path / "schemathesis.toml", "run",
            f"http://127.0.0.1:{port}/openapi.json", "--header", "X-API-Key: key",
            "--checks", "all", "--exclude-checks", "positive_data_acceptance",
            "--max-examples", "60", "--continue-on-failure", "--seed", "0",
        ]  # fmt: skip
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.poll() is None
