"""
What a station can do at the broker, and what it cannot: every operation, with two stations, tried on a real server.

The table is the expectation; `tests/broker/test_permissions.py` tries every row, and docs/broker-permissions.md is
this table in words (`python -m tests.broker.permissions` writes it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiormq
from pamqp.commands import Basic

from axis.broker import wire
from axis.core.model import StationId
from tests.broker.wiretap import Wiretap

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "broker-permissions.md"


@dataclass(frozen=True, slots=True)
class Scene:
    """Two stations as one of them sees the broker."""

    me: StationId
    mine: wire.StationQueues
    other: StationId
    others: wire.StationQueues


Operation = Callable[[Wiretap, Scene], Awaitable[object]]

YES: Final = "possible"
DENIED: Final = "refused: no right (403)"
FORGED: Final = "refused: not your user (406)"
MISSING: Final = "refused: no such queue (404)"
UNKNOWN: Final = "refused: not a broker operator"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing a station may try."""

    section: str
    what: str
    expected: str
    operation: Operation
    remark: str = ""


def _publish(
    exchange: str, key: str, *, headers: dict[str, object] | None = None, user: str = "me"
) -> Operation:
    async def operation(client: Wiretap, scene: Scene) -> None:
        names = {"me": scene.me, "other": scene.other}
        await client.publish(
            _filled(exchange, scene),
            _filled(key, scene),
            message_id="m",
            user_id=names.get(user),
            headers=None
            if headers is None
            else {name: [_filled(str(key), scene) for key in keys] for name, keys in _lists(headers)},
        )

    return operation


def _lists(headers: dict[str, object]) -> list[tuple[str, list[object]]]:
    return [(name, list(keys) if isinstance(keys, list) else [keys]) for name, keys in headers.items()]


def _filled(text: str, scene: Scene) -> str:
    return (
        text.replace("{me}", scene.me)
        .replace("{other}", scene.other)
        .replace("{my inbox}", scene.mine.inbox)
        .replace("{my urgent}", scene.mine.urgent)
        .replace("{my receipts}", scene.mine.receipts)
        .replace("{other's inbox}", scene.others.inbox)
        .replace("{other's receipts}", scene.others.receipts)
    )


def _consume(queue: str) -> Operation:
    async def operation(client: Wiretap, scene: Scene) -> None:
        async def ignore(_: aiormq.abc.DeliveredMessage) -> None:
            pass

        await client.channel.basic_consume(_filled(queue, scene), ignore, timeout=15)

    return operation


def _get(queue: str) -> Operation:
    return lambda client, scene: client.channel.basic_get(_filled(queue, scene), timeout=15)


def _purge(queue: str) -> Operation:
    return lambda client, scene: client.channel.queue_purge(_filled(queue, scene), timeout=15)


def _look(queue: str) -> Operation:
    return lambda client, scene: client.channel.queue_declare(_filled(queue, scene), passive=True, timeout=15)


def _look_at_exchange(exchange: str) -> Operation:
    return lambda client, _: client.channel.exchange_declare(exchange, passive=True, timeout=15)


def _declare(queue: str, *, exclusive: bool = False) -> Operation:
    return lambda client, scene: client.channel.queue_declare(
        _filled(queue, scene), durable=not exclusive, exclusive=exclusive, timeout=15
    )


def _declare_exchange(exchange: str) -> Operation:
    return lambda client, _: client.channel.exchange_declare(exchange, exchange_type="topic", timeout=15)


def _bind(queue: str, exchange: str, key: str) -> Operation:
    return lambda client, scene: client.channel.queue_bind(
        _filled(queue, scene), exchange, _filled(key, scene), timeout=15
    )


def _unbind(queue: str, exchange: str, key: str) -> Operation:
    return lambda client, scene: client.channel.queue_unbind(
        _filled(queue, scene), exchange, _filled(key, scene), timeout=15
    )


def _bind_exchanges(destination: str, source: str) -> Operation:
    return lambda client, _: client.channel.exchange_bind(destination, source, "#", timeout=15)


def _delete(queue: str) -> Operation:
    return lambda client, scene: client.channel.queue_delete(_filled(queue, scene), timeout=15)


def _delete_exchange(exchange: str) -> Operation:
    return lambda client, _: client.channel.exchange_delete(exchange, timeout=15)


async def _expire(client: Wiretap, scene: Scene) -> None:
    properties = Basic.Properties(
        message_id="m", user_id=scene.me, expiration="60000", reply_to=scene.others.inbox
    )
    await client.publish_raw(wire.SUBMIT, f"edoc.normal.{scene.me}", b"<edXML/>", properties)


_PUBLISH, _READ, _LOOK, _CHANGE = (
    "Publish",
    "Read",
    "Look",
    "Change",
)
_OWN = "edoc.normal.{me}"
_NOBODY = "The axis records it as nobody's and refuses it (`receive.no_station`)."
_STILL_MINE = "Every copy is still a submission of the station that sent it: the key proves nothing."
_REOFFERED = "Loses nothing: what was not acknowledged on `axis.ack` is offered again by the ledger."

TABLE: Final[Sequence[Row]] = (
    Row(_PUBLISH, "submit with `edoc.normal.<itself>`", YES, _publish(wire.SUBMIT, _OWN)),
    Row(_PUBLISH, "submit with `edoc.urgent.<itself>`", YES, _publish(wire.SUBMIT, "edoc.urgent.{me}")),
    Row(_PUBLISH, "submit with `status.normal.<itself>`", YES, _publish(wire.SUBMIT, "status.normal.{me}")),
    Row(_PUBLISH, "submit with another station's key", DENIED, _publish(wire.SUBMIT, "edoc.normal.{other}")),
    Row(_PUBLISH, "submit with a longer key", DENIED, _publish(wire.SUBMIT, "edoc.normal.{me}.{other}")),
    Row(_PUBLISH, "submit with a key that begins elsewhere", DENIED, _publish(wire.SUBMIT, "x.edoc.normal.{me}")),
    Row(_PUBLISH, "submit with a lane that is none", DENIED, _publish(wire.SUBMIT, "status.urgent.{me}")),
    Row(_PUBLISH, "submit with an empty key", DENIED, _publish(wire.SUBMIT, "")),
    Row(_PUBLISH, "submit with a line break behind the key", DENIED, _publish(wire.SUBMIT, "edoc.normal.{me}\n")),
    Row(_PUBLISH, "submit with a pattern for a key", DENIED, _publish(wire.SUBMIT, "edoc.*.#")),
    Row(_PUBLISH, "own key, and another station's in `CC`", YES,
        _publish(wire.SUBMIT, _OWN, headers={"CC": ["edoc.urgent.{other}"]}),
        "The broker checks the first key only. " + _STILL_MINE),
    Row(_PUBLISH, "own key, and another station's in `BCC`", YES,
        _publish(wire.SUBMIT, _OWN, headers={"BCC": ["edoc.urgent.{other}"]}), _STILL_MINE),
    Row(_PUBLISH, "own key, and a queue of another station in `CC`", YES,
        _publish(wire.SUBMIT, _OWN, headers={"CC": ["{other's inbox}", "axis.dead"]}),
        "Keys of `axis.submit` lead to intake queues only; one that leads nowhere adds nothing."),
    Row(_PUBLISH, "submit without `user_id`", YES, _publish(wire.SUBMIT, _OWN, user="nobody"), _NOBODY),
    Row(_PUBLISH, "submit with another station's `user_id`", FORGED, _publish(wire.SUBMIT, _OWN, user="other")),
    Row(_PUBLISH, "submit with `expiration` and a foreign `reply_to`", YES, _expire,
        "Nothing reads `reply_to`. A message that expires before it is read is buried and found there."),
    Row(_PUBLISH, "acknowledge with its own key", YES, _publish(wire.ACK, "{me}")),
    Row(_PUBLISH, "acknowledge with another station's key", DENIED, _publish(wire.ACK, "{other}")),
    Row(_PUBLISH, "acknowledge with its own key, and another's in `CC`", YES,
        _publish(wire.ACK, "{me}", headers={"CC": ["{other}"]}), _STILL_MINE),
    Row(_PUBLISH, "to `axis.inbox` with its own queue", DENIED, _publish(wire.INBOX, "{my inbox}")),
    Row(_PUBLISH, "to `axis.inbox` with another station's queue", DENIED, _publish(wire.INBOX, "{other's inbox}")),
    Row(_PUBLISH, "to `axis.dead`", DENIED, _publish(wire.DEAD, "")),
    Row(_PUBLISH, "to `axis.unrouted`", DENIED, _publish(wire.UNROUTED, "")),
    Row(_PUBLISH, "to the default exchange, its own queue", DENIED, _publish("", "{my inbox}")),
    Row(_PUBLISH, "to the default exchange, another station's queue", DENIED, _publish("", "{other's inbox}")),
    Row(_PUBLISH, "to the default exchange, an intake queue", DENIED, _publish("", wire.INTAKE_URGENT)),
    Row(_PUBLISH, "to `amq.topic`", DENIED, _publish("amq.topic", _OWN)),
    Row(_PUBLISH, "to `amq.fanout`", DENIED, _publish("amq.fanout", "")),
    Row(_READ, "consume its inbox", YES, _consume("{my inbox}")),
    Row(_READ, "consume its urgent queue", YES, _consume("{my urgent}")),
    Row(_READ, "consume its receipts", YES, _consume("{my receipts}")),
    Row(_READ, "get from its inbox", YES, _get("{my inbox}")),
    Row(_READ, "purge its inbox", YES, _purge("{my inbox}"), _REOFFERED),
    Row(_READ, "purge its receipts", YES, _purge("{my receipts}"),
        "Answers stay in the ledger: the same submission sent again, or `GET /receipts`, gets them."),
    Row(_READ, "consume another station's inbox", DENIED, _consume("{other's inbox}")),
    Row(_READ, "consume another station's receipts", DENIED, _consume("{other's receipts}")),
    Row(_READ, "get from another station's inbox", DENIED, _get("{other's inbox}")),
    Row(_READ, "purge another station's inbox", DENIED, _purge("{other's inbox}")),
    *(Row(_READ, f"consume `{name}`", DENIED, _consume(name)) for name in (*wire.INTAKES, wire.DEAD, wire.UNROUTED)),
    Row(_READ, f"get from `{wire.INTAKE_NORMAL}`", DENIED, _get(wire.INTAKE_NORMAL)),
    Row(_READ, f"purge `{wire.INTAKE_NORMAL}`", DENIED, _purge(wire.INTAKE_NORMAL)),
    Row(_READ, f"purge `{wire.DEAD}`", DENIED, _purge(wire.DEAD)),
    Row(_LOOK, "passive declare of its inbox", YES, _look("{my inbox}")),
    Row(_LOOK, "passive declare of another station's inbox, knowing the name", YES, _look("{other's inbox}"),
        "RabbitMQ checks no right for it: whoever knows a name sees that the queue exists and how long it is. "
        "That is why names end in 16 random characters."),
    Row(_LOOK, "passive declare of another station's inbox, guessing", MISSING,
        _look("station.{other}.aaaaaaaaaaaaaaaa.inbox")),
    Row(_LOOK, f"passive declare of `{wire.INTAKE_NORMAL}`", YES, _look(wire.INTAKE_NORMAL),
        "Every station can see how long the intake queues are, and how many processes read them."),
    Row(_LOOK, "passive declare of an exchange", YES, _look_at_exchange(wire.INBOX),
        "That the axis has these exchanges is no secret."),
    Row(_CHANGE, "declare a queue", DENIED, _declare("mine")),
    Row(_CHANGE, "declare an exclusive queue with a name of the server's choice", DENIED,
        _declare("", exclusive=True)),
    Row(_CHANGE, "declare its inbox once more", DENIED, _declare("{my inbox}")),
    Row(_CHANGE, "declare an exchange", DENIED, _declare_exchange("mine")),
    Row(_CHANGE, "bind its inbox to `axis.submit`", DENIED, _bind("{my inbox}", wire.SUBMIT, "#")),
    Row(_CHANGE, "bind its inbox to `axis.inbox` with another's key", DENIED,
        _bind("{my inbox}", wire.INBOX, "{other's inbox}")),
    Row(_CHANGE, "bind its inbox to `axis.ack`", DENIED, _bind("{my inbox}", wire.ACK, "#")),
    Row(_CHANGE, "unbind another station's inbox", DENIED,
        _unbind("{other's inbox}", wire.INBOX, "{other's inbox}")),
    Row(_CHANGE, "unbind its own inbox", DENIED, _unbind("{my inbox}", wire.INBOX, "{my inbox}")),
    Row(_CHANGE, "bind an exchange to another", DENIED, _bind_exchanges(wire.ACK, wire.SUBMIT)),
    Row(_CHANGE, "delete its inbox", DENIED, _delete("{my inbox}")),
    Row(_CHANGE, "delete another station's inbox", DENIED, _delete("{other's inbox}")),
    Row(_CHANGE, f"delete `{wire.INTAKE_NORMAL}`", DENIED, _delete(wire.INTAKE_NORMAL)),
    Row(_CHANGE, "delete `axis.submit`", DENIED, _delete_exchange(wire.SUBMIT)),
)  # fmt: skip


def permissions_table() -> str:
    """The document: what was tried and what came of it."""
    text = [
        "# What a station can do at the broker\n",
        "Two stations made by `axis.broker.admin.StationUsers` try every operation of AMQP 0-9-1 on RabbitMQ 3.10.8.",
        "`tests/broker/test_permissions.py` runs this table and fails where a line of it is not true; it is written",
        "by `python -m tests.broker.permissions`. The rights behind it stand in `axis/broker/admin.py`.\n",
        "Nothing here lets a station act as another, read what is another's, or learn the name of another's queue.",
        "Beyond AMQP a station's user has no tag, so the management interface does not let it in, and no right in",
        "another virtual host.\n",
    ]
    for section in (_PUBLISH, _READ, _LOOK, _CHANGE):
        text.append(f"## {section}\n")
        text.append("| operation | result | |")
        text.append("| --- | --- | --- |")
        text += [
            f"| {row.what} | {'**possible**' if row.expected == YES else row.expected} | {row.remark} |"
            for row in TABLE
            if row.section == section
        ]
        text.append("")
    return "\n".join(text)


if __name__ == "__main__":
    DOCUMENT.write_text(permissions_table(), encoding="utf-8")
