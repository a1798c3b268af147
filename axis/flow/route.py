"""
Step 5: who gets it, through which station. A pure function of the message and one version of the directory.

Unknown receivers refuse the whole document, with every bad code and the nearest known names; closed ones go to their
successor; bodies that are not connected become deliveries "send paper". For khẩn and above unknown codes become such
deliveries too, so that the rest of an urgent document travels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from axis.core.directory import Directory, Organ, Station
from axis.core.exchange import Notice
from axis.core.model import BusinessType, DeliveryState, Lane, OrganNumber, Tier, Urgency
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.edxml.message import Edoc, Party
from axis.edxml.organ_code import normal
from axis.flow.nearest import nearest
from axis.flow.outcomes import Hold, Refusal
from axis.flow.receive import World
from axis.flow.validate import known_of
from axis.flow.verify import Verified, hold_of

_RECEIVER_LIST = (
    "/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList/Bussiness/BussinessDocumentInfo/ReceiverList"
)
_MOST_COMPARED = 3
"""Unknown receivers of one message for which the directory is searched for what was meant."""
_TO = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/To"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One receiver: the organ, the code as the sender wrote it, and the station that takes it for the organ."""

    organ: OrganNumber
    code: str
    name: str
    station: Station | None
    state: DeliveryState
    reason: ReasonCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A message that is ready to be recorded. The receivers of a status are found by `axis.flow.answer_to`."""

    verified: Verified
    lines: tuple[Line, ...]
    notices: tuple[Notice, ...]
    urgency: Urgency
    lane: Lane
    directory: Directory


def route(verified: Verified, *, world: World) -> Routed | Refusal | Hold:
    """Find a station for every receiver; a hold only where one takes nothing that is still being verified."""
    message = verified.message
    inbound = verified.valid.parsed.inbound
    notices = [Notice(code=one.code, path=one.path, vi=one.vi, en=one.en) for one in verified.valid.warnings]
    if not isinstance(message, Edoc):
        return Routed(
            verified=verified,
            lines=(),
            notices=tuple(notices),
            urgency=Urgency.NORMAL,
            lane=Lane.NORMAL,
            directory=world.directory,
        )
    urgency = message.urgency(scale=world.priority_scale)
    lines: dict[OrganNumber, Line] = {}
    unknown: list[Detail] = []
    closed: list[Detail] = []
    wary: list[Detail] = []
    for path, party in _receivers(message):
        organ = world.directory.by_code(normal(party.organ_id), at=inbound.received_at)
        if organ is None:
            if urgency is Urgency.NORMAL:
                unknown.append(
                    _unknown(party, path, world.directory, with_near=len(unknown) < _MOST_COMPARED)
                )
                continue
            line = _on_paper(party, organ=_placeholder(party), name=party.organ_name)
        else:
            line_or_detail = _line(organ, party, path, notices, verified, world=world)
            if isinstance(line_or_detail, Detail):
                closed.append(line_or_detail)
                continue
            line = line_or_detail
            if (
                line.station is not None
                and line.station.refuses_unpassed
                and verified.tier is not Tier.PASSED
            ):
                wary.append(_wary(line, path))
        if line.organ in lines:
            notices.append(_same_receiver(line, lines[line.organ], path))
            continue
        lines[line.organ] = line
    causes = tuple(
        Cause(code=code, details=tuple(details))
        for code, details in (
            (ReasonCode.ROUTE_UNKNOWN_RECEIVER, unknown),
            (ReasonCode.ROUTE_CLOSED_RECEIVER, closed),
            (ReasonCode.VERIFY_UNSIGNED, wary),
        )
        if details
    )
    if wary and len(causes) == 1 and verified.tier is Tier.INDETERMINATE:
        # That nobody can tell yet is not the sender's doing.
        doubt = Cause(code=ReasonCode.VERIFY_INDETERMINATE, details=tuple(wary))
        return hold_of(verified.valid, doubt, verified.verdict)
    if causes:
        return Refusal(
            inbound=inbound,
            causes=causes,
            known=known_of(message, verified.sender),
            verdict=verified.verdict,
        )
    return Routed(
        verified=verified,
        lines=tuple(lines.values()),
        notices=tuple(notices),
        urgency=urgency,
        lane=Lane.NORMAL if urgency is Urgency.NORMAL else Lane.URGENT,
        directory=world.directory,
    )


def _receivers(message: Edoc) -> Iterator[tuple[str, Party]]:
    """Everybody in `To`, and whom an update adds without naming there."""
    for position, party in enumerate(message.receivers, start=1):
        yield f"{_TO}[{position}]/OrganId", party
    named = {normal(party.organ_id) for party in message.receivers}
    changes = message.bussiness.changes if message.bussiness is not None else None
    if changes is None or message.business_type is not BusinessType.UPDATE:
        return
    for position, one in enumerate(changes.receivers, start=1):
        if one.added and normal(one.organ_id) not in named:
            yield f"{_RECEIVER_LIST}/Receiver[{position}]/OrganId", Party(organ_id=one.organ_id)


def _line(
    organ: Organ, party: Party, path: str, notices: list[Notice], verified: Verified, *, world: World
) -> Line | Detail:
    at = verified.valid.parsed.inbound.received_at
    directory = world.directory
    if not organ.is_open(at):
        successor = directory.successor(organ, at=at)
        if successor is not None and not world.forwards_closed:
            return Detail(
                path=path,
                vi=f"{party.organ_id[:64]} ({organ.name}) đã đóng mã; gửi tới {successor.code} ({successor.name})",
                en=f"{party.organ_id[:64]} ({organ.name}) is closed; send to {successor.code} ({successor.name})",
            )
        if successor is None:
            return Detail(
                path=path,
                vi=f"{party.organ_id[:64]} ({organ.name}) đã đóng mã, không có đơn vị kế thừa",
                en=f"{party.organ_id[:64]} ({organ.name}) is closed and has no successor",
            )
        notices.append(
            Notice(
                code="route.successor",
                path=path,
                vi=f"{party.organ_id[:64]} đã đóng; văn bản được chuyển tới {successor.name} ({successor.code}).",
                en=f"{party.organ_id[:64]} is closed; the document goes to {successor.name} ({successor.code}).",
            )
        )
        organ = successor
    for above in directory.ancestry(organ.number):
        if above.terminate_here:
            # LR-11: one point takes everything for the bodies below it.
            organ = above
            break
    station = directory.station_of(organ.number, at=at)
    if station is None:
        return _on_paper(party, organ=organ.number, name=organ.name)
    return Line(
        organ=organ.number,
        code=party.organ_id[:64],
        name=organ.name,
        station=station,
        state=DeliveryState.WAITING,
    )


def _on_paper(party: Party, *, organ: OrganNumber, name: str) -> Line:
    return Line(
        organ=organ,
        code=party.organ_id[:64],
        name=name,
        station=None,
        state=DeliveryState.NOT_CONNECTED,
        reason=ReasonCode.ROUTE_NOT_CONNECTED,
    )


def _placeholder(party: Party) -> OrganNumber:
    # An unknown code has no organ. A negative number that follows from the code keeps two of them apart.
    return OrganNumber(-1 - zlib.crc32(normal(party.organ_id).encode()) % 2_000_000_000)


def _unknown(party: Party, path: str, directory: Directory, *, with_near: bool) -> Detail:
    alike = nearest(directory, normal(party.organ_id)) if with_near else ()
    near = ", ".join(f"{organ.code} {organ.name}" for organ in alike)
    code = party.organ_id[:64]
    return Detail(
        path=path,
        vi=f"{code} không có trong danh mục." + (f" Có thể là: {near}" if near else ""),
        en=f"{code} is not in the directory." + (f" Did you mean: {near}" if near else ""),
    )


def _wary(line: Line, path: str) -> Detail:
    return Detail(
        path=path,
        vi=f"{line.name} chỉ nhận gói tin có chữ ký được xác minh",
        en=f"{line.name} takes only messages whose signature was verified",
    )


def _same_receiver(line: Line, first: Line, path: str) -> Notice:
    return Notice(
        code="route.same_receiver",
        path=path,
        vi=f"{line.code} và {first.code} là cùng một đơn vị ({line.name}); chỉ chuyển một lần.",
        en=f"{line.code} and {first.code} are the same organ ({line.name}); it is delivered once.",
    )
