"""What a bundle calls things, in Vietnamese and English: kinds of records, states, tiers, values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from axis.core.events import EventKind
from axis.core.model import DeliveryState, LegalValue, Tier


class Words(NamedTuple):
    """One thing in both languages."""

    vi: str
    en: str


KINDS: Final = MappingProxyType(
    {
        EventKind.SUBMISSION_ACCEPTED: Words(
            "Trục tiếp nhận", "Accepted by the axis (A.1 SubmissionAcceptance)"
        ),
        EventKind.SUBMISSION_REFUSED: Words(
            "Trục không tiếp nhận", "Refused by the axis (A.2 SubmissionRejection)"
        ),
        EventKind.SUBMISSION_HELD: Words("Chờ xác minh", "Held: not judged yet"),
        EventKind.SUBMISSION_DUPLICATE: Words(
            "Trùng với lần nộp trước", "Duplicate of an earlier submission"
        ),
        EventKind.SUBMISSION_BURIED: Words("Gói tin bị cách ly", "Buried: nobody judged it"),
        EventKind.DELIVERY_HANDED_OVER: Words(
            "Đặt vào hộp nhận của bên nhận", "Available to the receiver (D.1 ContentConsignment)"
        ),
        EventKind.DELIVERY_OFFERED_AGAIN: Words("Đưa lại cho bên nhận", "Offered to the receiver again"),
        EventKind.DELIVERY_FETCHED: Words(
            "Bên nhận đã tải đủ", "Fetched by the receiver (E.1 ContentHandover)"
        ),
        EventKind.DELIVERY_ACKNOWLEDGED: Words("Bên nhận xác nhận đã nhận", "Acknowledged by the receiver"),
        EventKind.DELIVERY_FAILED: Words(
            "Không chuyển được", "Could not be handed over (D.2 ContentConsignmentFailure)"
        ),
        EventKind.DELIVERY_ADDED: Words("Thêm lượt chuyển", "Delivered to one more receiver it concerns"),
        EventKind.DELIVERY_ASKED_BACK: Words(
            "Yêu cầu bên nhận trả lại", "Asked back from the receiver's system"
        ),
        EventKind.DELIVERY_WITHDRAWN: Words("Đã rút trước khi nhận", "Withdrawn before it was taken"),
        EventKind.DELIVERY_REPLAYED: Words("Chuyển lại", "Replayed by an operator"),
        EventKind.DELIVERY_ANSWERED: Words("Bên nhận trả trạng thái", "Status of the receiver"),
        EventKind.DELIVERY_NOT_TAKEN: Words("Quá hạn chưa nhận", "Not taken by its deadline"),
        EventKind.DOCUMENT_VALUED: Words("Kết luận giá trị pháp lý", "Legal value judged"),
        EventKind.DOCUMENT_RECALL_CLOSED: Words("Việc thu hồi đã xong", "Recall closed: every holder agreed"),
        EventKind.ACK_IGNORED: Words(
            "Xác nhận không làm thay đổi gì", "An acknowledgement that changed nothing"
        ),
    }
)
"""Names in brackets are those of ETSI EN 319 522-1 clause 6. A kind without words is shown by its own name."""

STATES: Final = MappingProxyType(
    {
        DeliveryState.WAITING: Words("chờ chuyển", "waiting at the axis"),
        DeliveryState.HANDED_OVER: Words("đã đặt vào hộp nhận", "handed over"),
        DeliveryState.FETCHED: Words("bên nhận đã tải", "fetched"),
        DeliveryState.ACKNOWLEDGED: Words("đã nhận", "received"),
        DeliveryState.FAILED: Words("không chuyển được", "failed"),
        DeliveryState.WITHDRAWN: Words("đã rút", "withdrawn"),
        DeliveryState.NOT_CONNECTED: Words("chưa kết nối: gửi bản giấy", "not connected: sent on paper"),
    }
)

STATE_AFTER: Final = MappingProxyType(
    {
        EventKind.DELIVERY_HANDED_OVER: DeliveryState.HANDED_OVER,
        EventKind.DELIVERY_OFFERED_AGAIN: DeliveryState.WAITING,
        EventKind.DELIVERY_FETCHED: DeliveryState.FETCHED,
        EventKind.DELIVERY_ACKNOWLEDGED: DeliveryState.ACKNOWLEDGED,
        EventKind.DELIVERY_FAILED: DeliveryState.FAILED,
        EventKind.DELIVERY_ASKED_BACK: DeliveryState.WAITING,
        EventKind.DELIVERY_WITHDRAWN: DeliveryState.WITHDRAWN,
        EventKind.DELIVERY_REPLAYED: DeliveryState.WAITING,
    }
)

TIERS: Final = MappingProxyType(
    {
        Tier.PASSED: Words("chữ ký số hợp lệ (AX-1)", "signed, verified (AX-1)"),
        Tier.LEGACY: Words("chữ ký kiểu cũ, không xác minh", "some other signature, not trusted"),
        Tier.UNSIGNED: Words("không ký số", "unsigned"),
        Tier.FAILED: Words("chữ ký sai", "wrong signature"),
        Tier.INDETERMINATE: Words("chưa xác minh được", "could not be told yet"),
    }
)

VALUES: Final = MappingProxyType(
    {
        LegalValue.ORIGINAL: Words("có giá trị như bản gốc", "like the original"),
        LegalValue.COPY: Words("bản sao", "copy"),
        LegalValue.REFERENCE: Words("để tham khảo", "for reference only"),
        LegalValue.CHECKING: Words("đang kiểm tra", "being checked"),
    }
)
