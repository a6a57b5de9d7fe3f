"""YAML as auth0-deploy-cli reads and writes it: the JSON schema of YAML 1.2, within limits.

PyYAML speaks YAML 1.1, in which `on` is true, `1:30` is ninety and `010` is eight; here they are
the texts that JavaScript's reader makes of them. Aliases are weighed by what they expand to, so
that a small file can't become a large tree.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

MAX_NODES: Final = 100_000
MAX_ALIASES: Final = 1000
_BOOL: Final = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL: Final = re.compile(r"^(?:~|null|Null|NULL|)$")
_INT: Final = re.compile(r"^[-+]?[0-9]+$")
_FLOAT: Final = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NUMBER: Final = re.compile(r"^0[xob][0-9a-fA-F]+$")


class BadYaml(ValueError):
    """The text can't be used; the message quotes none of it."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, and aliases counted."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - PyYAML's own
    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise BadYaml(f"more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something else than a text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _name, _pattern, _first in (
    ("bool", _BOOL, "tTfF"),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", re.compile(r"^<<$"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, list(_first))
for _name, _pattern in (("float", _FLOAT), ("int", _NUMBER)):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Dumper.add_representer(str, _string)


def load(text: str) -> Any:
    """The document. Raises BadYaml."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _weight(node, {}, set()) > MAX_NODES:
                raise BadYaml(f"more than {MAX_NODES} nodes, aliases expanded")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadYaml(f"not YAML{where}") from None
    except yaml.YAMLError:
        raise BadYaml("not YAML") from None
    except RecursionError:
        raise BadYaml("nested too deeply") from None
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, BadYaml):
            raise
        raise BadYaml("a value can't be read") from None


def dump(value: Any) -> str:
    """The document as text."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _weight(node: yaml.Node, known: dict[int, int], open_: set[int]) -> int:
    """How many nodes it is once its aliases are expanded."""
    if id(node) in known:
        return known[id(node)]
    if id(node) in open_:
        raise BadYaml("an alias contains itself")
    open_.add(id(node))
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    weight = 1 + sum(_weight(child, known, open_) for child in children)
    open_.discard(id(node))
    known[id(node)] = weight
    return weight
