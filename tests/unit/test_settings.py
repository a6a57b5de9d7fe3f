"""Settings: all problems at once, and never a value in what is said of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from services.auth.settings import AuthSettings
from services.script_worker.settings import WorkerSettings
from shared.errors import Misconfigured
from shared.sealing import KeyRing
from shared.settings import (
    OF_ONE_SERVICE,
    ServiceSettings,
    env_name,
    read_settings,
    unknown_names,
)

GOOD = {
    "DATABASE_URL": "postgresql://u:hunter2@db/x",
    "TRICKLE_KEY_RING": KeyRing.generate(),
    "TRICKLE_ISSUER": "https://login.example.com/",
}


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GOOD, "TRICKLE_DRAIN_BUDGET": "12", "TRICKLE_PORT": "0"}.items():
        monkeypatch.setenv(name, value)

    settings = read_settings(AuthSettings)

    assert timedelta(seconds=12) == settings.drain_budget
    assert 0 == settings.port
    assert "postgresql://u:hunter2@db/x" == settings.database_dsn


def test_an_environment_can_be_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert 3 == read_settings(WorkerSettings, {**GOOD, "TRICKLE_CONCURRENCY": "3"}).concurrency


def test_secrets_come_as_files_and_a_variable_wins_over_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in GOOD.items():
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / "TRICKLE_LOG_LEVEL").write_text("debug")
    monkeypatch.setenv("TRICKLE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("TRICKLE_LOG_LEVEL", "error")

    settings = read_settings(AuthSettings)

    assert GOOD["DATABASE_URL"] == settings.database_dsn
    assert "error" == settings.log_level
    assert {} == unknown_names(AuthSettings)


def test_a_missing_folder_of_secrets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICKLE_SECRETS_DIR", "/nowhere/at/all")

    with pytest.raises(Misconfigured, match="TRICKLE_SECRETS_DIR: there is no folder"):
        read_settings(AuthSettings)


def test_every_problem_is_told_at_once_by_the_name_to_change() -> None:
    bad = {
        **GOOD,
        "TRICKLE_PORT": "70000",
        "TRICKLE_ISSUER": "login.example.com",
        "TRICKLE_LOG_LEVEL": "loud",
    }
    del bad["DATABASE_URL"]

    with pytest.raises(Misconfigured) as caught:
        read_settings(AuthSettings, bad)

    for name in ("DATABASE_URL", "TRICKLE_PORT", "TRICKLE_ISSUER", "TRICKLE_LOG_LEVEL"):
        assert f"{name}: " in str(caught.value)


def test_no_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://u:hunter3@mq/")
    bad = {**GOOD, "TRICKLE_KEY_RING": "k1:hunter4", "TRICKLE_PORT": "hunter5"}

    with pytest.raises(Misconfigured) as caught:
        read_settings(AuthSettings, bad)

    assert "hunter" not in str(caught.value)
    assert "hunter" not in repr(read_settings(AuthSettings, GOOD))


def test_settings_cannot_be_changed() -> None:
    settings = read_settings(WorkerSettings, GOOD)

    with pytest.raises(ValueError, match="frozen"):
        settings.concurrency = 4  # type: ignore[misc]  # that it may not is the point


def test_names_that_mean_nothing_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICKLE_CONCURENCY", "4")
    monkeypatch.setenv("TRICKLE_CONCURRENCY", "4")

    assert {"TRICKLE_CONCURENCY": "it is ignored: is TRICKLE_CONCURRENCY meant?"} == unknown_names(
        WorkerSettings
    )


def test_files_of_secrets_that_mean_nothing_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TRICKLE_KEY_RING", "TRICKLE_KEY_RNG", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("TRICKLE_SECRETS_DIR", str(tmp_path))

    assert ["TRICKLE_KEY_RNG"] == list(unknown_names(WorkerSettings))


def test_one_environment_does_for_both_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_ONE_SERVICE | {"TRICKLE_ISUER", "TRICKLE_SOMETHING_ELSE"}:
        monkeypatch.setenv(name, "x")
    remarks = {
        "TRICKLE_ISUER": "it is ignored: is TRICKLE_ISSUER meant?",
        "TRICKLE_SOMETHING_ELSE": "it is ignored",
    }

    assert remarks == unknown_names(WorkerSettings)
    assert remarks == unknown_names(AuthSettings)


def test_what_is_said_to_be_of_one_service_is() -> None:
    auth, worker, both = (
        {env_name(kind, (name,)) for name in kind.model_fields}
        for kind in (AuthSettings, WorkerSettings, ServiceSettings)
    )

    assert auth & worker == both
    assert auth ^ worker == OF_ONE_SERVICE


def test_a_broker_is_asked_for_when_it_is_needed() -> None:
    settings = read_settings(WorkerSettings, GOOD)

    with pytest.raises(Misconfigured, match="AMQP_URL"):
        _ = settings.amqp_dsn


def test_every_setting_says_what_it_means() -> None:
    for kind in (AuthSettings, WorkerSettings):
        for name, field in kind.model_fields.items():
            assert field.description, env_name(kind, (name,))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgres//u:hunter2@db/x"),
        ("DATABASE_URL", "mysql://u:hunter2@db/x"),
        ("DATABASE_URL", "postgresql://u:hunter2/3@db/x"),
        ("DATABASE_URL", "postgresql://u:42/hunter2@db/x"),
        ("DATABASE_URL", "postgresql://u:hunter2#3@db/x"),
        ("DATABASE_URL", "postgresql://u:p@[db/hunter2"),
        ("DATABASE_URL", "postgresql://u:p@db:hunter2/x"),
        ("DATABASE_URL", "hunter2"),
        ("AMQP_URL", "amqp//u:hunter2@mq/"),
        ("AMQP_URL", "amqp://u:hunter2/3@mq/"),
        ("AMQP_URL", "amqp://u:p@mq:hunter2/"),
        ("TRICKLE_SMTP_URL", "smtp://u:hunter2/3@mail"),
    ],
)
def test_a_url_that_no_driver_can_read_is_refused_without_being_shown(name: str, url: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings(AuthSettings, GOOD | {name: url})

    assert f"{name}: " in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%2F@one:5432,two:5432/x?target_session_attrs=primary",
        "postgres://u@[::1]:5432/x",
        "postgresql:///x?host=/run/postgresql",
    ],
)
def test_every_kind_of_database_url_is_one(url: str) -> None:
    assert url == read_settings(AuthSettings, GOOD | {"DATABASE_URL": url}).database_dsn
