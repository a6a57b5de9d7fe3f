"""The one door to RabbitMQ: connection, topology, publisher, consumer."""
