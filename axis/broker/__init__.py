"""RabbitMQ: topology, consumer and publisher. `axis.broker.wire` is the AMQP contract that stations share."""
