"""A restricted pod, emulated: what a worker has under Kubernetes' `restricted` profile.

Not root, every capability dropped and none to be had, `no_new_privs`, a read-only root with one
scratch folder, namespaces of its own (processes, network, mounts, IPC), and the seccomp profile
that container runtimes use by default, as Debian packages it.

By real means where we are root; else in a user namespace. Where neither is allowed it raises
`NotPossible`, and says why.

`python -m tests.hostile.pod SCRATCH PROFILE LIBRARY COMMAND...` enters one and runs the command.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from services.standalone.debian_packages import Unpacking, default_cache
from shared.errors import Misconfigured, Unavailable

ROOT: Final = Path(__file__).parents[2]
POD_USER: Final = 10001
NOT_POSSIBLE: Final = 69
"""Exit code: this machine allows no pod (EX_UNAVAILABLE)."""
_PROFILE: Final = Unpacking(
    name="pod-seccomp",
    version="1",
    packages=("golang-github-containers-common", "libseccomp2"),
    needs=lambda _: False,
    without="the restricted pod can't be emulated",
)
NEW: Final = {"NS": 0x20000, "UTS": 0x4000000, "IPC": 0x8000000, "PID": 1 << 29, "NET": 1 << 30}
NEW_USER: Final = 1 << 28
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 1 << 18
_SYS_MOUNT_SETATTR: Final = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG, _PR_CAP_AMBIENT = 24, 38, 1, 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARE: Final = {
    f"SCMP_CMP_{name}": number
    for number, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), start=1)
}
_ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64"}

_libc = ctypes.CDLL(None, use_errno=True)


class NotPossible(Exception):
    """This machine allows no pod."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod is made of."""

    profile: Path
    library: Path

    @classmethod
    def fetched(cls) -> Pod:
        """Profile and its compiler, as Debian packages them. Raises NotPossible."""
        try:
            root = _PROFILE.folder(default_cache())
        except (Misconfigured, Unavailable) as error:
            raise NotPossible(str(error)) from error
        profile = root / "usr" / "share" / "containers" / "seccomp.json"
        return cls(profile, next(root.glob("usr/lib/*/libseccomp.so.2")))

    def command(self, scratch: Path, command: Iterable[str]) -> list[str]:
        """Runs `command` inside, with `scratch` as the one folder that can be written."""
        this = [sys.executable, "-m", "tests.hostile.pod"]
        return [*this, str(scratch), str(self.profile), str(self.library), *command]


def call(name: str, *arguments: Any) -> None:
    """A function of the C library. Raises OSError."""
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _prctl(option: int, *values: int) -> None:
    call("prctl", option, *map(ctypes.c_ulong, (*values, *[0] * (4 - len(values)))))


def _mount(kind: str, place: Path, options: str = "") -> None:
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    call("mount", kind.encode(), str(place).encode(), kind.encode(), flags, options.encode())


def enter(scratch: Path, profile: Path, library: Path, command: list[str]) -> int:
    """Run the command inside; its exit code. Raises NotPossible."""
    outside = os.geteuid(), os.getegid()
    really = outside[0] == 0 and _readable_by_others()
    filters = _Filters(library)
    rules = json.loads(profile.read_text())
    try:
        call("unshare", sum(NEW.values()) | (0 if really else NEW_USER))
        if not really:
            map_ids(*outside)
    except OSError as error:
        raise NotPossible(f"no namespaces here ({error.strerror})") from error
    child = os.fork()
    if child == 0:
        _be_inside(scratch, filters, rules, command, really=really)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _be_inside(
    scratch: Path, filters: _Filters, rules: dict[str, Any], command: list[str], *, really: bool
) -> NoReturn:
    """The first process of the pod; ends with the one that made it."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _make_mounts(scratch)
        loopback_up()
        _drop_privileges(really=really)
        filters.load(rules)
    except OSError as error:
        sys.stderr.write(f"no pod: {error.strerror}\n")
        os._exit(NOT_POSSIBLE)
    os.environ["TMPDIR"] = str(scratch)
    os.execvp(command[0], command)  # noqa: S606 - a shell is what we avoid


def _readable_by_others() -> bool:
    """Whether the pod's user could read our files, which stay where they are."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(POD_USER)
            os.setuid(POD_USER)
            needed = [ROOT / "tests" / "hostile" / "pod.py", Path(sys.executable)]
            os._exit(0 if all(os.access(file, os.R_OK) for file in needed) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def map_ids(user: int, group: int) -> None:
    """In a new user namespace, be the pod's user."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{POD_USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{POD_USER} {group} 1")


def _make_mounts(scratch: Path) -> None:
    call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    read_only = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    call(
        *("syscall", ctypes.c_long(_SYS_MOUNT_SETATTR), _AT_FDCWD, b"/", _AT_RECURSIVE),
        *(read_only, ctypes.c_size_t(len(read_only))),
    )
    _mount("proc", Path("/proc"))
    _mount("tmpfs", Path("/dev/shm"), "size=64m,mode=1777")  # noqa: S108 - made by us
    _mount("tmpfs", scratch, f"size=64m,mode=0700,uid={POD_USER},gid={POD_USER}")


def loopback_up() -> None:
    """In a new network namespace. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _drop_privileges(*, really: bool) -> None:
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # beyond the last that this kernel has
                raise
            break
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if really:
        os.setgroups([])
        os.setresgid(POD_USER, POD_USER, POD_USER)
        os.setresuid(POD_USER, POD_USER, POD_USER)
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    call("capset", header, none)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Filters:
    """A runtime's profile, compiled by libseccomp as the runtimes do it."""

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library), use_errno=True)
        self._lib.seccomp_init.restype = ctypes.c_void_p

    def load(self, profile: dict[str, Any]) -> None:
        """From here on, for this process and all that it starts."""
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        context = ctypes.c_void_p(self._lib.seccomp_init(ctypes.c_uint32(default)))
        for rule in profile["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet"))
            if _applies(rule) and action != default:
                for name in rule["names"]:
                    self._add(context, action, name, rule.get("args") or [])
        if (code := self._lib.seccomp_load(context)) != 0:
            raise OSError(-code, f"seccomp: {os.strerror(-code)}")

    def _add(self, context: ctypes.c_void_p, action: int, name: str, args: list[Any]) -> None:
        number = self._lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # of another architecture, or unknown to the library
            return
        compares = [
            _Compare(arg["index"], _COMPARE[arg["op"]], arg["value"], arg.get("valueTwo", 0))
            for arg in args
        ]
        array = (_Compare * len(compares))(*compares)
        code = self._lib.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, ctypes.c_uint(len(compares)), array
        )
        if code != 0:
            raise OSError(-code, f"seccomp rule for {name}: {os.strerror(-code)}")


def _action(name: str, code: int | None) -> int:
    if name == "SCMP_ACT_ALLOW":
        return _ALLOW
    if name != "SCMP_ACT_ERRNO":
        raise NotPossible(f"the profile has an action that we don't know: {name}")
    return _ERRNO | (code if code is not None else errno.EPERM)


def _applies(rule: dict[str, Any]) -> bool:
    """Rules may be for holders of a capability, which nobody here is, or for architectures."""
    arch = _ARCHES[os.uname().machine]
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    wanted = includes.get("arches")
    return (
        not includes.get("caps")
        and (not wanted or arch in wanted)
        and arch not in (excludes.get("arches") or [])
    )


if __name__ == "__main__":
    try:
        place, its_profile, its_library = map(Path, sys.argv[1:4])
        raise SystemExit(enter(place, its_profile, its_library, sys.argv[4:]))
    except NotPossible as reason:
        sys.stderr.write(f"no pod: {reason}\n")
        raise SystemExit(NOT_POSSIBLE) from reason
