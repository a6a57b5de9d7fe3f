"""What several tests of deploy/ look at, rendered once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.chart import FULL, render


@pytest.fixture(scope="session")
def everything() -> list[dict[str, Any]]:
    """The chart with all that can be switched on at once."""
    return render(FULL)
