"""
Bringing the broker's topology and the code's together: what differs, and the way there without losing a message.

A queue cannot change its arguments. One that has to is moved over a second queue, `axis.moving.<name>`:

    1  make the second queue and bind it like the first; unbind the first: new messages go to the second
    2  carry what is in the first to the second, and wait until the first is empty, also of what clients have in hand
    3  delete the first, make it anew, bind it; unbind the second: new messages go to the first
    4  carry what is in the second to the first; delete the second

A message is acknowledged where it came from only when it is confirmed where it goes to, so that whatever is killed
meanwhile, the broker included, none is lost; a copy may come twice, which every reader of the axis expects. `apply`
begins where one that was cut off ended: each step is chosen by what is there. Hubs and stations keep running; for some
seconds messages wait in the second queue.

Messages are carried as they are, with the sender's validated name. Only a user with the tag `impersonator` may publish
them so: there is one while messages are moved, with a password that nobody else knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from axis.broker.connection import SERVICE, BrokerAddress, Link
from axis.broker.management import MOVER, Management, ManagementRefused, part
from axis.broker.topology import Binding, Exchange, Queue, Topology, last_resort_queue
from axis.core.errors import AxisError, ServiceUnavailable
from axis.core.events import JSON
from axis.core.ports import Randomness

_log = structlog.get_logger(__name__)

SECOND: Final = "axis.moving."
"""What the names of second queues begin with."""

_RPC_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.5
_DECLARE_TRIES: Final = 10

Say = Callable[[str, str], str]
"""Chooses the language: takes a text in Vietnamese and in English."""


@unique
class Change(Enum):
    """What can differ, and what `apply` does about it, in both languages."""

    EXCHANGE_MISSING = ("không có exchange", "the exchange is missing", "tạo", "declare it")
    EXCHANGE_DIFFERS = (
        "exchange khác",
        "the exchange differs",
        "xóa rồi tạo lại",
        "delete it and declare it anew",
    )
    QUEUE_MISSING = ("không có hàng đợi", "the queue is missing", "tạo", "declare it")
    QUEUE_DIFFERS = (
        "hàng đợi khác",
        "the queue differs",
        "chuyển thông điệp qua hàng đợi tạm, tạo lại",
        "carry its messages over a second queue, declare it anew",
    )
    QUEUE_SILENT = (
        "hàng đợi không có nút dẫn đầu",
        "the queue has no leader",
        "khởi động lại các nút của nó; xem docs/broker.md",
        "bring its nodes back; see docs/broker.md",
    )
    MOVE_BEGUN = (
        "lần chuyển trước bị ngắt",
        "a move was cut off",
        "chuyển tiếp",
        "finish it",
    )
    BINDING_MISSING = ("thiếu liên kết", "a binding is missing", "liên kết", "bind it")
    BINDING_EXTRA = ("thừa liên kết", "a binding nobody asked for", "bỏ liên kết", "unbind it")
    MOVER_LEFT = (
        "tài khoản tạm còn lại",
        "the user for moving was left behind",
        "xóa",
        "delete it",
    )

    def __init__(self, what_vi: str, what_en: str, step_vi: str, step_en: str) -> None:
        self.what_vi = what_vi
        self.what_en = what_en
        self.step_vi = step_vi
        self.step_en = step_en


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in the broker that is not as the code has it."""

    name: str
    change: Change
    detail: str = ""
    """The key of a binding, or what is there instead."""

    def row(self, say: Say) -> dict[str, str]:
        """A line of `axis broker plan`."""
        what = say(self.change.what_vi, self.change.what_en)
        return {
            "name": self.name,
            "what": f"{what}: {self.detail}" if self.detail else what,
            "step": say(self.change.step_vi, self.change.step_en),
        }


class MoveBlocked(AxisError):
    """A queue does not become empty: somebody has messages of it in hand and does not acknowledge them."""

    def __init__(self, queue: str, messages: int | None) -> None:
        count = "an unknown number of" if messages is None else str(messages)
        super().__init__(
            f"{queue}: {count} messages are in the hands of a client that does not acknowledge them; "
            "stop it and run `axis broker apply` again, nothing is lost meanwhile"
        )
        self.queue = queue
        self.messages = messages


@dataclass(frozen=True, slots=True, kw_only=True)
class MovePace:
    """How long to wait for what."""

    settle_seconds: float = 1.5
    """A lone RabbitMQ 3.10 node writes the register of its quorum queues half a second after it made one; killed
    before, it comes back with a queue that has no leader. Nothing is carried into a queue younger than this."""
    quiet_seconds: float = 12
    """How long the broker's own statistics must say that a queue is empty: they are five to ten seconds old."""
    silent_seconds: float = 12
    """How long a quorum queue may leave the broker's statistics without a word before it counts as silent."""
    blocked_seconds: float = 180
    """How long a client may have messages in hand."""
    window: int = 100
    """Messages carried at a time."""


class Migration:
    """Compares and brings together; one at a time for a virtual host."""

    def __init__(
        self,
        management: Management,
        address: BrokerAddress,
        *,
        topology: Topology,
        randomness: Randomness,
        pace: MovePace | None = None,
    ) -> None:
        self._management = management
        self._address = address
        self._topology = topology
        self._randomness = randomness
        self._pace = pace or MovePace()

    async def plan(self) -> list[Difference]:
        """
        Everything that differs; empty when nothing does.

        Raises:
            ServiceUnavailable: the broker does not answer.
        """
        found: list[Difference] = []
        if await self._management.call("GET", f"users/{MOVER}") is not None:
            found.append(Difference(name=MOVER, change=Change.MOVER_LEFT))
        for exchange in self._topology.exchanges:
            found += await self._compare_exchange(exchange)
        for queue in self._topology.queues:
            found += await self._compare_queue(queue)
        found += await self._compare_bindings()
        found += await self._silent_queues()
        return found

    async def apply(self, *, progress: Callable[[str], None], say: Say) -> list[Difference]:
        """
        Bring the broker to the code's topology; returns what differed. May be cut off and run again.

        Raises:
            MoveBlocked: a client has messages of a queue in hand and does not acknowledge them.
            ServiceUnavailable: the broker does not answer.
        """
        plan = await self.plan()
        await self._management.call("DELETE", f"users/{MOVER}")
        for one in plan:
            if one.change in {Change.EXCHANGE_DIFFERS, Change.EXCHANGE_MISSING}:
                progress(say(f"exchange {one.name}", f"exchange {one.name}"))
                await self._make_exchange(one.name, anew=one.change is Change.EXCHANGE_DIFFERS)
        for one in plan:
            if one.change is Change.QUEUE_MISSING:
                progress(say(f"hàng đợi {one.name}", f"queue {one.name}"))
                await self._put_queue(self._queue(one.name))
        moving = [
            self._queue(one.name) for one in plan if one.change in {Change.QUEUE_DIFFERS, Change.MOVE_BEGUN}
        ]
        await self._bind(one for one in self._topology.bindings if one.queue not in {q.name for q in moving})
        if moving:
            async with self._mover() as link:
                await self._move_all(moving, link, progress=progress, say=say)
        await self._unbind(await self._extra_bindings())
        return plan

    # --- comparing ------------------------------------------------------------------------------------------------

    async def _compare_exchange(self, wanted: Exchange) -> list[Difference]:
        found = await self._management.call("GET", f"exchanges/{{vhost}}/{part(wanted.name)}")
        if not isinstance(found, Mapping):
            return [Difference(name=wanted.name, change=Change.EXCHANGE_MISSING)]
        is_same = (
            found.get("type") == wanted.kind
            and found.get("durable") is True
            and found.get("auto_delete") is False
            and found.get("internal") is False
            and found.get("arguments") == dict(wanted.arguments)
        )
        if is_same:
            return []
        return [
            Difference(
                name=wanted.name,
                change=Change.EXCHANGE_DIFFERS,
                detail=f"{found.get('type')} {_shown(found.get('arguments'))}",
            )
        ]

    async def _compare_queue(self, wanted: Queue) -> list[Difference]:
        found = await self._described(wanted.name)
        second = await self._described(SECOND + wanted.name)
        if found is not None and not _is_same(found, wanted):
            shown = _shown(_arguments_that_differ(found, wanted))
            return [Difference(name=wanted.name, change=Change.QUEUE_DIFFERS, detail=shown)]
        if second is not None:
            return [Difference(name=wanted.name, change=Change.MOVE_BEGUN)]
        if found is None:
            return [Difference(name=wanted.name, change=Change.QUEUE_MISSING)]
        return []

    async def _silent_queues(self) -> list[Difference]:
        """
        Queues that tell nothing. Nothing is done about them here: one whose nodes are only away still has its
        messages.
        """
        began = asyncio.get_running_loop().time()
        names = {one.name for one in self._topology.queues}
        while True:
            silent = {
                str(one["name"])
                for one in await self._management.list_all("queues/{vhost}")
                if one.get("name") in names and one.get("type") == "quorum" and "messages" not in one
            }
            if not silent or asyncio.get_running_loop().time() - began >= self._pace.silent_seconds:
                return [Difference(name=name, change=Change.QUEUE_SILENT) for name in sorted(silent)]
            await asyncio.sleep(_POLL_SECONDS)

    async def _compare_bindings(self) -> list[Difference]:
        there = await self._bindings()
        missing = [
            Difference(
                name=one.queue, change=Change.BINDING_MISSING, detail=f"{one.exchange} {one.key}".strip()
            )
            for one in self._topology.bindings
            if one not in there
        ]
        extra = [
            Difference(
                name=one.queue, change=Change.BINDING_EXTRA, detail=f"{one.exchange} {one.key}".strip()
            )
            for one in await self._extra_bindings()
        ]
        return missing + extra

    async def _bindings(self) -> frozenset[Binding]:
        """All bindings of the axis's exchanges to queues."""
        found: set[Binding] = set()
        for exchange in self._topology.exchanges:
            path = f"exchanges/{{vhost}}/{part(exchange.name)}/bindings/source"
            found |= {
                Binding(exchange=exchange.name, queue=str(one["destination"]), key=str(one["routing_key"]))
                for one in await self._management.list_all(path)
                if one.get("destination_type") == "queue"
            }
        return frozenset(found)

    async def _extra_bindings(self) -> list[Binding]:
        # Those of second queues belong to a move.
        wanted = frozenset(self._topology.bindings)
        return sorted(
            one for one in await self._bindings() if one not in wanted and not one.queue.startswith(SECOND)
        )

    async def _described(self, queue: str) -> Mapping[str, JSON] | None:
        found = await self._management.call("GET", f"queues/{{vhost}}/{part(queue)}")
        return found if isinstance(found, Mapping) else None

    def _queue(self, name: str) -> Queue:
        return next(one for one in self._topology.queues if one.name == name)

    # --- exchanges, queues and bindings ---------------------------------------------------------------------------

    async def _make_exchange(self, name: str, *, anew: bool) -> None:
        """
        Between deleting and binding, whoever publishes mandatory hears that there is no way, stations get an error,
        dead letters wait in their queues, and what is unroutable goes to `axis.unrouted`: nothing is taken and lost.
        """
        exchange = next(one for one in self._topology.exchanges if one.name == name)
        path = f"exchanges/{{vhost}}/{part(name)}"
        bound = sorted(one for one in await self._bindings() if one.exchange == name)
        if anew:
            await self._management.call("DELETE", path)
        await self._management.call(
            "PUT", path, {"type": exchange.kind, "durable": True, "arguments": dict(exchange.arguments)}
        )
        await self._bind(bound)

    async def _put_queue(self, queue: Queue) -> None:
        """
        Declare a queue, and have patience with a broker that has only just deleted one of this name: RabbitMQ 3.10
        answers that for a moment with an error (`cluster_not_formed`).
        """
        for attempt in range(_DECLARE_TRIES):
            try:
                await self._management.call(
                    "PUT",
                    f"queues/{{vhost}}/{part(queue.name)}",
                    {"durable": True, "arguments": dict(queue.arguments)},
                )
            except (ServiceUnavailable, ManagementRefused) as error:
                if attempt == _DECLARE_TRIES - 1 or _is_inequivalent(error):
                    raise
                await asyncio.sleep(1)
            else:
                return

    async def _bind(self, bindings: Iterable[Binding]) -> None:
        there = await self._bindings()
        for one in bindings:
            if one not in there:
                path = f"bindings/{{vhost}}/e/{part(one.exchange)}/q/{part(one.queue)}"
                await self._management.call("POST", path, {"routing_key": one.key})

    async def _unbind(self, bindings: Iterable[Binding]) -> None:
        for one in bindings:
            path = f"bindings/{{vhost}}/e/{part(one.exchange)}/q/{part(one.queue)}"
            for found in await self._management.list_all(path):
                if found.get("routing_key") == one.key:
                    key = part(str(found["properties_key"]))
                    await self._management.call("DELETE", f"{path}/{key}")

    # --- moving ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _mover(self) -> AsyncIterator[Link]:
        """A connection as the user that may publish under any name; the user is gone afterwards."""
        password = self._randomness.take(32).hex()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await self._management.call("PUT", f"users/{MOVER}", {"password": password, "tags": "impersonator"})
        await self._management.call("PUT", f"permissions/{{vhost}}/{MOVER}", everything)
        link = Link(_as_user(self._address, MOVER, password), name="axis broker apply")
        try:
            yield link
        finally:
            await link.close()
            await self._management.call("DELETE", f"users/{MOVER}")

    async def _move_all(
        self, queues: Sequence[Queue], link: Link, *, progress: Callable[[str], None], say: Say
    ) -> None:
        wanted = {
            queue.name: [one for one in self._topology.bindings if one.queue == queue.name]
            for queue in queues
        }
        old = [
            queue
            for queue in queues
            if (found := await self._described(queue.name)) is not None and not _is_same(found, queue)
        ]
        # 1. New messages go to the second queues.
        for queue in old:
            progress(say(f"{queue.name}: tạo hàng đợi tạm", f"{queue.name}: second queue"))
            await self._put_queue(last_resort_queue(SECOND + queue.name))
        if old:
            await asyncio.sleep(self._pace.settle_seconds)
        there = await self._bindings()
        for queue in old:
            bound = [one for one in there if one.queue == queue.name]
            await self._bind(replace(one, queue=SECOND + queue.name) for one in {*wanted[queue.name], *bound})
            progress(say(f"{queue.name}: chuyển hướng", f"{queue.name}: diverted"))
            await self._unbind(bound)
        # 2. What is in the first queues goes there, too.
        await self._carry_all(
            [(one.name, SECOND + one.name) for one in old], link, progress=progress, say=say
        )
        # 3. The first queues anew; new messages go to them.
        for queue in old:
            progress(say(f"{queue.name}: xóa", f"{queue.name}: deleted"))
            await self._management.call("DELETE", f"queues/{{vhost}}/{part(queue.name)}")
        for queue in queues:
            progress(say(f"{queue.name}: tạo lại", f"{queue.name}: made anew"))
            await self._put_queue(queue)
        await asyncio.sleep(self._pace.settle_seconds)
        for queue in queues:
            await self._bind(wanted[queue.name])
            progress(say(f"{queue.name}: trở về", f"{queue.name}: bound"))
            await self._unbind(one for one in await self._bindings() if one.queue == SECOND + queue.name)
        # 4. What is in the second queues goes back.
        await self._carry_all(
            [(SECOND + one.name, one.name) for one in queues], link, progress=progress, say=say
        )
        for queue in queues:
            progress(say(f"{queue.name}: xong", f"{queue.name}: done"))
            await self._management.call("DELETE", f"queues/{{vhost}}/{part(SECOND + queue.name)}")

    async def _carry_all(
        self, ways: Sequence[tuple[str, str]], link: Link, *, progress: Callable[[str], None], say: Say
    ) -> None:
        results = await asyncio.gather(
            *(self._carry(source, target, link) for source, target in ways), return_exceptions=True
        )
        for (source, target), carried in zip(ways, results, strict=True):
            if isinstance(carried, BaseException):
                raise carried
            progress(
                say(
                    f"{source}: {carried} thông điệp đã sang {target}",
                    f"{source}: {carried} messages carried to {target}",
                )
            )

    async def _carry(self, source: str, target: str, link: Link) -> int:
        """Carry messages until the source has been empty for long enough; returns how many."""
        porter = _Porter(link, source=source, target=target, window=self._pace.window)
        work = asyncio.create_task(porter.run())
        watch = asyncio.create_task(self._until_empty(source))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
            await watch
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
        return porter.carried

    async def _until_empty(self, queue: str) -> None:
        """
        Until nothing is in the queue, in anybody's hands, or on its way to the dead letters. Nothing is bound to it
        any more, so the number only falls; the broker's statistics tell it, some seconds late.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        empty_since: float | None = None
        lowest: int | None = None
        while True:
            found = await self._described(queue)
            if found is None:
                return
            left = _messages_in(found)
            now = loop.time()
            if left != 0:
                empty_since = None
                if left is not None and (lowest is None or left < lowest):
                    lowest, began = left, now
                if now - began > self._pace.blocked_seconds:
                    raise MoveBlocked(queue, left)
            elif empty_since is None:
                empty_since = now
            elif now - empty_since >= self._pace.quiet_seconds:
                return
            await asyncio.sleep(_POLL_SECONDS)


class _Porter:
    """Carries the messages of one queue into another, window by window, for as long as it runs."""

    def __init__(self, link: Link, *, source: str, target: str, window: int) -> None:
        self._link = link
        self._source = source
        self._target = target
        self._window = window
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self.carried = 0

    async def run(self) -> None:
        """
        Carry for ever.

        Raises:
            ServiceUnavailable: the connection broke, or the target does not take the messages.
        """
        taking = await self._link.open_channel()
        giving = await self._link.open_channel(confirms=True)
        ended = asyncio.ensure_future(_until_closed(taking, giving))
        try:
            with self._link.speaking(taking, f"consuming {self._source}"):
                await taking.basic_qos(prefetch_count=self._window, timeout=_RPC_SECONDS)
                await taking.basic_consume(self._source, self._arrived.put, timeout=_RPC_SECONDS)
            while True:
                batch = [await self._next(ended)]
                while not self._arrived.empty() and len(batch) < self._window:
                    batch.append(self._arrived.get_nowait())
                await self._give(giving, batch)
                with self._link.speaking(taking, f"acknowledging {self._source}"):
                    await taking.basic_ack(batch[-1].delivery_tag or 0, multiple=True)
                self.carried += len(batch)
        finally:
            ended.cancel()
            await self._link.close_channel(taking)
            await self._link.close_channel(giving)

    async def _next(self, ended: asyncio.Future[None]) -> DeliveredMessage:
        arrival = asyncio.ensure_future(self._arrived.get())
        try:
            either: list[asyncio.Future[Any]] = [arrival, ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if arrival.done():
                return arrival.result()
        finally:
            arrival.cancel()
        raise ServiceUnavailable(SERVICE, f"carrying {self._source}: the channel was closed")

    async def _give(self, giving: aiormq.Channel, batch: Sequence[DeliveredMessage]) -> None:
        with self._link.speaking(giving, f"carrying to {self._target}"):
            await asyncio.gather(
                *(
                    giving.basic_publish(
                        message.body,
                        routing_key=self._target,
                        properties=_Verbatim(message.header.properties, handle=f"{self.carried + number}"),
                        timeout=_RPC_SECONDS,
                    )
                    for number, message in enumerate(batch)
                )
            )
            # A confirm says that the message was routed to every queue there is, none included. The queue being
            # there afterwards says that it was there: nobody else makes queues of this name.
            await giving.queue_declare(self._target, passive=True, timeout=_RPC_SECONDS)


class _Verbatim(Basic.Properties):
    """
    Properties that travel as they came. The client library tells messages apart by their id and gives one to those
    that have none; it sees the handle, and the wire sees what was there.
    """

    __slots__ = ("_original",)

    def __init__(self, original: Basic.Properties, *, handle: str) -> None:
        super().__init__(message_id=handle)
        if original.headers is not None and "x-delivery-count" in original.headers:
            # The queue's own count of the copy that is left behind.
            original.headers = {
                name: value for name, value in original.headers.items() if name != "x-delivery-count"
            }
        self._original = original

    def marshal(self) -> bytes:
        """The original's bytes."""
        return self._original.marshal()


async def _until_closed(*channels: aiormq.Channel) -> None:
    closing: list[asyncio.Future[Any]] = [channel.closing for channel in channels]
    await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)


def _as_user(address: BrokerAddress, user: str, password: str) -> BrokerAddress:
    urls = []
    for url in address.urls:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        urls.append(urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}")))
    return replace(address, urls=tuple(urls), external=False)


def _is_same(found: Mapping[str, JSON], wanted: Queue) -> bool:
    return found.get("durable") is True and not _arguments_that_differ(found, wanted)


def _arguments_that_differ(found: Mapping[str, JSON], wanted: Queue) -> dict[str, JSON]:
    there = found.get("arguments")
    arguments = dict(there) if isinstance(there, Mapping) else {}
    # A classic queue that was declared without a type has none among its arguments.
    names = {*arguments, *wanted.arguments}
    return {
        name: arguments.get(name)
        for name in sorted(names)
        if arguments.get(name) != wanted.arguments.get(name)
    }


def _messages_in(found: Mapping[str, JSON]) -> int | None:
    """Ready, in somebody's hands, or dead and not yet taken by the dead-letter queue; None when not told."""
    total = found.get("messages")
    dead = found.get("messages_dlx", 0)
    if not isinstance(total, int) or not isinstance(dead, int):
        return None
    return total + dead


def _shown(arguments: JSON) -> str:
    if not isinstance(arguments, Mapping):
        return ""
    return ", ".join(f"{name}={value}" for name, value in sorted(arguments.items()))


def _is_inequivalent(error: AxisError) -> bool:
    return isinstance(error, ManagementRefused) and "inequivalent" in error.reason
