"""The AsyncAPI 3 document: what a team that integrates over the queue may rely on.

Names, arguments and models come from the code that uses them (`shared.topology`,
`shared.contracts`), so the document can't say otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from shared.contracts import (
    MAX_MESSAGE_BYTES,
    SCHEMA_VERSION,
    ConnectionId,
    ExecutionRequest,
    ExecutionResult,
)
from shared.events import (
    EventType,
    ExecutionDecidedEvent,
    LoginDeniedEvent,
    UserImportedEvent,
)
from shared.topology import Names
from shared.transport import CONTENT_TYPE, EVENT_TYPE, REQUEST_TYPE, RESULT_TYPE, Exchange, Queue

JSON = dict[str, Any]
BINDING_VERSION: Final = "0.3.0"
_NAMES: Final = Names()
_CONNECTION: Final = "{connection_id}"
_INTEGRATOR: Final = "{integrator}"
_EVENTS: Final[dict[str, type[BaseModel]]] = {
    "userImported": UserImportedEvent,
    "loginDenied": LoginDeniedEvent,
    "executionDecided": ExecutionDecidedEvent,
}
EVENTS: Final = tuple(model.__name__ for model in _EVENTS.values())
"""Names of their models."""
_INFO: Final = f"""\
One execution is one run of a connection's action script. A request asks for it; exactly one
outcome is recorded for it, and every published result for it carries that outcome.

* The wire is at least once: consumers of results deduplicate by `execution_id`.
* Publish requests `mandatory`, persistent, with confirms and an `expiration` of what is left until
  `deadline`; a full queue refuses (`basic.nack`) instead of dropping.
* Arguments and values are sealed (AES-256-GCM) for one execution, connection, revision, action,
  deadline and direction; the broker never sees a password or a profile.
* `message_id` is fresh per publish, `correlation_id` is the execution id, `type` names the message.
* `revision` may be absent: the current one runs, and the seal is bound to an empty string. `origin` is
  an integrator's name, and its `reply_to` begins with it and a dot.
* A key is HKDF-SHA256 (no salt, info `trickle/1/arguments` or `trickle/1/value`, 32 bytes) of the
  sealing key; the associated data are direction, execution id, connection, revision, action and
  deadline (microseconds since 1970), joined by NUL.
* Events are told at least once, to queues that we declare: deduplicate by `event_id`.
* A message may have at most {MAX_MESSAGE_BYTES} bytes. Fields are only ever added: ignore what
  you do not know.
* Exchange and queue names begin with `TRICKLE_BROKER_PREFIX`, here `{_NAMES.prefix}`.
"""


def document() -> JSON:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Trickle: executions of action scripts",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": _INFO,
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "amqp",
                "protocolVersion": "0-9-1",
                "description": "RabbitMQ 3.10 or later; amqps:// for TLS. Quorum queues are used.",
                "variables": {"host": {"description": "host and port of AMQP_URL"}},
                "security": [{"$ref": "#/components/securitySchemes/broker"}],
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": schemas("#/components/schemas/{model}"),
            "securitySchemes": {
                "broker": {
                    "type": "userPassword",
                    "description": "A broker user. Topic permissions on the exchanges restrict who"
                    " may ask for which connection, and who may answer.",
                }
            },
        },
    }


def schemas(ref_template: str) -> JSON:
    """The JSON Schemas of both messages and of what they contain, by name."""
    models: list[type[BaseModel]] = [
        *(ExecutionRequest, ExecutionResult),
        *(UserImportedEvent, LoginDeniedEvent, ExecutionDecidedEvent),
    ]
    _, found = models_json_schema(
        [(model, "serialization") for model in models], ref_template=ref_template
    )
    definitions: JSON = found["$defs"]
    _require_tags(definitions)
    return definitions


def _require_tags(definitions: JSON) -> None:
    """A union is told apart by its tag, so the tag is required although the models default it."""
    outcome = definitions["ExecutionResult"]["properties"]["outcome"]
    tag = outcome["discriminator"]["propertyName"]
    for alternative in outcome["oneOf"]:
        required = definitions[alternative["$ref"].rpartition("/")[2]].setdefault("required", [])
        if tag not in required:
            required.insert(0, tag)


def _channels() -> JSON:
    base, own = _NAMES.base(), _NAMES.connection(_CONNECTION)
    exchanges = {exchange.name: exchange for exchange in base.exchanges}
    queues = {queue.name: queue for queue in (*base.queues, *own.queues)}
    theirs = _NAMES.integrator(_INTEGRATOR, ()).queues
    integrator = {"integrator": {"description": "The integrator's name."}}
    pattern = TypeAdapter(ConnectionId).json_schema()["pattern"]
    connection = {"connection_id": {"description": f"The connection's id, `{pattern}`."}}
    return {
        "requests": {
            "address": _CONNECTION,
            "title": "Where requests are published; the routing key is the connection's id",
            "parameters": connection,
            "messages": {"executionRequest": _ref("messages/executionRequest")},
            "bindings": _exchange(exchanges[_NAMES.requests]),
        },
        "requestQueue": {
            "address": _NAMES.request_queue(_CONNECTION),
            "title": "Where the workers take a connection's requests from",
            "parameters": connection,
            "messages": {"executionRequest": _ref("messages/executionRequest")},
            "bindings": _queue(queues[_NAMES.request_queue(_CONNECTION)]),
        },
        "replies": {
            "address": "{reply_to}",
            "title": "Where results are published; the routing key is the request's `reply_to`",
            "description": f"A result that no queue is bound for goes to `{_NAMES.orphans}`, where"
            " any replica of auth takes it.",
            "parameters": {
                "reply_to": {
                    "description": "Chosen by whoever asks, and bound to a queue of its own."
                }
            },
            "messages": {"executionResult": _ref("messages/executionResult")},
            "bindings": _exchange(exchanges[_NAMES.replies]),
        },
        "integratorReplies": {
            "address": _NAMES.integrator_queue(_INTEGRATOR, "replies"),
            "title": "Where an integrator takes its results from",
            "parameters": integrator,
            "messages": {"executionResult": _ref("messages/executionResult")},
            "bindings": _queue(theirs[0]),
        },
        "events": {
            "address": "{type}.{connection_id}",
            "title": "Where events are published; the routing key is the type and the connection's id",
            "parameters": {"type": {"enum": [str(kind) for kind in EventType]}} | connection,
            "messages": {name: _ref(f"messages/{name}") for name in _EVENTS},
            "bindings": _exchange(exchanges[_NAMES.events]),
        },
        "integratorEvents": {
            "address": _NAMES.integrator_queue(_INTEGRATOR, "events"),
            "title": "Where an integrator takes the events of its connections from",
            "parameters": integrator,
            "messages": {name: _ref(f"messages/{name}") for name in _EVENTS},
            "bindings": _queue(theirs[1]),
        },
        "deadLetters": {
            "address": _NAMES.dead,
            "title": "Requests that expired, were rejected, or were delivered too often",
            "description": "auth decides each of them, so that it has its one outcome too.",
            "messages": {"executionRequest": _ref("messages/executionRequest")},
            "bindings": _queue(queues[_NAMES.dead]),
        },
        "orphans": {
            "address": _NAMES.orphans,
            "title": "Results whose asker is gone",
            "messages": {"executionResult": _ref("messages/executionResult")},
            "bindings": _queue(queues[_NAMES.orphans]),
        },
    }


def _operations() -> JSON:
    request, result = "executionRequest", "executionResult"
    return {
        "acceptRequest": {
            **_operation("receive", "requests", request),
            "summary": "Ask for an execution.",
            "bindings": {
                "amqp": {"mandatory": True, "deliveryMode": 2, "bindingVersion": BINDING_VERSION}
            },
            "reply": {
                "address": {
                    "location": "$message.payload#/reply_to",
                    "description": "the routing key on the replies exchange",
                },
                "channel": {"$ref": "#/channels/replies"},
                "messages": [{"$ref": f"#/channels/replies/messages/{result}"}],
            },
        },
        "takeRequest": {
            **_operation("receive", "requestQueue", request),
            "summary": "A worker claims the execution, runs the script, records the outcome once,"
            " publishes it with a confirm, and acks.",
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        },
        "publishResult": {
            **_operation("send", "replies", result),
            "summary": "Tell the one outcome, at least once.",
            "bindings": {
                "amqp": {"mandatory": True, "deliveryMode": 2, "bindingVersion": BINDING_VERSION}
            },
        },
        "takeResult": {
            **_operation("send", "integratorReplies", result),
            "summary": "An integrator takes its results, and drops copies by `execution_id`.",
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        },
        "publishEvent": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in _EVENTS],
            "summary": "Tell what happened, at least once, some time after it did.",
            "bindings": {"amqp": {"deliveryMode": 2, "bindingVersion": BINDING_VERSION}},
        },
        "takeEvent": {
            "action": "send",
            "channel": {"$ref": "#/channels/integratorEvents"},
            "messages": [
                {"$ref": f"#/channels/integratorEvents/messages/{name}"} for name in _EVENTS
            ],
            "summary": "An integrator takes the events of its connections.",
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        },
        "decideDeadLetter": {
            **_operation("receive", "deadLetters", request),
            "summary": "auth decides a request that no worker decided.",
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        },
        "adoptOrphan": {
            **_operation("receive", "orphans", result),
            "summary": "Any replica of auth applies the result of one that is gone.",
            "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        },
    }


def _operation(action: str, channel: str, message: str) -> JSON:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages() -> JSON:
    return {
        "executionRequest": _message("ExecutionRequest", REQUEST_TYPE, ExecutionRequest),
        "executionResult": _message("ExecutionResult", RESULT_TYPE, ExecutionResult),
        **{name: _event(model) for name, model in _EVENTS.items()},
    }


def _message(name: str, kind: str, model: type[BaseModel]) -> JSON:
    return {
        "name": name,
        "title": " ".join((model.__doc__ or "").split()),
        "contentType": CONTENT_TYPE,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": _ref(f"schemas/{name}"),
        },
        "headers": {
            "type": "object",
            "properties": {
                "traceparent": {"type": "string", "description": "W3C Trace Context, version 00"}
            },
        },
        "correlationId": {
            "location": "$message.payload#/execution_id",
            "description": "also the AMQP property `correlation_id`",
        },
        "bindings": {"amqp": {"messageType": kind, "bindingVersion": BINDING_VERSION}},
    }


def _event(model: type[BaseModel]) -> JSON:
    message = _message(model.__name__, EVENT_TYPE, model)
    where = {"location": "$message.payload#/event_id", "description": "the same in every copy"}
    return {name: what for name, what in message.items() if name != "headers"} | {
        "correlationId": where
    }


def _exchange(exchange: Exchange) -> JSON:
    described: JSON = {
        "name": exchange.name,
        "type": exchange.kind,
        "durable": True,
        "autoDelete": False,
    }
    return {"amqp": {"is": "routingKey", "exchange": described, "bindingVersion": BINDING_VERSION}}


def _queue(queue: Queue) -> JSON:
    described = {
        "name": queue.name,
        "durable": True,
        "exclusive": False,
        "autoDelete": False,
        "x-arguments": queue.arguments,
    }
    return {"amqp": {"is": "queue", "queue": described, "bindingVersion": BINDING_VERSION}}


def _ref(place: str) -> JSON:
    return {"$ref": f"#/components/{place}"}
