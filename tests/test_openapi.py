"""Every route held against its own OpenAPI description by schemathesis: no 5xx, no other shape."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from lensback.settings import Settings
from lensback.web import create_app, turns
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis.checks
    import schemathesis.openapi
    import schemathesis.specs.openapi.checks as openapi_checks

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

EXAMPLES = 25
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


def test_no_route_breaks_its_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_S", 0.0)  # thousands of them: how slowly is another test
    folder = publish(tmp_path)[0]
    failed: dict[str, str] = {}
    tried = 0
    with Workspace(folder, Settings(rate_limit=0)) as workspace:
        schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(workspace))
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def hold(case: Any) -> None:
                response = case.call()
                if response.status_code == 503 and not response.content:
                    return  # a prefetch is refused, as the description says
                case.validate_response(response, checks=CHECKS)

            try:
                hold()
            except (
                AssertionError,
                BaseExceptionGroup,
                schemathesis.errors.SchemathesisError,
            ) as error:
                failed[operation.label] = str(error)[:2000]
            tried += 1
    assert tried > 12
    assert not failed, "\n\n".join(f"{name}: {why}" for name, why in failed.items())
