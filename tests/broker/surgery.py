"""What an operator can do to a private RabbitMQ node with its own tool, and a test uses to make it misbehave."""

from __future__ import annotations

import subprocess

from tests.services.packages import rabbitmq_folder
from tests.services.rabbitmq import RabbitMQNode


def rabbitmqctl(node: RabbitMQNode, *arguments: str) -> str:
    """Run `rabbitmqctl` against the node and return what it prints."""
    done = subprocess.run(
        [str(rabbitmq_folder() / "rabbitmqctl"), "--node", node.name, *arguments],
        env=node._write(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def silence_queue(node: RabbitMQNode, queue: str) -> None:
    """Suspend the process that leads a quorum queue: it takes everything and answers nothing."""
    rabbitmqctl(node, "eval", f"sys:suspend({{'%2F_{queue}', node()}}).")


def wake_queue(node: RabbitMQNode, queue: str) -> None:
    """Let it go on; what it was sent meanwhile takes effect."""
    rabbitmqctl(node, "eval", f"sys:resume({{'%2F_{queue}', node()}}).")


def haunt_queue(node: RabbitMQNode, queue: str, *, vhost: str = "/", prefetch: int = 32) -> None:
    """
    Leave a consumer at a quorum queue that nobody hears of and that never acknowledges: the next `prefetch` messages
    are its own. RabbitMQ 3.10 does so by itself when a node is away in the seconds in which its client ends.
    """
    found = rabbitmqctl(
        node,
        "eval",
        f"""{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),
        Ghost = spawn(fun() -> receive stop -> ok end end),
        Meta = #{{ack => true, prefetch => {prefetch}, username => <<"ghost">>, args => []}},
        Take = rabbit_fifo:make_checkout({{<<"ghost">>, Ghost}}, {{auto, {prefetch}, simple_prefetch}}, Meta),
        element(1, ra:process_command(amqqueue:get_pid(Q), Take, 20000)).""",
    )
    assert found.strip() == "ok", found


def hurry_statistics(node: RabbitMQNode) -> None:
    """Let quorum queues made from now on tell their numbers four times a second instead of once in five."""
    rabbitmqctl(node, "eval", "application:set_env(rabbit, quorum_tick_interval, 250).")
