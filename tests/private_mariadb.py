"""A private MariaDB on a free port, as any user: the old user table of half the world.

An installed `mariadbd` is used where there is one, else the distribution's packages, unpacked.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.embedded_postgres import free_port
from services.standalone.guarded import Guarded
from shared.errors import Misconfigured, Unavailable

START_WITHIN: Final = 60.0
PASSWORD: Final = "legacy-s3cret"
_HAS_EVERY_SYSTEM: Final = {"libc6", "libgcc-s1", "libstdc++6", "libcrypt1"}
_UNPACKING: Final = Unpacking(
    name="mariadb",
    version="unpacked-1",
    packages=("mariadb-server-core",),
    needs=lambda name: (
        name.startswith("lib") and not name.endswith("-perl") and name not in _HAS_EVERY_SYSTEM
    ),
    without="install mariadb-server-core",
)
_SYSTEM_TABLES: Final = ("system_tables.sql", "performance_tables.sql", "system_tables_data.sql")
"""With `mysql_` before it, or from release 11 on `mariadb_`."""


class PrivateMariaDB:
    """A server of our own, with one user, `legacy`."""

    def __init__(self, cache: Path | None = None) -> None:
        """`cache` keeps unpacked packages between runs."""
        self._cache = cache or default_cache()
        self._home = Path(tempfile.mkdtemp(prefix="trickle-mariadb-"))
        self.port = free_port()
        self._server: Guarded | None = None

    def start(self) -> None:
        """Make a database, start, wait for it. Raises Misconfigured, Unavailable."""
        program, root = self._program()
        libraries = [str(root / "usr/lib" / place.name) for place in root.glob("usr/lib/*-linux-*")]
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": ":".join(libraries if root != Path("/") else []),
        }
        command = [
            str(program),
            "--no-defaults",
            f"--datadir={self._home / 'data'}",
            f"--basedir={root / 'usr'}",
            f"--lc-messages-dir={root / 'usr/share/mysql'}",
            f"--tmpdir={self._home}",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        self._bootstrap(command, environment, root / "usr/share/mysql")
        self._server = Guarded(
            [
                *command,
                "--bind-address=127.0.0.1",
                f"--port={self.port}",
                f"--socket={self._home / 's'}",
                "--skip-name-resolve",
                "--skip-log-bin",
            ],
            env=environment,
            log=self._home / "server.log",
            stop_signal="SIGTERM",
            grace=10,
            scratch=self._home,
        )
        self._wait_until_ready()

    def close(self) -> None:
        """Stop, and delete the data."""
        if self._server is not None:
            self._server.stop()
        self._server = None
        shutil.rmtree(self._home, ignore_errors=True)

    def _program(self) -> tuple[Path, Path]:
        found = shutil.which("mariadbd") or shutil.which("/usr/sbin/mariadbd")
        if found is not None:
            return Path(found), Path("/")
        root = _UNPACKING.folder(self._cache)
        program = root / "usr/sbin/mariadbd"
        if not program.exists():
            raise Misconfigured("the unpacked MariaDB is incomplete: install mariadb-server-core")
        return program, root

    def _bootstrap(self, command: list[str], environment: dict[str, str], share: Path) -> None:
        (self._home / "data").mkdir()
        statements = [
            "CREATE DATABASE mysql;",
            "USE mysql;",
            *(next(share.glob(f"m*_{name}")).read_text() for name in _SYSTEM_TABLES),
            "FLUSH PRIVILEGES;",
            "CREATE DATABASE legacy CHARACTER SET utf8mb4;",
            f"CREATE USER legacy@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';",
            "GRANT ALL ON legacy.* TO legacy@'127.0.0.1';",
        ]
        done = subprocess.run(
            [*command, "--bootstrap"],
            env=environment,
            input="\n".join(statements) + "\n",
            capture_output=True,
            text=True,
            timeout=START_WITHIN,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"MariaDB made no database: {done.stderr[-800:]}")

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            if self._server is None or self._server.returncode is not None:
                break
            if _greets(self.port):
                return
            time.sleep(0.05)
        tail = (self._home / "server.log").read_text(errors="replace")[-800:]
        self.close()
        raise Unavailable(f"MariaDB did not start: {tail}")


def _greets(port: int) -> bool:
    """A server sends the first packet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            return bool(link.recv(1))
    except OSError:
        return False
