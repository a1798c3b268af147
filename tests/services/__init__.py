"""
Private RabbitMQ and PostgreSQL servers, and a TCP connection that breaks on request.

Started from the installed binaries on loopback, each in a folder of its own, and gone when their owner is
gone, however it ends. Used by the tests' fixtures, by the launcher that runs the compose file without
containers, and by hand: `python -m tests.services`. Never touches a server it did not start.
"""
