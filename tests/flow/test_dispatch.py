"""Out of the ledger into real queues: what is confirmed is handed over, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from axis.broker import wire
from axis.broker.connection import BrokerAddress
from axis.broker.publisher import BrokerPublisher
from axis.core.exchange import Outcome, load, read_events
from axis.core.model import DeliveryState, StationId
from axis.core.reasons import ReasonCode
from axis.flow.dispatch import Declare, Dispatcher, Pace
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger, open_engine
from tests.broker.wiretap import wiretap
from tests.flow.office import Office
from tests.flow.town import HANOI, QP, TTTT, a_letter, signed
from tests.services.rabbitmq import Vhost


@pytest.fixture
async def publisher(vhost: Vhost, office: Office) -> AsyncIterator[BrokerPublisher]:
    async with BrokerPublisher(BrokerAddress(urls=(vhost.url,)), clock=office.clock) as opened:
        await opened.declare_hub()
        yield opened


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    ledger = SQLLedger(open_engine(database_url))
    opened = Office.open(ledger, tmp_path)
    await opened.enrol()
    yield opened
    await ledger.engine.dispose()


def _dispatcher(
    office: Office, publisher: BrokerPublisher, *, declare: Declare, pace: Pace | None = None
) -> Dispatcher:
    return Dispatcher(
        ledger=office.ledger,
        outbox=office.outbox,
        blobs=office.blobs,
        publisher=publisher,
        declare=declare,
        depth=publisher.depth,
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        bells=office.pipeline.bells,
        pace=pace,
    )


async def test_missing_queues_are_declared_and_the_message_follows(
    office: Office, publisher: BrokerPublisher
) -> None:
    """A station that was just added has no queues yet: nothing is lost by that."""
    await office.admit(signed(a_letter(receivers=(HANOI, TTTT))))
    dispatcher = _dispatcher(office, publisher, declare=publisher.declare_station)

    await dispatcher.offer({StationId("ha-noi"), StationId("bo-tttt")})

    station = office.country.directory.stations[StationId("ha-noi")]
    assert set((await office.states()).values()) == {DeliveryState.HANDED_OVER}
    assert await publisher.depth(station=station.id, secret=station.secret) == 1


async def test_a_queue_that_cannot_be_made_shows_as_failed(
    office: Office, publisher: BrokerPublisher
) -> None:
    """Never waiting in silence: an operator must look."""

    async def declare_nothing(*, station: StationId, secret: str) -> None:
        del station, secret

    # No other test of this file makes queues for this station.
    await office.admit(signed(a_letter(receivers=(QP,))))

    await _dispatcher(office, publisher, declare=declare_nothing).offer({StationId("bo-qp")})

    row = (await office.rows(t.delivery))[0]
    assert (row["state"], row["reason"]) == ("failed", ReasonCode.DELIVER_UNROUTED.value)


@pytest.mark.parametrize(
    ("pace", "sizes"), [(Pace(feed_message=2), [2, 2, 1]), (Pace(feed_chars=1), [1] * 5), (Pace(), [5])]
)
async def test_events_go_together_in_their_order(
    office: Office, publisher: BrokerPublisher, vhost: Vhost, pace: Pace, sizes: list[int]
) -> None:
    """What a station is told of comes in the order of the log, in few messages, once its queue is there."""
    for number in range(1, 6):
        await office.admit(signed(a_letter(number, receivers=(HANOI,))))
    for one in await office.inbox("ha-noi"):
        await office.say("ha-noi", Outcome.DONE, *(ref.delivery for ref in one.deliveries))
    while await office.sequencer.turn():
        pass
    sender = office.country.directory.stations[StationId("vpcp")]
    queue = wire.station_queues(station=sender.id, secret=sender.secret).receipts
    dispatcher = _dispatcher(office, publisher, declare=publisher.declare_station, pace=pace)

    async with wiretap(vhost.url) as tap:
        await dispatcher.push_events()
        await dispatcher.push_events()
        await dispatcher.push_events()
        messages = await tap.drain(queue)

    told = [read_events(load(one.body)) for one in messages]
    assert {one.header.properties.message_type for one in messages} == {wire.TYPE_EVENTS}
    assert [len(one) for one in told] == sizes
    indices = [entry.index for one in told for entry in one]
    assert indices == sorted(set(indices))
    assert all('"delivery.acknowledged"' in entry.record for one in told for entry in one)
