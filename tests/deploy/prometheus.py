"""Prometheus and promtool, unpacked from the distribution's package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from services.standalone.debian_packages import Unpacking, default_cache
from shared.errors import ServiceError
from tests.deploy.chart import CHART
from tests.servers import missing

RULES: Final = sorted((CHART / "files" / "rules").glob("*.yaml"))
_UNPACKING: Final = Unpacking(
    name="prometheus",
    version="unpacked-1",
    packages=("prometheus",),
    needs=lambda _: False,
    without="install prometheus",
)


def binary(name: str) -> Path:
    """`prometheus` or `promtool`; where there is none, a skip, and an error on CI."""
    installed = shutil.which(name)
    if installed is not None:
        return Path(installed)
    try:
        return _UNPACKING.folder(default_cache()) / "usr" / "bin" / name
    except ServiceError as error:
        missing(name, error)


def promtool(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool in a folder; what it says of each file stands in order in `stdout`."""
    command = [str(binary("promtool")), *map(str, arguments)]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        check=False, cwd=folder,
    )  # fmt: skip
