"""Every operation of the OpenAPI document, called on a running auth with whatever its schema allows and not.

No call may be answered with an error of ours, with a status or a content type that the document
does not name, or with a body that is not of its schema. Inputs are derived from the document and
are the same in each run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.auth.http.openapi import document
from services.auth.http.surface import OPERATIONS
from tests.servers import Databases
from tests.serving import served
from tests.site import Site, opened

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MANY = 40
"""Examples of an operation in a long run."""
FEW = 2
SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS, "http://127.0.0.1/"))
NAMES = [f"{one.method} {one.path}" for one in OPERATIONS]


@dataclass(frozen=True)
class Running:
    """A running auth, and who may call it."""

    url: str
    site: Site


@pytest.fixture(scope="module")
def running(databases: Databases) -> Iterator[Running]:
    """On a socket, with a connection, a user and an application."""
    url = databases.fresh()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened(url)) as site,
        portal.wrap_async_context_manager(served(site.auth.app)) as port,
    ):
        portal.call(site.connect)
        yield Running(f"http://127.0.0.1:{port}", site)
    databases.drop(url)


def calls(name: str, mode: GenerationMode) -> st.SearchStrategy[schemathesis.Case[Any]]:
    """Calls of one operation."""
    method, _, path = name.partition(" ")
    return SCHEMA[path][method].as_strategy(generation_mode=mode)


def takes_nothing(name: str) -> bool:
    """Whether there is no input that could be wrong."""
    method, _, path = name.partition(" ")
    return not list(SCHEMA[path][method].iter_parameters()) and not SCHEMA[path][method].body


def fuzz(running: Running, name: str, examples: int) -> None:
    """Call one operation with what is valid and with what is not."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        if mode is GenerationMode.NEGATIVE and takes_nothing(name):
            continue

        @hypothesis.seed(7)
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=calls(name, mode))
        def call(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(
                base_url=running.url,
                headers=running.site.bearer,
                checks=CHECKS,
                timeout=30,
                allow_redirects=False,
            )

        call()


@pytest.mark.parametrize("name", NAMES)
def test_a_few_calls(running: Running, name: str) -> None:
    fuzz(running, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_calls(running: Running, name: str) -> None:
    fuzz(running, name, MANY)
