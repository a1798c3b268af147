"""
Starts a private RabbitMQ and PostgreSQL and prints how to use them, until Ctrl-C.

    python -m tests.services             start both and wait
    python -m tests.services install     only make sure the binaries are there

Several test runs can then share one pair of servers: copy the printed lines into the other shell.
"""

import signal
import sys
import threading

from tests.services.packages import postgres_folder, rabbitmq_folder, tools
from tests.services.processes import ServiceUnavailable
from tests.services.shared import AMQP_URL, DATABASE_URL, MANAGEMENT_URL, SharedServices


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["install"]:
            rabbitmq_folder()
            postgres_folder()
            tools()
            return 0
        if arguments:
            print(__doc__, file=sys.stderr)
            return 2
        services = SharedServices.make(environment={})
        try:
            broker, database = services.broker(), services.database()
            print(f"export {AMQP_URL}={broker.url()}")
            print(f"export {MANAGEMENT_URL}={broker.management_url}")
            print(f"export {DATABASE_URL}={database.url}")
            print("# Ctrl-C ends them", flush=True)
            over = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: over.set())
            over.wait()
        except KeyboardInterrupt:
            pass
        finally:
            services.stop()
    except ServiceUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
