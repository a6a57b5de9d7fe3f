"""What an import plans, and what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.standalone.http_client import Answer
from services.standalone.tenant_folder.applying import HalfDone, apply
from services.standalone.tenant_folder.comparing import merged_options
from services.standalone.tenant_folder.exporting import export
from services.standalone.tenant_folder.keywords import Keywords
from services.standalone.tenant_folder.management_api import Refused, Snapshot
from services.standalone.tenant_folder.model import (
    Client,
    ClientEntry,
    Database,
    DatabaseEntry,
    Folder,
    TenantEntry,
    Unusable,
)
from services.standalone.tenant_folder.plan import Plan
from services.standalone.tenant_folder.planning import Choices, make_plan
from services.standalone.tenant_folder.rendering import as_text

OURS = {"client_id": "ours", "name": "Management", "app_type": "non_interactive"}
SPA = {"client_id": "spa1", "name": "My SPA", "app_type": "spa"}


def folder(
    options: dict[str, Any] | None = None,
    clients: tuple[Client, ...] = (),
    tenant: dict[str, Any] | None = None,
    **top: Any,
) -> Folder:
    given = options or {}
    scripts = given.get("customScripts", {})
    entry = DatabaseEntry(name="shop", options=given, **top)
    return Folder(
        databases=(Database(place="shop/database.json", entry=entry, templates=scripts),),
        clients=clients,
        tenant=None if tenant is None else TenantEntry(**tenant),
    )


def client(**given: Any) -> Client:
    return Client(place=f"clients/{given['name']}.json", entry=ClientEntry(**given))


def server(options: dict[str, Any] | None = None, *more: Mapping[str, Any], **top: Any) -> Snapshot:
    connection = {"id": "con_1", "name": "shop", "options": options or {}, "realms": ["shop"]}
    return Snapshot(
        clients=(OURS, SPA, *(dict(one) for one in more)),
        connections=({**connection, "enabled_clients": [], **top},),
        own_client_id="ours",
    )


def planned(wanted: Folder, there: Snapshot, **choices: bool) -> Plan:
    return make_plan(wanted, there, Keywords({"PW": "hunter22"}), Choices(**choices))


def told(plan: Plan) -> str:
    return "\n".join(as_text(plan))


class FakeServer:
    """Records what is sent; answers with a revision of its own making."""

    def __init__(self, options: dict[str, Any] | None = None, refuses: str = "") -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.revision: Any = "1"
        self.next_revision = "1"
        self._options = options or {}
        self._refuses = refuses

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        if method != "GET":
            self.sent.append((method, path, body))
            self.revision = self.next_revision
        if self._refuses and path.startswith(self._refuses):
            raise Refused(f"{method} {path}: 400")
        made: dict[str, Any] = {
            "id": "con_new",
            "client_id": "new",
            "name": "x",
            "options": self._options,
        }
        made |= {"app_type": "native", "friendly_name": "Shop", "flags": {"a": True, "b": True}}
        made["name"] = (body or {}).get("name", "x") if isinstance(body, dict) else "x"
        headers = {"x-trickle-revision": self.revision} if self.revision else {}
        return Answer(200, made, headers)


def quiet(_: str) -> None:
    """Progress is nobody's business here."""


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ({}, {"customScripts": {}, "configuration": {}}),
        ({"a": 1, "b": [1]}, {"b": [1]}),
        ({"enable_script_context": True}, {"enable_script_context": False}),
        ({"configuration": {"A": ""}}, {"configuration": {"A": ""}}),
        ({"configuration": {"A": "tr1.x"}}, {"configuration": {"A": "tr1.x"}}),
    ],
)
def test_equal_is_unchanged(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    plan = planned(folder(wanted), server(current))

    assert () == plan.writes
    assert told(plan).endswith("no change")


def test_values_are_shown_only_where_they_are_plain() -> None:
    current = {"a": False, "b": "old-s3cret", "c": 1, "configuration": {"GONE": "tr1.s3cret"}}
    wanted = {"a": True, "b": "new-s3cret", "c": "s3cret", "configuration": {"NEW": "s3cret"}}

    text = told(planned(folder(wanted, display_name="s3cret"), server(current)))

    assert "s3cret" not in text
    for line in (
        "display_name",
        "options.a: false -> true",
        "options.b",
        "options.c",
        "configuration: NEW: set",
        "configuration: GONE: removed",
    ):
        assert f"    {line}\n" in text


def test_true_is_not_one() -> None:
    assert planned(folder({"a": True}), server({"a": 1})).changed


def test_a_stored_value_is_sent_and_neither_changed_nor_unchanged() -> None:
    wanted, there = folder({"configuration": {"A": "x"}}), server({"configuration": {"A": "tr1.x"}})

    plan, kept = planned(wanted, there), planned(wanted, there, keep_configuration=True)

    assert ((), 1) == (plan.changed, len(plan.writes))
    assert () == kept.writes


@pytest.mark.parametrize(
    ("revision", "after", "differed", "lines"),
    [("1", "1", False, 0), ("1", "2", True, 1), (None, None, False, 1)],
)
async def test_the_result_says_whether_it_made_a_difference(
    revision: Any, after: Any, differed: bool, lines: int
) -> None:
    current = {"configuration": {"A": "tr1.x"}, "theirs": 1}
    fake = FakeServer(current)
    fake.revision, fake.next_revision = revision, after
    plan = planned(folder({"configuration": {"A": "x"}}), server(current))

    applied = await apply(plan, fake, quiet)

    assert [
        ("PATCH", "connections/con_1", {"options": {"configuration": {"A": "x"}, "theirs": 1}})
    ] == (fake.sent)
    assert (differed, lines) == (applied.differed, len(applied.done))


def test_a_rotated_keyword_in_a_script_is_never_shown() -> None:
    template = "function login(a, b, cb) {\n  connect('##PW##');\n  cb(null);\n}"
    there = server({"customScripts": {"login": template.replace("##PW##", "old-s3cret")}})
    database = Database(
        place="shop/database.json",
        entry=DatabaseEntry(
            name="shop",
            options={"customScripts": {"login": template.replace("##PW##", "hunter22")}},
        ),
        templates={"login": template},
    )

    text = told(planned(Folder(databases=(database,), clients=None), there))

    assert "only the value of a keyword differs" in text
    assert "s3cret" not in text
    assert "hunter22" not in text


def test_older_and_newer_identifier_options_replace_each_other() -> None:
    """As auth0-deploy-cli merges them."""
    newer = merged_options(
        {"requires_username": True, "validation": {}, "x": 1},
        {"attributes": {"email": {}}},
        keep_configuration=False,
    )
    older = merged_options(
        {"attributes": {"email": {}}}, {"requires_username": True}, keep_configuration=False
    )

    assert {"x": 1, "attributes": {"email": {}}} == newer
    assert {"requires_username": True} == older


def test_clients_are_switched_by_name() -> None:
    wanted = folder({}, (client(name="New"),), enabled_clients=["New", "My SPA", "spa1"])

    change = planned(wanted, server({}, enabled_clients=["ours"])).changed[-1]

    assert (("My SPA", "New"), ("Management",)) == (change.clients_on, change.clients_off)


def test_a_name_that_two_clients_have_is_a_problem_where_it_is_used() -> None:
    twin = SPA | {"client_id": "spa2"}

    assert not planned(folder({}), server({}, twin)).changed
    with pytest.raises(Unusable) as caught:
        planned(
            folder({}, (client(name="My SPA", app_type="spa"),), enabled_clients=["My SPA"]),
            server({}, twin),
        )
    assert 2 == len(caught.value.problems)
    by_id = folder({}, (client(name="My SPA", client_id="spa2", app_type="spa"),))
    assert not planned(by_id, server({}, twin)).changed


async def test_everything_is_sent_in_order_and_deletes_come_last() -> None:
    options = {"customScripts": {"login": "x"}}
    wanted = folder(
        options,
        (
            client(name="New", app_type="native", callbacks=["x"]),
            client(name="My SPA", app_type="native"),
        ),
        {"friendly_name": "Shop", "unheard_of": 1, "flags": {"b": True}},
        enabled_clients=["New"],
    )
    there = Snapshot(
        clients=(OURS, SPA, SPA | {"client_id": "old1", "name": "Old"}),
        connections=({"id": "con_2", "name": "old", "options": {}, "enabled_clients": []},),
        tenant={"friendly_name": "", "picture_url": "", "flags": {"a": True}},
        own_client_id="ours",
    )
    fake = FakeServer()

    plan = planned(wanted, there, allow_delete=True)
    applied = await apply(plan, fake, quiet)

    settings = {"friendly_name": "Shop", "unheard_of": 1, "flags": {"a": True, "b": True}}
    created = {"name": "shop", "strategy": "auth0", "options": options}
    assert [
        ("POST", "clients", {"name": "New", "app_type": "native", "callbacks": ["x"]}),
        ("PATCH", "clients/spa1", {"app_type": "native"}),
        ("POST", "connections", created),
        ("PATCH", "connections/con_new/clients", [{"client_id": "new", "status": True}]),
        ("PATCH", "tenants/settings", settings),
        ("DELETE", "connections/con_2", None),
        ("DELETE", "clients/old1", None),
    ] == fake.sent
    assert 8 == len(applied.done), applied.done
    assert "tenant settings: not kept by the server: unheard_of" in applied.done
    assert "delete connection old and all its users" in told(plan)


def test_without_the_word_nothing_is_deleted() -> None:
    empty = Folder(databases=(), clients=())

    assert () == planned(empty, server({})).changes
    assert 2 == len(planned(empty, server({}), allow_delete=True).changes)
    silent = Folder(databases=None, clients=None)
    assert () == planned(silent, server({}), allow_delete=True).changes


async def test_what_was_done_before_a_refusal_is_told() -> None:
    wanted = folder({"a": 1}, (client(name="New"),))

    with pytest.raises(HalfDone) as caught:
        await apply(planned(wanted, server({})), FakeServer(refuses="connections"), quiet)

    assert ["created client New"] == caught.value.applied.done
    assert "connection shop: GET connections/con_1: 400" == str(caught.value)


def test_an_export_names_clients_and_hides_what_is_secret() -> None:
    there = server(
        {"configuration": {"db.url": "tr1.x", "db-url": "tr1.y", "NONE": ""}, "customScripts": {}},
        SPA | {"client_id": "t1", "name": "Twin"},
        SPA | {"client_id": "t2", "name": "Twin"},
        SPA | {"client_id": "c1", "name": "a/b", "client_secret": "s3cret"},
        SPA | {"client_id": "c2", "name": "A:B"},
        enabled_clients=["t2", "spa1"],
    )

    plain = export(there, "directory", keywords=False)
    named = export(there, "directory", keywords=True)
    text = named.files["database-connections/shop/database.json"]

    assert [
        "clients/A-B.json",
        "clients/My SPA.json",
        "clients/a-b-2.json",
        "database-connections/shop/database.json",
    ] == sorted(plain.files)
    assert "s3cret" not in "".join(plain.files.values())
    assert "configuration" not in plain.files["database-connections/shop/database.json"]
    assert '"db-url": "##SHOP_DB_URL##"' in text
    assert '"db.url": "##SHOP_DB_URL_2##"' in text
    assert '"NONE": ""' in text
    assert '"enabled_clients": [\n    "My SPA",\n    "t2"\n  ]' in text
