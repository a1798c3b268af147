"""Acts of people: one transaction each, with who, why, before and after; cut off anywhere, done again they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from axis.core.credentials import STATION_ID, hash_of_key, is_key, key_of
from axis.core.directory import Directory, Organ
from axis.core.errors import InvalidAct, NotFound, ServiceUnavailable
from axis.core.events import ACTS, EventKind
from axis.core.model import Actor, Channel, Digest, SignaturePolicy, StationId, StationState
from axis.demo.pki import PKI, Issued
from axis.flow.acts import Acts, NewStation
from axis.flow.organ_import import Defect, DefectKind, OrganRow
from axis.ledger.check import check
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger
from axis.web.wire import station_of_key
from tests.directory.acting import AN, BINH, Accounts, CutOff, Office
from tests.ledger.builders import NOON

TAY_NINH, LANG_SON = StationId("tay-ninh"), StationId("lang-son")
ROWS = [
    OrganRow(code="H53", code_102="000.00.00.H53", name="Tây Ninh", kind="province"),
    OrganRow(code="H53.02", name="Sở Nội vụ"),
    OrganRow(code="H37", code_102="000.00.00.H37", name="Lạng Sơn", kind="province"),
]


def a_station(station: StationId = TAY_NINH, *organs: str) -> NewStation:
    return NewStation(id=station, name=f"Trục {station}", organs=organs)


@pytest.fixture(name="office")
async def _office(ledger: SQLLedger) -> Office:
    office = Office(ledger)
    await office.acts.import_organs(ROWS, by=AN)
    return office


async def the_directory(office: Office) -> Directory:
    return await office.directories.current()


async def an_organ(office: Office, code: str) -> Organ:
    found = (await the_directory(office)).by_code(code, at=office.clock.now())
    assert found is not None
    return found


@lru_cache
def a_pki() -> PKI:
    return PKI.build(not_before=NOON - timedelta(days=100), not_after=NOON + timedelta(days=100))


@lru_cache
def a_certificate(name: str = "Tây Ninh", days: int = 50) -> Issued:
    return a_pki().issue(name, not_before=NOON - timedelta(days=days), not_after=NOON + timedelta(days=days))


# --- every act ----------------------------------------------------------------------------------------------------

_Act = Callable[[Acts, Actor], Awaitable[object]]
EVERY_ACT: dict[str, _Act] = {
    "import_organs": lambda acts, by: acts.import_organs([OrganRow(code="H14", name="Cao Bằng")], by=by),
    "add_station": lambda acts, by: acts.add_station(a_station(LANG_SON, "H37"), by=by),
    "set_station": lambda acts, by: acts.set_station(TAY_NINH, by=by, policy=SignaturePolicy.LABELLED),
    "suspend_station": lambda acts, by: acts.suspend_station(TAY_NINH, by=by),
    "resume_station": lambda acts, by: acts.resume_station(StationId("asleep"), by=by),
    "rotate_station": lambda acts, by: acts.rotate_station(TAY_NINH, by=by),
    "delegate": lambda acts, by: acts.delegate(TAY_NINH, ["H53.02"], by=by),
    "end_delegation": lambda acts, by: acts.end_delegation(TAY_NINH, ["H53"], by=by),
    "bind_certificate": lambda acts, by: acts.bind_certificate("H37", a_certificate().certificate_pem, by=by),
    "revoke_certificate": lambda acts, by: acts.revoke_certificate(
        Digest(a_certificate("Bị thu hồi").certificate.fingerprint(_SHA256()).hex()), by=by
    ),
    "release_digest": lambda acts, by: acts.release_digest(Digest("e" * 64), by=by),
}


def _SHA256() -> Any:  # noqa: N802 - the library's name
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()


@pytest.fixture(name="busy")
async def _busy(office: Office) -> Office:
    """An office in which every act of `EVERY_ACT` changes something."""
    await office.acts.add_station(a_station(TAY_NINH, "H53"), by=AN)
    await office.acts.add_station(a_station(StationId("asleep")), by=AN)
    await office.acts.suspend_station(StationId("asleep"), by=AN)
    await office.acts.bind_certificate("H53", a_certificate("Bị thu hồi").certificate_pem, by=AN)
    return office


def test_every_act_is_tried() -> None:
    """An act that is added later must join the list above."""
    # `act` is the way all of them go, those of stations too.
    public = {name for name in vars(Acts) if not name.startswith("_")} - {"act"}

    assert public == set(EVERY_ACT)


@pytest.mark.parametrize("name", EVERY_ACT)
@pytest.mark.threat(
    "a person changes what the axis does and nobody knows who",
    control="every act is an event with person, reason, before and after",
)
async def test_an_act_says_who_why_before_and_after(busy: Office, name: str) -> None:
    """One version higher, and an event that names person, reason and both sides of every change."""
    version = (await the_directory(busy)).version
    known = {event.id for event in await busy.events()}

    await EVERY_ACT[name](busy.acts, BINH)

    new = [event for event in await busy.events() if event.id not in known]
    assert new
    for event in new:
        assert event.kind in ACTS
        assert (event.by.person, event.by.reason) == ("binh.tran", "phiếu 13/VHT")
        facts: Any = event.facts
        assert facts["directory_version"] == version + 1
        for change in facts.get("changes", [facts]):
            assert "before" in change
            assert change["after"]
    assert (await the_directory(busy)).version == version + 1


NOBODY = (
    Actor(person="an.nguyen"),
    Actor(person="an.nguyen", reason=" \u200b"),
    Actor(person="an.nguyen", reason="x" * 501),
    Actor(person="", reason="phiếu 12"),
    Actor(person="x" * 81, reason="phiếu 12"),
    Actor(axis="dispatch", reason="phiếu 12"),
    Actor(station=TAY_NINH, person="an.nguyen", reason="phiếu 12"),
)


async def test_an_act_needs_a_person_and_a_reason(office: Office) -> None:
    """Without either nothing is changed, at the broker neither."""
    before = await office.events()

    for name, act in EVERY_ACT.items():
        for by in NOBODY:
            with pytest.raises(InvalidAct):
                await act(office.acts, by)
            assert office.accounts.users == {}, name

    assert await office.events() == before


@pytest.mark.parametrize("name", EVERY_ACT)
async def test_an_act_cut_off_before_its_commit_is_done_by_doing_it_again(busy: Office, name: str) -> None:
    """Nothing of it is in the ledger; the second time it is done as if there had been no first."""
    before, events = await the_directory(busy), len(await busy.events())

    with pytest.raises(ServiceUnavailable):
        await EVERY_ACT[name](busy.acting(CutOff(busy.ledger)), AN)

    assert (await the_directory(busy), len(await busy.events())) == (before, events)
    await EVERY_ACT[name](busy.acts, AN)
    assert (await the_directory(busy)).version == before.version + 1


async def test_the_directory_follows_from_the_records_alone(busy: Office) -> None:
    """After every act of every kind, recomputing all rows from the events finds nothing that differs."""
    for act in EVERY_ACT.values():
        await act(busy.acts, BINH)

    result = await check(busy.ledger, keys=())

    assert result.problems == ()
    assert result.events == len(await busy.events()) > len(EVERY_ACT)


async def test_acts_at_the_same_time_all_count(office: Office, other_ledger: SQLLedger) -> None:
    """Two processes that act at once: each act stands on what the one before it left."""
    elsewhere = Office(other_ledger)
    elsewhere.ids = type(office.ids)("elsewhere")
    elsewhere.acts = elsewhere.acting(other_ledger)

    await asyncio.gather(
        *(
            place.acts.import_organs([OrganRow(code=f"K{number:02d}", name=f"Nơi {number}")], by=AN)
            for number in range(1, 7)
            for place in [office if number % 2 else elsewhere]
        )
    )

    directory = await the_directory(office)
    assert (directory.version, len(directory.organs)) == (7, 9)
    assert len({organ.number for organ in directory.organs.values()}) == 9


async def test_the_very_first_acts_at_the_same_time(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """Also when there is no version yet that one of them could lock."""
    one, other = Office(ledger), Office(other_ledger)
    other.ids = type(one.ids)("other")
    other.acts = other.acting(other_ledger)

    await asyncio.gather(
        one.acts.import_organs([OrganRow(code="H37", name="Lạng Sơn")], by=AN),
        other.acts.import_organs([OrganRow(code="H53", name="Tây Ninh")], by=BINH),
    )

    directory = await the_directory(one)
    assert directory.version == 2
    assert sorted(organ.number for organ in directory.organs.values()) == [1, 2]


# --- organs -------------------------------------------------------------------------------------------------------


async def test_a_dry_run_lists_everything_and_changes_nothing(ledger: SQLLedger) -> None:
    """It needs no reason either."""
    office = Office(ledger)
    read = [Defect(row=9, column="*", kind=DefectKind.UNREADABLE)]

    report = await office.acts.import_organs(
        [*ROWS, OrganRow(code="000.1137.H53", name="Hỏng", row=5)],
        by=Actor(person="an.nguyen"),
        defects=read,
        dry_run=True,
    )

    assert (report.rows, report.added, report.changed, report.version) == (4, 3, 0, None)
    assert [one.kind for one in report.defects] == [DefectKind.UNREADABLE, DefectKind.MALFORMED]
    assert await office.events() == []


async def test_a_list_with_hindrances_is_loaded_whole_or_with_their_leave(ledger: SQLLedger) -> None:
    """Nothing is left out silently: all hindrances are named, and only `partial` loads the rest."""
    office = Office(ledger)
    rows = [
        *ROWS,
        OrganRow(code="000.1137.H53", name="Hỏng", row=5),
        OrganRow(code="", name="Không mã", row=6),
    ]

    with pytest.raises(InvalidAct) as invalid:
        await office.acts.import_organs(rows, by=AN)
    assert [problem[:5] for problem in invalid.value.problems] == ["row 5", "row 6"]
    assert await office.events() == []

    report = await office.acts.import_organs(rows, by=AN, partial=True, source="danh-muc.csv")
    assert (report.added, report.version) == (3, 1)
    [event] = await office.events()
    assert (event.kind, event.facts["source"]) == (EventKind.ORGANS_CHANGED, "danh-muc.csv")


async def test_loading_again_is_no_act(office: Office) -> None:
    """A list that says what is known already leaves no event."""
    report = await office.acts.import_organs(ROWS, by=AN)

    assert (report.unchanged, report.version) == (3, None)
    assert len(await office.events()) == 1


async def test_a_change_shows_before_and_after(office: Office) -> None:
    """The old name stands in the record, and the search finds the new one."""
    await office.acts.import_organs([OrganRow(code="H53", name="Tây Ninh (mới)")], by=AN)

    change: Any = (await office.events())[-1].facts["changes"]
    assert [change[0]["before"]["name"], change[0]["after"]["name"]] == ["Tây Ninh", "Tây Ninh (mới)"]
    assert change[0]["before"]["codes"] == [["H53", "H53"], ["000.00.00.H53", "000.00.00.H53"]]
    assert await office.one("SELECT search_text FROM organ WHERE code = 'H53'") == "tay ninh (moi)"


# --- stations -----------------------------------------------------------------------------------------------------


@pytest.mark.threat(
    "a station's credential leaks from the axis",
    control="256 random bits, shown once, only their SHA-256 kept",
)
async def test_a_credential_is_shown_once_and_kept_nowhere(office: Office) -> None:
    """`<station>.<secret>` for HTTP, the part behind the dot for the broker; the axis keeps a hash."""
    credential = await office.acts.add_station(a_station(TAY_NINH, "H53"), by=AN)

    kept = await SQLStationView(office.ledger).key_hash(TAY_NINH)
    assert credential.key == f"tay-ninh.{credential.password}"
    assert len(credential.password) == 43
    assert office.accounts.users["tay-ninh"]["password"] == credential.password
    assert kept == hash_of_key(credential.key)
    assert is_key(credential.key, key_hash=kept)
    assert not is_key(credential.key + "x", key_hash=kept)
    assert station_of_key(credential.key) == TAY_NINH
    station = (await the_directory(office)).stations[TAY_NINH]
    assert credential.queue_secret == station.secret == office.accounts.users["tay-ninh"]["secret"]
    assert len(station.secret) == 16
    records = b"".join(event.record for event in await office.events())
    for secret in (credential.password, credential.queue_secret, kept):
        assert secret.encode() not in records
        assert secret not in repr(credential)


async def test_no_two_stations_have_the_same_secrets(office: Office) -> None:
    """Every one is drawn anew."""
    one = await office.acts.add_station(a_station(TAY_NINH), by=AN)
    other = await office.acts.add_station(a_station(LANG_SON), by=AN)

    assert one.password != other.password
    assert one.queue_secret != other.queue_secret


def test_a_key_needs_its_256_bits() -> None:
    """Fewer random bytes make no key."""
    with pytest.raises(ValueError, match="32"):
        key_of(TAY_NINH, randomness=b"short")


async def test_a_station_speaks_for_its_organs_from_the_start(office: Office) -> None:
    """Station and delegation are one act: two events, one version."""
    await office.acts.add_station(a_station(TAY_NINH, "000.00.00.H53"), by=AN)

    directory, organ = await the_directory(office), await an_organ(office, "H53.02")
    found = directory.station_of(organ.number, at=office.clock.now())
    assert found is not None
    assert found.id == TAY_NINH
    new = (await office.events())[1:]
    assert {event.kind for event in new} == {EventKind.STATION_CHANGED, EventKind.DELEGATION_CHANGED}
    assert {event.facts["directory_version"] for event in new} == {2}


SENSELESS = (
    a_station(StationId("")),
    a_station(StationId("a")),
    a_station(StationId("-tay")),
    a_station(StationId("Tay-Ninh")),
    a_station(StationId("tây-ninh")),
    a_station(StationId("tay.ninh")),
    a_station(StationId("tay-ninh\n")),
    a_station(StationId("a" * 32)),
    a_station(LANG_SON, "H99"),
    a_station(LANG_SON, "H53"),
    NewStation(id=LANG_SON, name=""),
    NewStation(id=LANG_SON, name="x" * 201),
    NewStation(id=LANG_SON, name="A", window=0),
    NewStation(id=LANG_SON, name="A", window=10**6),
    NewStation(id=LANG_SON, name="A", inline_bytes=-1),
    NewStation(id=LANG_SON, name="A", inline_bytes=9 * 1024 * 1024),
)


async def test_a_station_that_makes_no_sense_is_not_added(office: Office) -> None:
    """Names that could not stand in a queue's name, unknown organs, organs of another station, odd numbers."""
    await office.acts.add_station(a_station(TAY_NINH, "H53"), by=AN)
    users, events = dict(office.accounts.users), len(await office.events())

    for wanted in SENSELESS:
        with pytest.raises(InvalidAct):
            await office.acts.add_station(wanted, by=AN)

    assert (office.accounts.users, len(await office.events())) == (users, events)


async def test_all_that_is_wrong_is_said_at_once(office: Office) -> None:
    """With the nearest known names for a mistyped code."""
    with pytest.raises(InvalidAct) as invalid:
        await office.acts.add_station(
            NewStation(id=StationId("X"), name="", organs=("H54",), window=0), by=AN
        )

    assert len(invalid.value.problems) == 4
    assert any("did you mean H53 Tây Ninh" in problem for problem in invalid.value.problems)


async def test_a_taken_name_keeps_its_credential(office: Office) -> None:
    """Adding a station that exists is refused before the broker hears of it."""
    first = await office.acts.add_station(a_station(), by=AN)

    with pytest.raises(InvalidAct, match="rotate"):
        await office.acts.add_station(a_station(), by=BINH)

    assert office.accounts.users["tay-ninh"]["password"] == first.password
    assert await SQLStationView(office.ledger).key_hash(TAY_NINH) == hash_of_key(first.key)


async def test_two_who_add_the_same_station_at_once(office: Office, other_ledger: SQLLedger) -> None:
    """One of them has added it, and its credential is the one that counts at broker and ledger."""
    elsewhere = Office(other_ledger, accounts=office.accounts)
    elsewhere.randomness.taken = 100
    elsewhere.ids = type(office.ids)("elsewhere")
    elsewhere.acts = elsewhere.acting(other_ledger)

    results = await asyncio.gather(
        office.acts.add_station(a_station(), by=AN),
        elsewhere.acts.add_station(a_station(), by=BINH),
        return_exceptions=True,
    )

    [credential] = [one for one in results if not isinstance(one, BaseException)]
    [refused] = [one for one in results if isinstance(one, BaseException)]
    assert isinstance(refused, InvalidAct)
    assert office.accounts.users["tay-ninh"]["password"] == credential.password
    assert await SQLStationView(office.ledger).key_hash(TAY_NINH) == hash_of_key(credential.key)


async def test_set_station_changes_what_is_said_and_nothing_else(office: Office) -> None:
    """Secrets and state stay; what is the same already is no act."""
    credential = await office.acts.add_station(a_station(), by=AN)
    before = (await the_directory(office)).stations[TAY_NINH]

    after = await office.acts.set_station(
        TAY_NINH,
        by=AN,
        window=5,
        channel=Channel.PULL,
        policy=SignaturePolicy.LABELLED,
        refuses_unpassed=True,
    )
    events = len(await office.events())
    again = await office.acts.set_station(TAY_NINH, by=AN, window=5)

    assert after == again == (await the_directory(office)).stations[TAY_NINH]
    assert (after.name, after.secret, after.state) == (before.name, before.secret, before.state)
    assert (after.window, after.channel, after.refuses_unpassed) == (5, Channel.PULL, True)
    assert len(await office.events()) == events
    assert await SQLStationView(office.ledger).key_hash(TAY_NINH) == hash_of_key(credential.key)


async def test_a_setting_that_makes_no_sense_is_refused(office: Office) -> None:
    """The station stays as it was."""
    await office.acts.add_station(a_station(), by=AN)
    before = await the_directory(office)
    senseless: list[dict[str, Any]] = [{"window": 0}, {"name": " "}, {"inline_bytes": 10**9}]

    for what in senseless:
        with pytest.raises(InvalidAct):
            await office.acts.set_station(TAY_NINH, by=AN, **what)

    assert before == await the_directory(office)


async def test_a_station_that_does_not_exist_is_not_found(office: Office) -> None:
    """Nothing is made of it at the broker."""
    for name in ("set_station", "suspend_station", "resume_station", "rotate_station"):
        act: Callable[..., Awaitable[object]] = getattr(office.acts, name)
        with pytest.raises(NotFound):
            await act(StationId("nobody"), by=AN)

    assert office.accounts.users == {}


async def test_a_rotated_station_has_one_credential(office: Office) -> None:
    """The old key is worth nothing; queues keep their names; the record says what was rotated and not to what."""
    old = await office.acts.add_station(a_station(), by=AN)

    new = await office.acts.rotate_station(TAY_NINH, by=AN)

    kept = await SQLStationView(office.ledger).key_hash(TAY_NINH)
    assert kept is not None
    assert is_key(new.key, key_hash=kept)
    assert not is_key(old.key, key_hash=kept)
    assert new.queue_secret == old.queue_secret
    assert office.accounts.users["tay-ninh"]["password"] == new.password
    assert (await office.events())[-1].facts["rotated"] == ["key"]


# --- the broker and the ledger ------------------------------------------------------------------------------------


async def _kept(office: Office) -> tuple[str | None, StationState | None]:
    station = (await the_directory(office)).stations.get(TAY_NINH)
    kept = await SQLStationView(office.ledger).key_hash(TAY_NINH) if station is not None else None
    return kept, station.state if station is not None else None


GIVING: Sequence[str] = ("add_station", "resume_station", "rotate_station")


@pytest.mark.parametrize("name", GIVING)
@pytest.mark.parametrize("moment", ["broker silent", "broker answered, then cut off", "before the commit"])
@pytest.mark.threat(
    "the broker gives rights that the ledger does not know of",
    control="what an act gives becomes true by the ledger's commit, what it takes is taken in the ledger first",
)
async def test_what_an_act_gives_is_true_only_with_the_commit(
    ledger: SQLLedger, name: str, moment: str
) -> None:
    """Cut off anywhere before it, the ledger is as strict as before, and the same act again mends the broker."""
    office = Office(ledger)
    if name != "add_station":
        await office.acts.add_station(a_station(), by=AN)
    if name == "resume_station":
        await office.acts.suspend_station(TAY_NINH, by=AN)
    before = await _kept(office)

    async def act(acts: Acts) -> object:
        if name == "add_station":
            return await acts.add_station(a_station(), by=AN)
        again: Callable[..., Awaitable[object]] = getattr(acts, name)
        return await again(TAY_NINH, by=AN)

    office.accounts.silent = moment == "broker silent"
    office.accounts.cut_off = moment == "broker answered, then cut off"
    acts = office.acting(CutOff(ledger)) if moment == "before the commit" else office.acts
    with pytest.raises(ServiceUnavailable):
        await act(acts)
    assert await _kept(office) == before

    office.accounts.silent = office.accounts.cut_off = False
    result: Any = await act(office.acts)

    user, (kept, state) = office.accounts.users["tay-ninh"], await _kept(office)
    assert (state, user["may"]) == (StationState.ACTIVE, True)
    if name != "resume_station":
        assert kept == hash_of_key(result.key)
        assert user["password"] == result.password


async def test_what_an_act_takes_is_taken_in_the_ledger_first(office: Office) -> None:
    """A silent broker does not keep a station going: its messages are refused; the act again closes its account."""
    await office.acts.add_station(a_station(), by=AN)
    office.accounts.silent = True

    with pytest.raises(ServiceUnavailable):
        await office.acts.suspend_station(TAY_NINH, by=AN)

    assert (await _kept(office))[1] is StationState.SUSPENDED
    assert office.accounts.users["tay-ninh"]["may"]
    office.accounts.silent = False
    events = len(await office.events())

    await office.acts.suspend_station(TAY_NINH, by=AN)

    assert not office.accounts.users["tay-ninh"]["may"]
    assert len(await office.events()) == events, "what is suspended already is no second act"


async def test_without_a_broker_there_are_no_accounts(ledger: SQLLedger) -> None:
    """The embedded axis: the same acts, the ledger alone."""
    office = Office(ledger)
    acts = Acts(
        ledger=ledger,
        directories=office.directories,
        clock=office.clock,
        ids=office.ids,
        randomness=office.randomness,
    )

    await acts.add_station(a_station(), by=AN)
    await acts.rotate_station(TAY_NINH, by=AN)
    await acts.suspend_station(TAY_NINH, by=AN)
    await acts.resume_station(TAY_NINH, by=AN)

    assert (await the_directory(office)).stations[TAY_NINH].state is StationState.ACTIVE
    assert isinstance(office.accounts, Accounts)
    assert office.accounts.users == {}


# --- delegations --------------------------------------------------------------------------------------------------


async def _speaker(office: Office, code: str, *, days: float = 0) -> str | None:
    organ = await an_organ(office, code)
    at = office.clock.now() + timedelta(days=days)
    found = (await the_directory(office)).station_of(organ.number, at=at)
    return found.id if found is not None else None


@pytest.fixture(name="two")
async def _two(office: Office) -> Office:
    """Two stations; Tây Ninh speaks for its province."""
    await office.acts.add_station(a_station(TAY_NINH, "H53"), by=AN)
    await office.acts.add_station(a_station(LANG_SON), by=AN)
    return office


async def test_an_organ_below_may_have_a_station_of_its_own(two: Office) -> None:
    """The nearest station counts; the one above keeps the rest."""
    assert await two.acts.delegate(LANG_SON, ["H53.02"], by=AN) == 1

    assert [await _speaker(two, code) for code in ("H53", "H53.02")] == ["tay-ninh", "lang-son"]


async def test_a_delegation_without_what_is_below(two: Office) -> None:
    """Only the organ itself."""
    await two.acts.delegate(LANG_SON, ["H37"], by=AN, subtree=False)
    await two.acts.import_organs([OrganRow(code="H37.01", name="Sở")], by=AN)

    assert [await _speaker(two, code) for code in ("H37", "H37.01")] == ["lang-son", None]


@pytest.mark.threat(
    "two stations receive for one organ", control="an organ has one station at a time; taking over is said"
)
async def test_an_organ_has_one_station_at_a_time(two: Office) -> None:
    """A second one is refused, unless it takes over: then the first ends where the second begins."""
    with pytest.raises(InvalidAct, match="tay-ninh speaks for it"):
        await two.acts.delegate(LANG_SON, ["H53"], by=AN)
    begin = two.clock.now() + timedelta(days=3)

    assert await two.acts.delegate(LANG_SON, ["H53"], by=AN, begin=begin, take_over=True) == 2

    assert [await _speaker(two, "H53", days=days) for days in (0, 2.9, 3.1)] == [
        "tay-ninh",
        "tay-ninh",
        "lang-son",
    ]


async def test_delegations_that_do_not_overlap_follow_each_other(two: Office) -> None:
    """An organ may go from one station to the next at a moment agreed on."""
    until = two.clock.now() + timedelta(days=10)
    await two.acts.delegate(TAY_NINH, ["H37"], by=AN, end=until)

    await two.acts.delegate(LANG_SON, ["H37"], by=AN, begin=until)

    assert [await _speaker(two, "H37", days=days) for days in (1, 11)] == ["tay-ninh", "lang-son"]


async def test_a_delegation_ends_and_may_begin_anew(two: Office) -> None:
    """Ended at once or later; one that never began blocks nobody."""
    moment = two.clock.now() + timedelta(days=5)
    await two.acts.delegate(LANG_SON, ["H37"], by=AN, begin=moment)
    assert await two.acts.end_delegation(LANG_SON, ["H37"], by=AN) == 1
    assert await two.acts.end_delegation(TAY_NINH, ["H53"], by=AN, end=moment) == 1

    assert await _speaker(two, "H37", days=6) is None
    assert [await _speaker(two, "H53", days=days) for days in (0, 6)] == ["tay-ninh", None]
    await two.acts.delegate(TAY_NINH, ["H37"], by=AN)
    await two.acts.delegate(LANG_SON, ["H37"], by=AN, begin=moment, take_over=True)
    assert [await _speaker(two, "H37", days=days) for days in (1, 6)] == ["tay-ninh", "lang-son"]


async def test_delegating_again_changes_only_what_differs(two: Office) -> None:
    """The same is no act; another reach or end changes the one there is."""
    assert await two.acts.delegate(TAY_NINH, ["H53", "000.00.00.H53"], by=AN) == 0
    assert await two.acts.delegate(TAY_NINH, ["H53"], by=AN, subtree=False) == 1

    [delegation] = (await the_directory(two)).delegations[(await an_organ(two, "H53")).number]
    assert not delegation.subtree


async def test_a_delegation_that_makes_no_sense(two: Office) -> None:
    """Unknown organs, none at all, or an end before the beginning."""
    senseless: list[tuple[list[str], dict[str, Any]]] = [
        ([], {}),
        (["H99"], {}),
        (["H53"], {"begin": NOON, "end": NOON}),
        (["H53"], {"end": NOON - timedelta(days=1)}),
    ]
    events = await two.events()

    for codes, how in senseless:
        with pytest.raises(InvalidAct):
            await two.acts.delegate(TAY_NINH, codes, by=AN, **how)
        with pytest.raises(InvalidAct):
            await two.acts.end_delegation(LANG_SON, codes, by=AN)
    with pytest.raises(NotFound):
        await two.acts.delegate(StationId("nobody"), ["H53"], by=AN)

    assert await two.events() == events


async def test_a_closed_organ_gets_no_station(two: Office) -> None:
    """It receives through its successor."""
    await two.acts.import_organs(
        [OrganRow(code="H37", name="Lạng Sơn", valid_to=NOON - timedelta(days=1), successor="H53")], by=AN
    )

    with pytest.raises(InvalidAct, match="closed"):
        await two.acts.delegate(LANG_SON, ["H37"], by=AN)


# --- certificates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pem", "chain", "der"])
async def test_a_certificate_is_bound_by_its_key(office: Office, form: str) -> None:
    """By key and by issuer and serial, never by its text; a file with the chain has the certificate first."""
    issued = a_certificate()
    content = {
        "pem": issued.certificate_pem,
        "chain": issued.chain_pem,
        "der": issued.certificate.public_bytes(Encoding.DER),
    }[form]

    bound = await office.acts.bind_certificate("000.00.00.H53", content, by=AN)

    directory, organ = await the_directory(office), await an_organ(office, "H53")
    assert directory.bound(organ.number, at=office.clock.now()) == (bound,)
    assert directory.bound(organ.number, at=NOON - timedelta(days=1)) == ()
    assert directory.bound(organ.number, at=NOON + timedelta(days=51)) == ()
    assert int(bound.serial, 16) == issued.certificate.serial_number
    assert bound.subject == issued.certificate.subject.rfc4514_string()


async def test_binding_again_keeps_what_was_signed_before(office: Office) -> None:
    """A new end changes the end; the beginning stays where it was, and the same again is no act."""
    first = await office.acts.bind_certificate("H53", a_certificate().certificate_pem, by=AN)
    office.clock.move(days=5)
    end = NOON + timedelta(days=20)

    second = await office.acts.bind_certificate("H53", a_certificate().certificate_pem, by=AN, end=end)
    events = len(await office.events())
    third = await office.acts.bind_certificate("H53", a_certificate().certificate_pem, by=AN, end=end)

    assert (second.valid_from, second.valid_to) == (first.valid_from, end)
    assert (third, len(await office.events())) == (second, events)


async def test_a_revoked_certificate_signs_for_nobody(office: Office) -> None:
    """At all its organs, from the moment said; an earlier moment may follow, a later one or a new binding may not."""
    content = a_certificate().certificate_pem
    bound = await office.acts.bind_certificate("H53", content, by=AN, begin=NOON - timedelta(days=40))
    await office.acts.bind_certificate("H37", content, by=AN)
    stolen = NOON - timedelta(days=2)

    revoked = await office.acts.revoke_certificate(Digest(bound.fingerprint.upper()), by=AN, at=stolen)

    directory, organ = await the_directory(office), await an_organ(office, "H53")
    assert len(revoked) == 2
    assert directory.bound(organ.number, at=NOON) == ()
    assert len(directory.bound(organ.number, at=stolen - timedelta(seconds=1))) == 1
    await office.acts.revoke_certificate(bound.fingerprint, by=AN)
    await office.acts.revoke_certificate(bound.fingerprint, by=AN, at=stolen - timedelta(days=1))
    with pytest.raises(InvalidAct, match="only earlier"):
        await office.acts.revoke_certificate(bound.fingerprint, by=AN, at=NOON)
    with pytest.raises(InvalidAct, match="cannot be bound again"):
        await office.acts.bind_certificate("H53", content, by=AN)
    directory = await the_directory(office)
    assert {one.revoked_at for one in directory.certificates[organ.number]} == {stolen - timedelta(days=1)}


NO_CERTIFICATES = (
    b"",
    b"no certificate",
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    b"\x30\x82\xff\xff" * 10,
    b"\x00" * 100_000,
)


async def test_what_is_no_certificate_is_refused(office: Office) -> None:
    """Whatever bytes come, they are bound to nobody."""
    for content in NO_CERTIFICATES:
        with pytest.raises(InvalidAct):
            await office.acts.bind_certificate("H53", content, by=AN)

    assert (await the_directory(office)).certificates == {}


async def test_a_certificate_that_could_never_sign_is_refused(office: Office) -> None:
    """Run out before the binding begins, or for an organ nobody knows."""
    expired = a_pki().issue("Hết hạn", not_after=NOON - timedelta(days=1))

    with pytest.raises(InvalidAct, match="valid until"):
        await office.acts.bind_certificate("H53", expired.certificate_pem, by=AN)
    with pytest.raises(InvalidAct, match="no such organ"):
        await office.acts.bind_certificate("H99", a_certificate().certificate_pem, by=AN)
    with pytest.raises(NotFound):
        await office.acts.revoke_certificate(Digest("0" * 64), by=AN)


# --- releases -----------------------------------------------------------------------------------------------------


async def test_only_a_digest_is_released(office: Office) -> None:
    """A mistyped one is refused, not kept."""
    for digest in ("", "x" * 64, "a" * 63, "a" * 64 + "\n"):
        with pytest.raises(InvalidAct):
            await office.acts.release_digest(Digest(digest), by=AN)


async def test_a_release_shows_who_gave_it_before(office: Office) -> None:
    """Digests are the same in capitals."""
    await office.acts.release_digest(Digest("a" * 64), by=AN)
    await office.acts.release_digest(Digest("A" * 64), by=BINH)

    facts = (await office.events())[-1].facts
    assert (facts["before"], facts["after"]) == (["an.nguyen"], ["an.nguyen", "binh.tran"])


def test_station_names_are_those_of_the_wire() -> None:
    """One rule for names, in the core and at the broker."""
    from axis.broker.wire import STATION_ID as AT_THE_BROKER

    assert STATION_ID.pattern == AT_THE_BROKER.pattern
