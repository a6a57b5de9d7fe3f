"""A blank has loaded what scripts really require."""

from __future__ import annotations

from services.script_worker.bundle import Bundle
from services.script_worker.preload import DEFAULT, TOP, Preload, required
from shared.contracts import Action


def bundle(number: int, script: str) -> Bundle:
    return Bundle(f"con_{number:016}", "0" * 32, {Action.LOGIN: script}, {})


def test_literal_requires_are_found_without_versions_built_ins_and_paths() -> None:
    script = """
        const { Client } = require('pg@7.1.2'), b = require("bcrypt");
        require( 'mysql2/promise' ); require('@scope/name@1.0'); require('crypto');
        require('./local'); require('node:fs'); require(name); require(`axios`);
    """

    assert {"pg", "bcrypt", "mysql2", "@scope/name"} == required(script)


def test_the_most_used_modules_win() -> None:
    preload = Preload()
    for number in range(3):
        preload.note(bundle(number, "require('mysql2')"))
    for number, name in enumerate(["pg", "axios", "knex", "mongodb", "lodash"], start=10):
        preload.note(bundle(number, f"require('{name}'); require('bcrypt')"))

    assert preload.names()[:2] == ("bcrypt", "mysql2")
    assert len(preload.names()) == TOP


def test_binding_a_bundle_again_counts_it_once() -> None:
    preload = Preload()
    for _ in range(5):
        preload.note(bundle(1, "require('axios')"))
    for number in (2, 3):
        preload.note(bundle(number, "require('pg')"))

    assert preload.names() == ("pg", "axios")


def test_without_scripts_the_usual_ones_are_loaded() -> None:
    assert Preload().names() == DEFAULT
