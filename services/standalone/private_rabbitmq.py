"""A private RabbitMQ on free ports, as any user, beside any other broker.

An installed `rabbitmq-server` is used where there is one, else the distribution's packages,
unpacked into a cache folder: no root, nothing installed, nothing left running.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.standalone.debian_packages import Unpacking, default_cache
from services.standalone.embedded_postgres import free_port
from services.standalone.guarded import Guarded
from shared.errors import Misconfigured, Unavailable

START_WITHIN: Final = 120.0
_WITHOUT: Final = "set AMQP_URL to a broker, or install rabbitmq-server"


class PrivateRabbitMQ:
    """A broker of our own; start and stop may alternate, data and ports stay the same."""

    def __init__(self, cache: Path | None = None, configuration: str = "") -> None:
        """`cache` keeps unpacked packages between runs; `configuration` is more of rabbitmq.conf."""
        self._configuration = configuration
        self._cache = cache or default_cache()
        self._home = Path(tempfile.mkdtemp(prefix="trickle-rabbitmq-"))
        self.port = free_port()
        self._epmd_port = free_port()
        self._distribution_port = free_port()
        self._epmd: Guarded | None = None
        self._server: Guarded | None = None

    @property
    def url(self) -> str:
        """The broker's URL; guest may connect from this machine only."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The server's process (the shell that runs the Erlang machine)."""
        return None if self._server is None else self._server.pid

    def __enter__(self) -> Self:
        """Start; what does not start leaves nothing behind."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
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
        """Start, and wait until it answers. Raises Misconfigured where there is none to be had."""
        _check_localhost()
        installation = _Installation.find(self._cache)
        environment = self._environment(installation)
        self._epmd = Guarded(
            [str(installation.epmd), "-address", "127.0.0.1", "-port", str(self._epmd_port)],
            env=environment,
            log=self._home / "epmd.log",
            stop_signal="SIGKILL",  # it heeds no other, and has nothing to lose
        )
        self._server = Guarded(
            [str(installation.server)],
            env=environment,
            log=self._home / "server.log",
            stop_signal="group:SIGTERM",  # the server is a shell that waits for the Erlang machine
            grace=20,
            scratch=self._home,
        )
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut down in order; the data stays for another `start`."""
        for running in (self._server, self._epmd):
            if running is not None:
                running.stop()
        self._server = self._epmd = None

    def kill(self) -> None:
        """SIGKILL to the whole broker, as a crash would."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None
        if self._epmd is not None:
            self._epmd.stop()
        self._epmd = None

    def control(self, *command: str) -> str:
        """What `rabbitmqctl` says. Raises Unavailable when it fails."""
        installation = _Installation.find(self._cache)
        done = subprocess.run(
            [str(installation.server.with_name("rabbitmqctl")), *command],
            env=self._environment(installation),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"rabbitmqctl {command[0]}: {(done.stdout + done.stderr)[-500:]}")
        return done.stdout

    def close(self) -> None:
        """Stop, and delete the data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _environment(self, installation: _Installation) -> dict[str, str]:
        home = self._home
        plugins, config = home / "enabled_plugins", home / "rabbitmq.conf"
        plugins.write_text("[].\n")
        config.write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "log.file = false\nlog.console = true\nlog.console.level = warning\n"
            "disk_free_limit.absolute = 50MB\n"
            f"vm_memory_high_watermark.absolute = 1GB\n{self._configuration}\n"
        )
        (home / "env.conf").touch()
        return {
            "PATH": f"{installation.erlang_bin}:{os.environ.get('PATH', os.defpath)}",  # noqa: TID251
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP_BYTES": "0",  # it would be left where we run, with what memory held
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            if self._server is None or self._server.returncode is not None:
                break
            if _speaks_amqp(self.port):
                return
            time.sleep(0.1)
        tail = (self._home / "server.log").read_text(errors="replace")[-800:]
        self.stop()
        raise Unavailable(f"RabbitMQ did not start: {tail.strip()}")


class _Installation:
    """Where the programs of one RabbitMQ are."""

    def __init__(self, server: Path, erlang_bin: Path, epmd: Path) -> None:
        self.server = server
        self.erlang_bin = erlang_bin
        self.epmd = epmd

    @classmethod
    def find(cls, cache: Path) -> _Installation:
        """The machine's own, or the unpacked one. Raises Misconfigured."""
        return cls._installed() or cls._unpacked(cache)

    @classmethod
    def _installed(cls) -> _Installation | None:
        erl, epmd = shutil.which("erl"), shutil.which("epmd")
        # Debian's /usr/sbin/rabbitmq-server insists on being root or rabbitmq: the real one is here.
        for server in (
            Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
            Path(shutil.which("rabbitmq-server") or "/nonexistent"),
        ):
            if server.exists() and erl and epmd:
                return cls(server, Path(erl).parent, Path(epmd))
        return None

    @classmethod
    def _unpacked(cls, cache: Path) -> _Installation:
        root = _UNPACKING.folder(cache)
        servers = list(
            (root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
        )
        epmds = list((root / "usr/lib/erlang").glob("erts-*/bin/epmd"))
        if not servers or not epmds:
            raise Misconfigured(f"the unpacked RabbitMQ is incomplete: {_WITHOUT}")
        return cls(servers[0], root / "usr/lib/erlang/bin", epmds[0])


def _relocate(root: Path) -> None:
    """Erlang's start script and RabbitMQ's know their folders by absolute paths."""
    erlang = root / "usr/lib/erlang"
    script = erlang / "bin" / "erl"
    text = script.read_text().replace("ROOTDIR=/usr/lib/erlang", f'ROOTDIR="{erlang}"')
    script.unlink()  # it may be a link into the system
    script.write_text(text)
    script.chmod(0o755)
    plugins = next((root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/plugins"), None)
    if plugins is not None:
        _slim(plugins)


def _slim(plugins: Path) -> None:
    """Without the plugins that we never enable the node starts in half the time: it scans all."""
    for folder in plugins.iterdir():
        name = folder.name.partition("-")[0]
        if name.startswith("rabbitmq_") and name != "rabbitmq_prelaunch":
            shutil.rmtree(folder, ignore_errors=True) if folder.is_dir() else folder.unlink()


_UNPACKING: Final = Unpacking(
    name="rabbitmq",
    version="unpacked-1",
    packages=("rabbitmq-server",),
    needs=lambda name: name.startswith("erlang-"),
    mend=_relocate,
    without=_WITHOUT,
)


def _check_localhost() -> None:
    """Without it Erlang hangs half a minute and then says nothing useful."""
    try:
        socket.getaddrinfo("localhost", None)
    except OSError as error:
        raise Misconfigured("`localhost` does not resolve: add it to /etc/hosts") from error


def _speaks_amqp(port: int) -> bool:
    """A listening port is not yet a broker: it has to answer the protocol's greeting."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(b"AMQP\x00\x00\x09\x01")
            return link.recv(1) == b"\x01"
    except OSError:
        return False
