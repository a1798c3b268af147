"""Bound certificates that end: said 60, 30, 14 and 7 days before and after the end, once each, to the right station."""

from __future__ import annotations

from datetime import timedelta

from axis.core.events import EventKind
from axis.flow.expiry import ExpiryKeeper
from axis.ledger.check import check
from axis.ledger.expiry import SQLWarned
from axis.ledger.store import SQLLedger
from tests.directory.acting import AN, Office
from tests.directory.test_acts import ROWS, TAY_NINH, a_certificate, a_station
from tests.ledger.builders import NOON


async def test_an_end_is_said_in_steps_until_the_next_certificate_is_bound(ledger: SQLLedger) -> None:
    """LR-64: 50 days left is past the first step; a certificate that lasts longer, bound beside it, ends the warnings."""
    office = Office(ledger)
    await office.acts.import_organs(ROWS, by=AN)
    await office.acts.add_station(a_station(TAY_NINH, "H53"), by=AN)
    await office.acts.bind_certificate("H53", a_certificate().certificate_pem, by=AN)
    keeper = ExpiryKeeper(
        ledger=ledger,
        directories=office.directories,
        warned=SQLWarned(ledger),
        clock=office.clock,
        ids=office.ids,
    )
    said = []
    for day in range(53):
        office.clock.set(NOON + timedelta(days=day, hours=1))
        said += [day] * await keeper.turn()
    assert said == [0, 20, 36, 43, 50]

    await office.acts.bind_certificate("H53", a_certificate("Tiếp theo", 90).certificate_pem, by=AN)

    endings = [one for one in await office.events() if one.kind is EventKind.CERTIFICATE_ENDING]
    assert [one.facts["step"] for one in endings] == [60, 30, 14, 7, 0]
    assert {one.stations for one in endings} == {(TAY_NINH,)}
    assert await keeper.turn() == 1, "the next one has 38 days left: its own first step"
    office.clock.set(NOON + timedelta(days=30))
    assert await keeper.turn() == 0, "the next one is said already, and the old one is followed"
    assert (await check(ledger, keys=[])).ok
