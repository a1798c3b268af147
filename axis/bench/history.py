"""
A made-up history of the axis, as the events the flow would have recorded: for measuring what a ledger of years costs.

Organs are made up in the shape of the real ones: ministries, provinces with units below them, 1,300 in all. Documents
come in the mixture requirements.md tells of: one to a few receivers mostly, now and then all 69 units of a province;
most acknowledged within hours and registered, some returned, failed or withdrawn, the newest still on their way.
The same seed makes the same history. Nothing here knows a database, and nothing real imports it.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from axis.core.events import JSON, Event, EventKind
from axis.core.ids import compose
from axis.core.model import Actor, DeliveryId, DocumentKey, EventId, StationId, SubmissionId, iso
from axis.core.reasons import REASONS, ReasonCode

MADE_UP = "a made-up history"
"""The reason of its first act, by which a database that holds one is recognised."""
MINISTRIES = 30
PROVINCES = 63
UNITS = 20
"""Units below each province; the first province has 69, who all receive its circulars."""

_WORDS = [
    "triển",
    "khai",
    "kết",
    "nối",
    "liên",
    "thông",
    "phần",
    "mềm",
    "quản",
    "lý",
    "văn",
    "bản",
    "báo",
    "cáo",
    "kết",
    "quả",
    "gửi",
    "nhận",
    "điện",
    "tử",
    "ban",
    "hành",
    "quy",
    "chế",
    "vận",
    "hành",
    "kết",
    "luận",
    "cuộc",
    "họp",
    "giao",
    "ban",
    "xây",
    "dựng",
    "chính",
    "phủ",
    "chuyển",
    "đổi",
    "mã",
    "định",
    "danh",
    "cơ",
    "quan",
    "đơn",
    "vị",
    "phê",
    "duyệt",
    "danh",
    "mục",
    "dịch",
    "vụ",
    "công",
    "trực",
    "tuyến",
    "góp",
    "ý",
    "dự",
    "thảo",
    "nghị",
    "định",
    "công",
    "tác",
    "văn",
    "thư",
    "phòng",
    "chống",
    "thiên",
    "tai",
    "tăng",
    "cường",
    "kiểm",
    "tra",
    "đôn",
    "đốc",
    "thực",
    "hiện",
    "nhiệm",
    "vụ",
    "trọng",
    "tâm",
    "năm",
    "học",
    "đầu",
    "tư",
    "công",
    "trung",
    "hạn",
    "giải",
    "ngân",
    "vốn",
    "hỗ",
    "trợ",
    "doanh",
    "nghiệp",
    "bảo",
    "vệ",
    "môi",
    "trường",
    "quy",
    "hoạch",
    "sử",
    "dụng",
    "đất",
    "an",
    "toàn",
    "thực",
    "phẩm",
    "y",
    "tế",
    "cơ",
    "sở",
    "giáo",
    "dục",
    "phổ",
    "thông",
    "giao",
    "thông",
    "đường",
    "bộ",
    "thủy",
    "lợi",
    "nông",
    "thôn",
    "mới",
]
_RARE = tuple(f"chuyên đề {number}" for number in range(3_000))
_SURNAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi", "Đỗ", "Hồ")
_GIVEN = (
    "Văn An",
    "Thị Bình",
    "Quốc Cường",
    "Minh Đức",
    "Thu Hà",
    "Hữu Lộc",
    "Ngọc Mai",
    "Xuân Phúc",
    "Đình Sơn",
)
_TYPES = ("Công văn", "Quyết định", "Thông báo", "Báo cáo", "Kế hoạch", "Tờ trình", "Giấy mời")
_NOTATIONS = ("VP", "QĐ-UBND", "TB-SNV", "BC-STC", "KH-UBND", "TTr-BNV", "GM-VP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One organ of the history."""

    number: int
    code: str
    name: str
    parent: int | None
    station: StationId


def places() -> tuple[Place, ...]:
    """Ministries, provinces, and the units below the provinces."""
    found: list[Place] = []

    def add(code: str, name: str, parent: int | None, station: str) -> int:
        found.append(
            Place(number=len(found) + 1, code=code, name=name, parent=parent, station=StationId(station))
        )
        return len(found)

    for one in range(1, MINISTRIES + 1):
        add(f"000.00.00.G{one:02d}", f"Bộ số {one}", None, f"bo-{one:02d}")
    for one in range(1, PROVINCES + 1):
        province = add(f"000.00.00.H{one:02d}", f"UBND tỉnh số {one}", None, f"tinh-{one:02d}")
        for unit in range(1, (69 if one == 1 else UNITS) + 1):
            add(f"000.00.{unit:02d}.H{one:02d}", f"Sở số {unit} tỉnh số {one}", province, f"tinh-{one:02d}")
    return tuple(found)


class History:
    """One history. `until` is now: what came shortly before it is still on its way."""

    def __init__(self, *, since: datetime, until: datetime, deliveries: int, seed: int = 1) -> None:
        self._since = since
        self._until = until
        self._deliveries = deliveries
        self._random = random.Random(seed)  # noqa: S311 - no secret hangs on it
        self._numbers: Counter[tuple[int, int]] = Counter()
        self._made = 0
        self.places = places()
        self._units = [one for one in self.places if one.parent is not None]
        self._circle = [one for one in self.places if one.station == "tinh-01" and one.parent is not None]

    @property
    def made(self) -> int:
        """Deliveries so far."""
        return self._made

    def beginning(self) -> list[Event]:
        """The organs, as an import of a list records them."""
        at = self._since
        changes: list[JSON] = [
            {
                "before": None,
                "after": {
                    "number": one.number,
                    "code": one.code,
                    "name": one.name,
                    "kind": "unit" if one.parent else "province",
                    "parent": one.parent,
                    "codes": [[one.code, one.code]],
                },
            }
            for one in self.places
        ]
        return [
            Event(
                id=EventId(self._id(at)),
                kind=EventKind.ORGANS_CHANGED,
                at=at,
                by=Actor(person="bench", reason=MADE_UP),
                facts={"changes": changes, "directory_version": 1},
            )
        ]

    def batches(self, *, documents: int = 1_000) -> Iterator[list[Event]]:
        """The rest of the history, some documents at a time with all that happened to them, in the order of time."""
        # Eight receivers a document on average, see `_receivers`.
        expected = max(1, self._deliveries // 8)
        step = (self._until - self._since) / (expected + expected // 30 + 2)
        at = self._since
        while self._made < self._deliveries:
            events: list[Event] = []
            for _ in range(documents):
                at = min(at + step * (0.5 + self._random.random()), self._until)
                events += self._refused(at) if self._random.random() < 0.03 else self._document(at)
                if self._made >= self._deliveries:
                    break
            # Within a life each event comes after the one it names: times decide, and ties keep their order.
            events.sort(key=lambda one: one.at)
            yield events

    # --- one document -------------------------------------------------------------------------------------------

    def _id(self, at: datetime) -> str:
        return compose(at=at, randomness=self._random.getrandbits(80))

    def _digest(self, text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def _receivers(self, sender: Place) -> list[Place]:
        drawn = self._random.random()
        if drawn < 0.03:
            return self._circle
        count = (
            1
            if drawn < 0.45
            else self._random.randint(2, 9)
            if drawn < 0.85
            else self._random.randint(10, 35)
        )
        near = [one for one in self._units if one.parent == sender.parent] if sender.parent else []
        pool: Sequence[Place] = near if len(near) >= count and self._random.random() < 0.6 else self.places
        return [one for one in self._random.sample(pool, min(count, len(pool))) if one is not sender] or [
            self.places[0]
        ]

    def _subject(self) -> str:
        begin = self._random.randrange(len(_WORDS) - 14)
        text = "V/v " + " ".join(_WORDS[begin : begin + self._random.randint(6, 14)])
        return f"{text}, {self._random.choice(_RARE)}" if self._random.random() < 0.3 else text

    def _basics(self, sender: Place, at: datetime, document: str) -> dict[str, JSON]:
        return {
            "station": sender.station,
            "message_id": self._id(at),
            "digest": self._digest(document),
            "size": self._random.randint(20_000, 2_000_000),
            "received_at": iso(at),
            "lane": "normal",
        }

    def _refused(self, at: datetime) -> list[Event]:
        sender = self._random.choice(self.places)
        submission = SubmissionId(self._id(at))
        reason = self._random.choice(
            (ReasonCode.ROUTE_UNKNOWN_RECEIVER, ReasonCode.VERIFY_SIGNATURE, ReasonCode.VALIDATE_NO_RECEIVER)
        )
        facts: dict[str, JSON] = {
            **self._basics(sender, at, submission),
            "kind": "edoc",
            "sender": sender.number,
            "from": sender.code,
            "document_id": f"{sender.code},{submission[-8:]}",
            "business_type": 0,
            "code": f"{self._random.randint(1, 4_000)}/{self._random.choice(_NOTATIONS)}",
            "subject": self._subject(),
            "causes": [{"code": reason.value, "owner": REASONS[reason].owner.value, "details": []}],
            "kept": True,
        }
        return [
            Event(
                id=EventId(self._id(at)),
                kind=EventKind.SUBMISSION_REFUSED,
                at=at,
                by=Actor(station=sender.station),
                submission=submission,
                facts=facts,
            )
        ]

    def _document(self, at: datetime) -> list[Event]:
        accepted, lines = self.acceptance(at)
        facts = accepted.facts
        common: dict[str, JSON] = {
            name: facts[name] for name in ("kind", "sender", "business_type", "urgency")
        }
        events = [accepted]
        by_consignment: dict[str, list[dict[str, JSON]]] = {}
        for line in lines:
            if line["state"] == "waiting":
                by_consignment.setdefault(str(line["consignment"]), []).append(line)
        for consignment, carried in by_consignment.items():
            events += self._carried(accepted, consignment, carried, common)
        return events

    def acceptance(self, at: datetime) -> tuple[Event, list[dict[str, JSON]]]:
        """An accepted document and its delivery lines, with nothing behind it yet."""
        draw = self._random
        sender = draw.choice(self.places if draw.random() < 0.8 else self.places[:MINISTRIES])
        document = DocumentKey(self._id(at))
        kind = draw.choices((0, 1, 2, 3), (970, 10, 12, 8))[0]
        urgency = draw.choices((0, 1, 2, 3), (930, 50, 15, 5))[0]
        number, notation = str(draw.randint(1, 4_000)), draw.choice(_NOTATIONS)
        is_late = draw.random() < 0.06
        signatory = f"{draw.choice(_SURNAMES)} {draw.choice(_GIVEN)}"
        consignments: dict[StationId, str] = {}
        lines: list[dict[str, JSON]] = []
        for one in self._receivers(sender):
            self._numbers[sender.number, one.number] += 1
            line: dict[str, JSON] = {
                "id": self._id(at),
                "organ": one.number,
                "code": one.code,
                "name": one.name,
                "number": self._numbers[sender.number, one.number],
            }
            if draw.random() < 0.01:
                line |= {"state": "not_connected", "reason": ReasonCode.ROUTE_NOT_CONNECTED.value}
            else:
                if one.station not in consignments:
                    consignments[one.station] = self._id(at)
                line |= {"state": "waiting", "station": one.station, "consignment": consignments[one.station]}
            lines.append(line)
        self._made += len(lines)
        subject = self._subject()
        facts: dict[str, JSON] = {
            **self._basics(sender, at, document),
            "kind": "edoc",
            "sender": sender.number,
            "from": sender.code,
            "document_id": f"{sender.code},{at.year},{document[-10:]}",
            "business_type": kind,
            "code": f"{number}/{notation}",
            "number": number,
            "notation": notation,
            "date": (at - timedelta(days=3 if is_late else 0)).date().isoformat(),
            "type_name": draw.choice(_TYPES),
            "signatory": signatory,
            "subject": subject,
            "content": self._digest(subject),
            "urgency": urgency,
            "tier": "passed" if draw.random() < 0.9 else "unsigned",
            "verdict": {
                "signer": {
                    "subject": f"CN={signatory}, O={sender.name}",
                    "serial": f"{draw.getrandbits(60):x}",
                }
            },
            "value": "original",
            "policy": "AX-1/1",
            "directory": 1,
            "root": document,
            "recalls": kind == 1,
            "late": is_late,
            "report": self._digest(f"report of {document}"),
            "notices": [],
            "consignments": [{"id": one, "station": station} for station, one in consignments.items()],
            "deliveries": [dict(line) for line in lines],
            "claims": [self._digest(f"claim of {document}")],
            "attachments": [
                {
                    "content_id": "1",
                    "name": "Van ban.pdf",
                    "declared_type": "application/pdf",
                    "detected_type": "application/pdf",
                    "size": 123_456,
                    "sha256": self._digest(f"attachment of {document}"),
                }
            ],
        }
        return (
            Event(
                id=EventId(self._id(at)),
                kind=EventKind.SUBMISSION_ACCEPTED,
                at=at,
                by=Actor(station=sender.station),
                submission=SubmissionId(self._id(at)),
                document=document,
                deliveries=tuple(DeliveryId(str(line["id"])) for line in lines),
                facts=facts,
            ),
            lines,
        )

    def _carried(
        self,
        accepted: Event,
        consignment: str,
        lines: Sequence[dict[str, JSON]],
        common: dict[str, JSON],
    ) -> list[Event]:
        """What became of one consignment."""
        draw, events, head = self._random, list[Event](), accepted.hash.hex()
        station = StationId(str(lines[0]["station"]))
        sender = accepted.by.station
        assert sender is not None, "a station handed it in"

        def step(kind: EventKind, at: datetime, by: Actor, state: str, before: str, **more: JSON) -> None:
            nonlocal head
            event = Event(
                id=EventId(self._id(at)),
                kind=kind,
                at=at,
                by=by,
                document=accepted.document,
                deliveries=tuple(DeliveryId(str(line["id"])) for line in lines),
                stations=(sender,) if kind is not EventKind.DELIVERY_HANDED_OVER else (),
                facts={
                    **common,
                    "consignment": consignment,
                    "consignment_state": state,
                    "station": station,
                    "lines": [[line["id"], line["organ"], before] for line in lines],
                    **more,
                },
                previous=head,
            )
            head = event.hash.hex()
            events.append(event)

        at = accepted.at + timedelta(seconds=draw.uniform(0.05, 5))
        if at >= self._until:
            return events
        drawn = draw.random()
        if drawn < 0.003:
            step(EventKind.DELIVERY_WITHDRAWN, at, Actor(axis="record"), "closed", "waiting")
            return events
        step(EventKind.DELIVERY_HANDED_OVER, at, Actor(axis="dispatch"), "handed_over", "waiting", attempt=1)
        if drawn < 0.012:
            reason = ReasonCode.DELIVER_NOT_TAKEN.value
            step(EventKind.DELIVERY_FAILED, at + timedelta(days=1), Actor(axis="dispatch"), "closed", "handed_over", reason=reason)  # fmt: skip
            return events
        at += timedelta(seconds=draw.expovariate(1 / 3_600))
        if at >= self._until:
            return events
        step(EventKind.DELIVERY_ACKNOWLEDGED, at, Actor(station=station), "closed", "handed_over")
        if drawn < 0.6:
            at += timedelta(seconds=draw.expovariate(1 / 20_000))
            if at < self._until:
                events.append(self._answered(accepted, lines, consignment, at, head, returned=drawn < 0.018))
        return events

    def _answered(
        self,
        accepted: Event,
        lines: Sequence[dict[str, JSON]],
        consignment: str,
        at: datetime,
        head: str,
        *,
        returned: bool,
    ) -> Event:
        line, facts = lines[0], accepted.facts
        code = "02" if returned else "03"
        sender = accepted.by.station
        assert sender is not None, "a station handed it in"
        return Event(
            id=EventId(self._id(at)),
            kind=EventKind.DELIVERY_ANSWERED,
            at=at,
            by=Actor(station=StationId(str(line["station"]))),
            document=accepted.document,
            deliveries=(DeliveryId(str(line["id"])),),
            stations=(sender,),
            facts={
                **{name: facts[name] for name in ("kind", "sender", "business_type", "urgency")},
                "code": code,
                "shown": code,
                "by_organ": line["organ"],
                "lines": [[line["id"], line["organ"], ["returned" if returned else "registered"]]],
                "consignment": consignment,
            },
            previous=head,
        )
