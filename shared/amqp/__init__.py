"""The one door to RabbitMQ: links that come back, topology, publishing, consuming."""

from shared.amqp.transport import open_transport

__all__ = ["open_transport"]
