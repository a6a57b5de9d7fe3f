"""What a tenant folder may look like, and how its defects are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.standalone.tenant_folder import yaml_text
from services.standalone.tenant_folder.keywords import Keywords, left_in
from services.standalone.tenant_folder.model import ConfigFile, Folder, Unusable
from services.standalone.tenant_folder.reading import read_folder

DATABASE: dict[str, Any] = {"name": "shop", "strategy": "auth0", "options": {}}


def read(path: Path, values: dict[str, Any] | None = None, **config: Any) -> Folder:
    return read_folder(path, Keywords(values or {}), ConfigFile(**config))


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(Unusable) as caught:
        read(path)
    return caught.value.problems


def database(root: Path, value: Any, **scripts: str) -> Path:
    folder = root / "database-connections" / "shop"
    folder.mkdir(parents=True)
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / "database.json").write_text(text)
    for key, script in scripts.items():
        (folder / f"{key}.js").write_text(script)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("##A##", 'say "hi"'),
        ("'##A##'", "'say \"hi\"'"),
        ("@@A@@", '"say \\"hi\\""'),
        ('{"x": "@@LIST@@"}', '{"x": ["##A##", 2]}'),
        ("##NUMBER##/##LIST##", '7/["##A##", 2]'),
        ("##a## ##UNKNOWN## # ##", "##a## ##UNKNOWN## # ##"),
    ],
)
def test_keywords_are_replaced_once_and_only_known_ones(text: str, expected: str) -> None:
    keywords = Keywords({"A": 'say "hi"', "LIST": ["##A##", 2], "NUMBER": 7})

    assert expected == keywords.replace(text)


def test_keywords_left_over_are_named_once() -> None:
    assert ["A", "B"] == left_in("##A## @@B@@ ##A## ## c ##")


def test_scripts_come_from_either_place_and_unknown_keys_are_skipped(tmp_path: Path) -> None:
    value = DATABASE | {"customScripts": {"login": "./login.js", "logout": "./nothing.js"}}
    database(tmp_path, value, login="// ##WHERE##")

    folder = read(tmp_path, {"WHERE": "here"})

    assert folder.databases is not None
    assert {"login": "// here"} == folder.databases[0].options["customScripts"]
    assert {"login": "// ##WHERE##"} == folder.databases[0].templates
    assert ["logout" in notice for notice in folder.notices] == [True]
    assert folder.clients is None


def test_no_script_is_read_from_outside_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:x")
    root = tmp_path / "root"
    scripts = {"login": "../../../secret", "create": str(secret), "verify": "./verify.js"}
    folder = database(root, DATABASE | {"options": {"customScripts": scripts}})
    (folder / "verify.js").symlink_to(secret)

    told = problems(root)

    assert 3 == len(told)
    assert all("leaves the folder" in one for one in told)


def test_every_problem_is_told_at_once_with_file_and_key_and_no_value(tmp_path: Path) -> None:
    options = {
        "import_mode": "s3cret",
        "configuration": {"URL": ["s3cret"]},
        "customScripts": {"login": "./missing.js", "create": "./create.js"},
    }
    database(tmp_path, DATABASE | {"options": options, "realms": "s3cret"}, create="x" * 102_401)
    clients = tmp_path / "clients"
    clients.mkdir()
    (clients / "a.json").write_text('{"name": "s3cret", oops}')
    (clients / "b.json").write_text('{"app_type": "s3cret"}')

    told = problems(tmp_path)

    assert "s3cret" not in "".join(told)
    place = "database-connections/shop/"
    for expected in (
        f"{place}missing.js: can't be read",
        f"{place}create.js: is above 102400 bytes",
        f"{place}database.json: options.import_mode:",
        f"{place}database.json: options.configuration.URL:",
        f"{place}database.json: realms:",
        "clients/a.json: not JSON (line 1",
        "clients/b.json: name:",
        "clients/b.json: app_type:",
    ):
        assert any(one.startswith(expected) for one in told), expected


@pytest.mark.parametrize(
    "value",
    ["[]", "7", "{", '{"name": "shop", "options": [1]}', "[" * 5000, '{"name": NaN}', "\0", "\xff"],
)
def test_files_that_are_no_database(tmp_path: Path, value: str) -> None:
    folder = database(tmp_path, "{}")
    (folder / "database.json").write_bytes(value.encode("latin-1"))

    assert 1 == len(problems(tmp_path))


def test_a_folder_that_is_none_and_twins_are_problems(tmp_path: Path) -> None:
    assert "not a tenant folder" in problems(tmp_path)[0]
    database(tmp_path, DATABASE)
    twin = tmp_path / "database-connections" / "twin"
    twin.mkdir()
    (twin / "database.json").write_text(json.dumps(DATABASE))

    assert "shop stands in database-connections/shop/database.json too" in problems(tmp_path)[0]


def test_conflicts_and_what_is_not_read_are_noticed(tmp_path: Path) -> None:
    options = {
        "attributes": {"email": {"identifier": {"active": True}}},
        "requires_username": True,
        "password_options": {"complexity": {"min_length": 8}},
        "passwordPolicy": "good",
    }
    database(tmp_path, DATABASE | {"options": options})
    (tmp_path / "actions").mkdir()
    (tmp_path / ".git").mkdir()

    notices = "\n".join(read(tmp_path, AUTH0_ALLOW_DELETE=True).notices)

    assert "attributes conflicts with requires_username" in notices
    assert "password_options conflicts with passwordPolicy" in notices
    assert "not read, Trickle has no such thing: actions\n" in notices
    assert "--allow-delete" in notices


def test_the_configuration_excludes(tmp_path: Path) -> None:
    database(tmp_path, DATABASE)
    (tmp_path / "clients").mkdir()

    without = read(tmp_path, AUTH0_EXCLUDED_DATABASES=["shop"])
    only = read(tmp_path, AUTH0_INCLUDED_ONLY=["clients"])

    assert ((), ()) == (without.databases, without.clients)
    assert (None, ()) == (only.databases, only.clients)


def test_a_yaml_export_is_the_same_folder(tmp_path: Path) -> None:
    scripts = tmp_path / "databases" / "shop"
    scripts.mkdir(parents=True)
    (scripts / "login.js").write_text("// ##WHERE##")
    file = tmp_path / "export.yaml"
    file.write_text(
        "databases:\n  - name: shop\n    strategy: auth0\n    enabled_clients: [My SPA]\n"
        "    options:\n      import_mode: true\n      since: 2020-01-01\n      switch: on\n"
        "      customScripts:\n        login: databases/shop/login.js\n"
        "clients:\n  - {name: My SPA, app_type: spa}\nactions:\n  - name: x\n"
    )

    folder = read(file, {"WHERE": "here"})

    assert folder.databases is not None
    assert folder.clients is not None
    options = folder.databases[0].options
    assert {"login": "// here"} == options["customScripts"]
    assert (True, "2020-01-01", "on") == tuple(
        options[key] for key in ("import_mode", "since", "switch")
    )
    assert "My SPA" == folder.clients[0].entry.name
    assert ("not read, Trickle has no such thing: actions",) == folder.notices


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(9),
        "a: &a [*a]",
        "a: *nobody",
        "a: [",
        "a: !!python/object/apply:os.system [id]",
        "--- a\n--- b",
        "[" * 3000,
        "&a x: [" + "*a, " * 1001 + "]",
        "a: !!int s3cret",
        "? [a]\n: b",
    ],
)
def test_hostile_yaml_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(yaml_text.BadYaml) as caught:
        yaml_text.load(text)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["on", "1e3", "0o17", "010", "1:30", "null", "~", "", "2020-01-01", "a\nb\n", "0x1f", "="],
)
def test_every_text_survives_yaml(text: str) -> None:
    assert {"k": [text]} == yaml_text.load(yaml_text.dump({"k": [text]}))


def test_yaml_numbers_are_those_of_javascript() -> None:
    assert [10, 1000.0, "1:30", "on", True, None] == yaml_text.load("[010, 1e3, 1:30, on, true, ~]")
