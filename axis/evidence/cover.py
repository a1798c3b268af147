"""
The cover page: what a bundle proves, for people who read paper; Vietnamese with English below, one file, prints on A4.

Made from the records of the bundle alone, by whoever exports it and again by whoever verifies it: a page that says
something else than the records is refused. Every text of a record is shown as text. No script, no address, no font
from elsewhere: opening it asks nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, Final

from axis.core.events import Event, EventKind
from axis.core.model import VIETNAM, DeliveryState, DocumentKey, LegalValue, Tier
from axis.core.text import printable
from axis.evidence.bundle import BEGINNINGS, Bundle
from axis.evidence.words import KINDS, STATE_AFTER, STATES, TIERS, VALUES, Words

_LONGEST: Final = 2_000
_TYPES: Final = (
    Words("văn bản mới", "new"),
    Words("thu hồi", "recall"),
    Words("cập nhật", "update"),
    Words("thay thế", "replace"),
)
_URGENCIES: Final = (
    Words("thường", "normal"),
    Words("khẩn", "urgent"),
    Words("thượng khẩn", "very urgent"),
    Words("hỏa tốc", "express"),
)

_STYLE: Final = """
@page { size: A4; margin: 18mm 16mm 18mm 20mm; }
* { box-sizing: border-box; }
body { font: 11pt/1.4 "Noto Serif", "Liberation Serif", "Times New Roman", serif; color: #111; max-width: 190mm;
  margin: 10mm auto; padding: 0 6mm; background: #fff; }
h1 { font-size: 17pt; margin: 0; text-align: center; text-transform: uppercase; letter-spacing: .02em; }
h1 + p { text-align: center; margin: 1mm 0 6mm; }
h2 { font-size: 12pt; margin: 7mm 0 2mm; border-bottom: 1.5pt solid #8a1c1c; padding-bottom: 1mm; break-after: avoid; }
.en { color: #555; font-style: italic; font-weight: normal; font-size: .88em; text-transform: none; letter-spacing: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { border: .5pt solid #999; padding: 1.2mm 1.8mm; text-align: left; vertical-align: top; }
th { background: #f4f0ea; font-size: 9.5pt; font-weight: 600; }
td { font-size: 9.5pt; overflow-wrap: anywhere; }
.facts th { width: 48mm; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
code { font: 8pt/1.35 "Noto Sans Mono", "Liberation Mono", "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; }
.t { white-space: nowrap; }
.mark { border: 1pt solid #8a1c1c; padding: 3mm 4mm; margin-top: 3mm; }
.mark p { margin: 0 0 1.5mm; }
.mark p:last-child { margin: 0; }
@media print { body { margin: 0; padding: 0; max-width: none; } }
"""


@dataclass(slots=True)
class _Receiver:
    """One delivery, as far as the records tell."""

    code: str
    name: str
    number: int | None
    state: str
    reason: str
    reached: dict[str, datetime] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)


def cover_page(bundle: Bundle) -> bytes:
    """
    The page of a bundle.

    Raises:
        NoteError: its checkpoint cannot be read.
        ValueError, KeyError, TypeError: a record says what none says.
    """
    head = bundle.head
    subject = _subject(bundle)
    receivers = _receivers(bundle)
    organ = bundle.organ
    parts = [
        "<!doctype html>",
        '<html lang="vi"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Chứng cứ · Evidence {_text(bundle.subject)}</title><style>{_STYLE}</style></head><body>",
        "<h1>Chứng cứ gửi, nhận văn bản điện tử</h1>",
        '<p class="en">Evidence of the exchange of an electronic document</p>',
        _heading("1. Văn bản", "Document"),
        _facts(_document_rows(bundle, subject)),
        *_attachments(subject),
    ]
    if receivers:
        only = f" (chỉ {_text(organ)})" if organ is not None else ""
        parts += [
            _heading(f"2. Nơi nhận{only}", "Receivers, as far as these records tell"),
            _receiver_table(receivers),
        ]
    parts += [
        _heading("3. Diễn biến", "What happened, in the order of the log"),
        _record_table(bundle, receivers),
        _heading("4. Nhật ký", "The log these records stand in"),
        _facts(
            [
                (Words("Tên nhật ký", "Origin"), _text(head.origin)),
                (Words("Số bản ghi", "Records at the checkpoint"), str(head.size)),
                (Words("Gốc cây băm", "Root (RFC 9162)"), f"<code>{head.root.hex()}</code>"),
                (Words("Dấu thời gian", "Timestamp (RFC 3161)"), _timestamp(bundle)),
            ]
        ),
        _what_it_proves(),
        "</body></html>\n",
    ]
    return "\n".join(parts).encode()


def _subject(bundle: Bundle) -> Event:
    """The record that says what the bundle is about: the acceptance, else the last outcome of the submission."""
    outcomes = [one.event for one in bundle.entries if one.event.kind.value.startswith("submission.")]
    if not outcomes:
        raise ValueError("no record of a submission")
    return next((one for one in outcomes if one.document == bundle.subject), outcomes[-1])


def _document_rows(bundle: Bundle, subject: Event) -> list[tuple[Words, str]]:
    facts: Any = subject.facts
    outcome = KINDS.get(subject.kind)
    code = "/".join(str(one) for one in (facts.get("number"), facts.get("notation")) if one)
    rows = [
        (Words("Số, ký hiệu", "Number/notation"), _text(code or facts.get("code"))),
        (Words("Ngày ban hành", "Date of issue"), _day(facts.get("date"))),
        (Words("Loại văn bản", "Type"), _text(facts.get("type_name"))),
        (Words("Trích yếu", "Subject"), _text(facts.get("subject"))),
        (Words("Cơ quan gửi", "Sending organ"), _sender(bundle, subject)),
        (Words("Mã văn bản của bên gửi", "DocumentId"), _text(facts.get("document_id"))),
        (Words("Nghiệp vụ", "Business type"), _chosen(_TYPES, facts.get("business_type"))),
        (Words("Độ khẩn", "Urgency"), _chosen(_URGENCIES, facts.get("urgency"))),
        (Words("Mã trên Trục", "Id at the axis"), f"<code>{_text(bundle.subject)}</code>"),
        (Words("Trục nhận lúc", "Received by the axis"), _moment(datetime.fromisoformat(facts["received_at"]))),
        (Words("Kết luận", "Outcome"), f"{_both(outcome)}, {_moment(subject.at)}" if outcome else ""),
        (Words("Lý do", "Reason"), ", ".join(_text(one["code"]) for one in facts.get("causes") or ())),
        (Words("Chữ ký gói tin", "Signature of the message"), _tier(facts)),
        (Words("Giá trị", "Legal value"), _value(bundle, facts)),
        (Words("SHA-256 của gói tin", "SHA-256 of the received bytes"), f"<code>{_text(facts['digest'])}</code>, {int(facts['size'])} byte"),
        (Words("Gói tin kèm theo", "Bytes in this bundle"), _both(Words("có", "yes") if bundle.messages else Words("không, chỉ có mã băm", "no, digests only"))),
    ]  # fmt: skip
    return [(words, value) for words, value in rows if value]


def _sender(bundle: Bundle, subject: Event) -> str:
    """The code as the record has it; the name stands in the verification report only, whose digest is recorded."""
    code = _text(subject.facts.get("from"))
    report, _ = bundle.reports.get(DocumentKey(str(subject.document)), (b"", b""))
    try:
        name = json.loads(report)["sender"]["name"]
    except (ValueError, LookupError, TypeError):
        return code
    return f"{_text(name)}<br><code>{code}</code>" if name else code


def _tier(facts: Mapping[str, Any]) -> str:
    verdict = facts.get("verdict") or {}
    tier = facts.get("tier") or verdict.get("tier")
    if tier is None:
        return ""
    signer = (verdict.get("signer") or {}).get("subject")
    policy = facts.get("policy") or verdict.get("policy")
    said = _both(TIERS[Tier(tier)])
    return f"{said}; {_text(policy)}" + (f"<br>{_text(signer)}" if signer else "")


def _value(bundle: Bundle, facts: Mapping[str, Any]) -> str:
    value = facts.get("value")
    for one in bundle.entries:
        if one.event.kind is EventKind.DOCUMENT_VALUED and one.event.document == bundle.subject:
            value = one.event.facts["value"]
    return "" if value is None else _both(VALUES[LegalValue(str(value))])


def _attachments(subject: Event) -> list[str]:
    attachments: Any = subject.facts.get("attachments") or ()
    if not attachments:
        return []
    rows = [
        f"<tr><td>{_text(one['name'])}</td><td class=n>{int(one['size'])}</td>"
        f"<td><code>{_text(one['sha256'])}</code></td></tr>"
        for one in attachments
    ]
    head = _row_of_heads(
        Words("Tệp đính kèm", "Attachment"), Words("Byte", "Bytes"), Words("SHA-256", "of the content")
    )
    return ['<p style="margin:3mm 0 0"></p>', _table(head, rows)]


def _receivers(bundle: Bundle) -> dict[str, _Receiver]:
    found: dict[str, _Receiver] = {}
    for entry in bundle.entries:
        event, facts = entry.event, entry.event.facts
        if event.kind in BEGINNINGS:
            lines: Any = facts["deliveries"]
            for line in lines:
                if bundle.organ is None or line["code"] == bundle.organ:
                    found[line["id"]] = _Receiver(
                        code=str(line["code"]),
                        name=str(line["name"]),
                        number=line.get("number"),
                        state=str(line["state"]),
                        reason=str(line.get("reason") or ""),
                    )
            continue
        after = STATE_AFTER.get(event.kind)
        for delivery in event.deliveries:
            if delivery not in found:
                continue
            one = found[delivery]
            if after is not None:
                one.state, one.reason = after.value, str(facts.get("reason") or "")
                one.reached[after.value] = event.at
            if event.kind is EventKind.DELIVERY_ANSWERED:
                one.statuses.append(str(facts["code"]))
    return found


def _receiver_table(receivers: Mapping[str, _Receiver]) -> str:
    head = _row_of_heads(
        Words("Số lượt", "No. in the pair"),
        Words("Cơ quan nhận", "Receiving organ"),
        Words("Trạng thái", "State"),
        Words("Đặt vào hộp nhận", "Available"),
        Words("Bên nhận tải", "Fetched"),
        Words("Đã nhận", "Received"),
        Words("Mã", "Statuses"),
    )
    rows = []
    for one in receivers.values():
        times = (
            one.reached.get(state.value)
            for state in (DeliveryState.HANDED_OVER, DeliveryState.FETCHED, DeliveryState.ACKNOWLEDGED)
        )
        state = _both(STATES[DeliveryState(one.state)]) + (f"<br>{_text(one.reason)}" if one.reason else "")
        cells = "".join(f"<td class=t>{_moment(at, short=True) if at else ''}</td>" for at in times)
        rows.append(
            f"<tr><td class=n>{one.number if one.number is not None else ''}</td>"
            f"<td>{_text(one.name)}<br><code>{_text(one.code)}</code></td><td>{state}</td>{cells}"
            f"<td>{_text(' '.join(one.statuses))}</td></tr>"
        )
    return _table(head, rows)


def _record_table(bundle: Bundle, receivers: Mapping[str, _Receiver]) -> str:
    head = _row_of_heads(
        Words("Số", "Number"),
        Words("Lúc", "When"),
        Words("Việc", "Event"),
        Words("Bởi", "By"),
        Words("Mã băm của bản ghi", "Leaf hash of the record"),
    )
    rows = []
    for entry in bundle.entries:
        event = entry.event
        words = KINDS.get(event.kind, Words(event.kind.value, ""))
        by = event.by.station or event.by.person or f"Trục · axis ({event.by.axis})"
        codes = [receivers[one].code for one in event.deliveries if one in receivers]
        is_long = len(codes) > 6 or event.kind is EventKind.SUBMISSION_ACCEPTED
        to = "" if is_long or not codes else f"<br><code>{_text(', '.join(codes))}</code>"
        status = f" {_text(event.facts['code'])}" if event.kind is EventKind.DELIVERY_ANSWERED else ""
        rows.append(
            f"<tr><td class=n>{entry.index}</td><td class=t>{_moment(event.at, short=True)}</td>"
            f"<td>{_both(words)}{status}{to}</td><td>{_text(by)}</td><td><code>{event.hash.hex()}</code></td></tr>"
        )
    return _table(head, rows)


def _timestamp(bundle: Bundle) -> str:
    if bundle.timestamp is None:
        return _both(Words("chưa có", "not yet"))
    return _both(Words("có, tệp timestamp.tsr", "yes, timestamp.tsr"))


def _what_it_proves() -> str:
    return (
        '<div class="mark"><p><b>Trang này chỉ để đọc.</b> Nó được dựng từ các bản ghi kèm theo; phần mềm kiểm tra dựng '
        "lại và so từng byte. Cách kiểm tra: VERIFY.md.</p>"
        '<p class="en">This page is for reading. It is made from the records beside it; a verifier makes it again and '
        "compares every byte. How: VERIFY.md.</p>"
        "<p>Các bản ghi này đã có trong nhật ký, không thể sửa hay chối bỏ. Gói không chứng minh rằng ngoài ra không có "
        "gì khác xảy ra sau điểm kiểm tra.</p>"
        '<p class="en">These records stood in the log and can neither be changed nor denied. The bundle does not prove '
        "that nothing else happened, before or after its checkpoint.</p></div>"
    )


# --- HTML ---------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if value is None:
        return ""
    # Marks that turn the direction of writing could make a line read as another one.
    plain = "".join(one for one in printable(str(value), most=_LONGEST) if not "\u202a" <= one <= "\u202e" and not "\u2066" <= one <= "\u2069")  # fmt: skip
    return escape(plain)


def _both(words: Words) -> str:
    return f'{escape(words.vi)} <span class="en">{escape(words.en)}</span>' if words.en else escape(words.vi)


def _chosen(words: tuple[Words, ...], number: Any) -> str:
    return _both(words[number]) if type(number) is int and 0 <= number < len(words) else ""


def _moment(at: datetime, *, short: bool = False) -> str:
    here = at.astimezone(VIETNAM)
    if short:
        return here.strftime("%d/%m/%Y<br>%H:%M:%S")
    return here.strftime("%H:%M:%S.%f, %d/%m/%Y (UTC+7)")


def _day(written: Any) -> str:
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", str(written or ""), flags=re.ASCII)
    return f"{found[3]}/{found[2]}/{found[1]}" if found else _text(written)


def _heading(vi: str, en: str) -> str:
    return f'<h2>{escape(vi)} <span class="en">{escape(en)}</span></h2>'


def _facts(rows: Iterable[tuple[Words, str]]) -> str:
    body = "".join(f"<tr><th>{_both(words)}</th><td>{value}</td></tr>\n" for words, value in rows)
    return f'<table class="facts"><tbody>\n{body}</tbody></table>'


def _row_of_heads(*heads: Words) -> str:
    return "<tr>" + "".join(f"<th>{_both(one)}</th>" for one in heads) + "</tr>"


def _table(head: str, rows: Iterable[str]) -> str:
    return f"<table><thead>{head}</thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"
