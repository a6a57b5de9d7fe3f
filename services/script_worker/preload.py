"""Which modules a blank should have loaded: those that the bound scripts really require. Pure."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from typing import Final

from services.script_worker.bundle import Bundle

DEFAULT: Final = ("pg", "bcrypt")
TOP: Final = 4
"""Each module costs every blank some megabytes and tens of milliseconds, used or not."""
_REMEMBERED: Final = 1000
_LITERAL_REQUIRE: Final = re.compile(
    r"""\brequire\s*\(\s*(['"])((?:@[\w.-]+/)?[a-zA-Z0-9][\w.-]*)[^'"]*\1\s*\)"""
)
_BUILT_IN: Final = frozenset(
    {"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants"}
    | {"crypto", "dgram", "dns", "events", "fs", "http", "http2", "https", "module", "net"}
    | {"node", "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline"}
    | {"stream", "string_decoder", "timers", "tls", "tty", "url", "util", "v8", "vm"}
    | {"worker_threads", "zlib"}
)


def required(script: str) -> frozenset[str]:
    """The packages that a script names in literal `require` calls, versions cut off."""
    names = {match[2] for match in _LITERAL_REQUIRE.finditer(script)}
    return frozenset(names - _BUILT_IN)


class Preload:
    """Counts requires over the bundles bound lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    def note(self, bundle: Bundle) -> None:
        """A runner is being bound to this bundle."""
        known = self._seen.pop(bundle.key, None)
        if known is None:
            known = frozenset().union(*map(required, bundle.scripts.values()))
        self._seen[bundle.key] = known
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def names(self) -> tuple[str, ...]:
        """What the next blank should load."""
        counts = Counter(name for names in self._seen.values() for name in sorted(names))
        return tuple(name for name, _ in counts.most_common(TOP)) or DEFAULT
