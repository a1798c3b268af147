"""
Reason codes: why something was refused, held, failed or buried.

A code is `stage.cause`; it is never renamed or reused. Each has one owner who can mend the cause, and says in
Vietnamese and English what happened and what to do next. docs/reasons.md is generated from this table, and a test
makes every code happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType

from axis.core.model import Owner


@unique
class ReasonCode(StrEnum):
    """Every reason there is."""

    # 1 receive
    RECEIVE_NO_STATION = "receive.no_station"
    RECEIVE_SUSPENDED = "receive.suspended"
    RECEIVE_NO_MESSAGE_ID = "receive.no_message_id"
    RECEIVE_ENVELOPE = "receive.envelope"
    RECEIVE_TOO_LARGE = "receive.too_large"
    RECEIVE_EMPTY = "receive.empty"
    RECEIVE_DIGEST = "receive.digest_mismatch"
    RECEIVE_NOT_UPLOADED = "receive.not_uploaded"
    RECEIVE_QUOTA = "receive.quota"
    RECEIVE_NOT_YOUR_ORGAN = "receive.not_your_organ"
    RECEIVE_CONFLICT = "receive.conflict"
    # 2 parse
    PARSE_NOT_XML = "parse.not_xml"
    PARSE_DOCTYPE = "parse.doctype"
    PARSE_ENCODING = "parse.encoding"
    PARSE_LIMITS = "parse.limits"
    PARSE_NOT_EDXML = "parse.not_edxml"
    PARSE_BUSINESS_TYPE = "parse.business_type"
    # 3 validate
    VALIDATE_SCHEMA = "validate.schema"
    VALIDATE_NO_SENDER = "validate.no_sender"
    VALIDATE_NO_RECEIVER = "validate.no_receiver"
    VALIDATE_DUPLICATE_RECEIVER = "validate.duplicate_receiver"
    VALIDATE_NO_DOCUMENT_ID = "validate.no_document_id"
    VALIDATE_ATTACHMENT_MISSING = "validate.attachment_missing"
    VALIDATE_ATTACHMENT_UNLISTED = "validate.attachment_unlisted"
    VALIDATE_ATTACHMENT_TWICE = "validate.attachment_twice"
    VALIDATE_BASE64 = "validate.base64"
    VALIDATE_STATUS_CODE = "validate.status_code"
    VALIDATE_STATUS_TARGET = "validate.status_target"
    VALIDATE_STATUS_REASON = "validate.status_reason"
    VALIDATE_SECRECY = "validate.secrecy"
    # 4 verify
    VERIFY_UNSIGNED = "verify.unsigned"
    VERIFY_LEGACY = "verify.legacy"
    VERIFY_SIGNATURE = "verify.signature"
    VERIFY_CERTIFICATE = "verify.certificate"
    VERIFY_ORGAN = "verify.organ"
    VERIFY_INDETERMINATE = "verify.indeterminate"
    # 5 route
    ROUTE_UNKNOWN_RECEIVER = "route.unknown_receiver"
    ROUTE_CLOSED_RECEIVER = "route.closed_receiver"
    ROUTE_NOT_CONNECTED = "route.not_connected"
    ROUTE_UNKNOWN_DOCUMENT = "route.unknown_document"
    ROUTE_NOT_YOUR_DOCUMENT = "route.not_your_document"
    ROUTE_WAITS_FOR_HELD = "route.waits_for_held"
    ROUTE_RECALLED = "route.recalled"
    # delivery
    DELIVER_NOT_TAKEN = "deliver.not_taken"
    DELIVER_UNROUTED = "deliver.unrouted"
    DELIVER_RECALLED = "deliver.recalled"
    DELIVER_RECALL_REJECTED = "deliver.recall_rejected"
    DELIVER_TURNED_BAD = "deliver.turned_bad"
    # buried before anyone judged it
    BURY_DELIVERY_LIMIT = "bury.delivery_limit"
    BURY_UNROUTED = "bury.unrouted"
    # the axis itself
    AXIS_FAULT = "axis.fault"
    AXIS_STORAGE = "axis.storage"
    AXIS_DIRECTORY = "axis.directory"
    AXIS_HELD_TOO_LONG = "axis.held_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What a code means and who mends it."""

    code: ReasonCode
    owner: Owner
    vi: str
    en: str
    next_vi: str
    next_en: str


def _reason(code: ReasonCode, owner: Owner, vi: str, en: str, next_vi: str, next_en: str) -> Reason:
    return Reason(code=code, owner=owner, vi=vi, en=en, next_vi=next_vi, next_en=next_en)


_C = ReasonCode
_S, _R, _A = Owner.SENDER, Owner.RECEIVER, Owner.AXIS
_ALL = (
    _reason(_C.RECEIVE_NO_STATION, _S,
        "Gói tin không mang danh tính điểm kết nối đã được xác thực.",
        "The message carries no authenticated station.",
        "Gửi bằng tài khoản của điểm kết nối và đặt user_id đúng tên tài khoản.",
        "Send with the station's account and set user_id to its name."),
    _reason(_C.RECEIVE_SUSPENDED, _S,
        "Điểm kết nối đang bị tạm dừng.", "The station is suspended.",
        "Liên hệ đơn vị vận hành Trục để mở lại kết nối.", "Ask the operator of the axis to resume the connection."),
    _reason(_C.RECEIVE_NO_MESSAGE_ID, _S,
        "Gói tin không có mã thông điệp (message_id), không thể trả lời.",
        "The message has no message_id, so it cannot be answered.",
        "Đặt message_id riêng cho mỗi lần nộp rồi gửi lại.", "Set a message_id of its own for each submission and send again."),
    _reason(_C.RECEIVE_ENVELOPE, _S,
        "Kiểu nội dung hoặc phiên bản của thông điệp không được nhận ở đây.",
        "The content type or the version of the message is not taken here.",
        "Dùng đúng kiểu nội dung và phiên bản theo tài liệu kết nối rồi gửi lại.",
        "Use the content type and the version the guide for connecting names, and send again."),
    _reason(_C.RECEIVE_TOO_LARGE, _S,
        "Gói tin vượt quá dung lượng cho phép.", "The message is larger than the axis takes.",
        "Giảm dung lượng tệp đính kèm hoặc chia thành nhiều văn bản.", "Make the attachments smaller or send several documents."),
    _reason(_C.RECEIVE_EMPTY, _S,
        "Gói tin rỗng.", "The message is empty.",
        "Kiểm tra tệp edXML rồi gửi lại.", "Check the edXML file and send again."),
    _reason(_C.RECEIVE_DIGEST, _S,
        "Nội dung nhận được không khớp mã băm khai báo.", "The bytes received do not match the declared digest.",
        "Gửi lại; nếu lặp lại, kiểm tra phần mềm kết nối.", "Send again; if it repeats, check the connecting software."),
    _reason(_C.RECEIVE_NOT_UPLOADED, _S,
        "Gói tin trỏ tới nội dung chưa được tải lên trong 24 giờ qua.",
        "The submission names a payload this station has not uploaded in the last 24 hours.",
        "Tải đủ nội dung lên (PUT /uploads/<sha256>) rồi nộp lại.", "Upload the payload in full (PUT /uploads/<sha256>) and submit again."),
    _reason(_C.RECEIVE_QUOTA, _S,
        "Điểm kết nối đã vượt hạn mức gửi.", "The station has used up its quota.",
        "Chờ rồi gửi lại, hoặc đề nghị tăng hạn mức.", "Wait and send again, or ask for a larger quota."),
    _reason(_C.RECEIVE_NOT_YOUR_ORGAN, _S,
        "Đơn vị gửi (From) không thuộc phạm vi được ủy quyền của điểm kết nối.",
        "The sending organ (From) is not one this station may send for.",
        "Kiểm tra mã định danh trong From, hoặc đăng ký bổ sung đơn vị cho điểm kết nối.",
        "Check the code in From, or have the organ added to the station's delegation."),
    _reason(_C.RECEIVE_CONFLICT, _S,
        "Mã văn bản (DocumentId) này đã dùng cho văn bản có nội dung khác.",
        "This DocumentId has already been used for a document with other content.",
        "Dùng DocumentId mới cho văn bản mới; nếu là cập nhật hoặc thay thế, chọn đúng loại nghiệp vụ.",
        "Use a new DocumentId for a new document; for an update or replacement use that business type."),
    _reason(_C.PARSE_NOT_XML, _S,
        "Tệp không phải XML hợp lệ.", "The file is not well-formed XML.",
        "Kiểm tra vị trí được nêu rồi gửi lại.", "Check the place named and send again."),
    _reason(_C.PARSE_DOCTYPE, _S,
        "Tệp chứa khai báo DOCTYPE hoặc thực thể, không được phép.", "The file holds a DOCTYPE or entities, which are not allowed.",
        "Bỏ khai báo DOCTYPE rồi gửi lại.", "Remove the DOCTYPE and send again."),
    _reason(_C.PARSE_ENCODING, _S,
        "Tệp không dùng bảng mã UTF-8.", "The file is not UTF-8.",
        "Xuất lại tệp bằng UTF-8 rồi gửi lại.", "Write the file in UTF-8 and send again."),
    _reason(_C.PARSE_LIMITS, _S,
        "Cấu trúc tệp vượt giới hạn (số phần tử, độ sâu, số tệp đính kèm).",
        "The file exceeds a structural limit (elements, depth, attachments).",
        "Giảm số phần tử hoặc số tệp đính kèm rồi gửi lại.", "Use fewer elements or attachments and send again."),
    _reason(_C.PARSE_NOT_EDXML, _S,
        "Tệp không phải gói tin edXML theo QCVN 102:2016.", "The file is not an edXML message of QCVN 102:2016.",
        "Xuất gói tin theo QCVN 102:2016/BTTTT rồi gửi lại.", "Write the message in the format of QCVN 102:2016/BTTTT and send again."),
    _reason(_C.PARSE_BUSINESS_TYPE, _S,
        "Loại nghiệp vụ (BussinessDocType) không phải 0, 1, 2 hoặc 3.", "BussinessDocType is not 0, 1, 2 or 3.",
        "Sửa loại nghiệp vụ rồi gửi lại.", "Correct the business type and send again."),
    _reason(_C.VALIDATE_SCHEMA, _S,
        "Gói tin không đúng lược đồ edXML.", "The message does not follow the edXML schema.",
        "Sửa từng lỗi được liệt kê rồi gửi lại.", "Correct every error listed and send again."),
    _reason(_C.VALIDATE_NO_SENDER, _S,
        "Thiếu mã đơn vị gửi (From/OrganId).", "The sender's code (From/OrganId) is missing.",
        "Điền mã định danh đơn vị gửi rồi gửi lại.", "Fill in the sender's code and send again."),
    _reason(_C.VALIDATE_NO_RECEIVER, _S,
        "Văn bản không có đơn vị nhận (To).", "The document names no receiver (To).",
        "Chọn ít nhất một đơn vị nhận rồi gửi lại.", "Choose at least one receiver and send again."),
    _reason(_C.VALIDATE_DUPLICATE_RECEIVER, _S,
        "Một đơn vị nhận được nêu nhiều lần trong To.", "A receiver is named more than once in To.",
        "Bỏ đơn vị nhận trùng rồi gửi lại.", "Remove the repeated receiver and send again."),
    _reason(_C.VALIDATE_NO_DOCUMENT_ID, _S,
        "Thiếu mã văn bản (DocumentId).", "DocumentId is missing.",
        "Điền DocumentId rồi gửi lại.", "Fill in DocumentId and send again."),
    _reason(_C.VALIDATE_ATTACHMENT_MISSING, _S,
        "Tệp được nêu trong danh mục (Manifest) nhưng không có trong gói tin.",
        "An attachment listed in the manifest is not in the message.",
        "Đính kèm đủ tệp rồi gửi lại.", "Attach every listed file and send again."),
    _reason(_C.VALIDATE_ATTACHMENT_UNLISTED, _S,
        "Gói tin có tệp đính kèm không nằm trong danh mục (Manifest).",
        "The message holds an attachment the manifest does not list.",
        "Thêm tệp vào danh mục hoặc bỏ tệp rồi gửi lại.", "List the file in the manifest or remove it, and send again."),
    _reason(_C.VALIDATE_ATTACHMENT_TWICE, _S,
        "Hai tệp đính kèm có cùng ContentId.", "Two attachments have the same ContentId.",
        "Đặt ContentId riêng cho mỗi tệp rồi gửi lại.", "Give each file a ContentId of its own and send again."),
    _reason(_C.VALIDATE_BASE64, _S,
        "Nội dung tệp đính kèm không phải base64 hợp lệ.", "An attachment is not valid base64.",
        "Xuất lại gói tin rồi gửi lại; nếu lặp lại, kiểm tra phần mềm.", "Write the message again and send it; if it repeats, check the software."),
    _reason(_C.VALIDATE_STATUS_CODE, _S,
        "Mã trạng thái không hợp lệ. Mã hợp lệ: 01, 02, 03, 04, 05, 06, 13, 15, 16.",
        "Unknown status code. Valid codes: 01, 02, 03, 04, 05, 06, 13, 15, 16.",
        "Dùng một mã trong danh sách rồi gửi lại.", "Use a code of the list and send again."),
    _reason(_C.VALIDATE_STATUS_TARGET, _S,
        "Trạng thái không nêu văn bản được phản hồi (ResponseFor).", "The status does not name the document it answers (ResponseFor).",
        "Điền OrganId và DocumentId hoặc số, ký hiệu trong ResponseFor.", "Fill in OrganId and DocumentId, or the code, in ResponseFor."),
    _reason(_C.VALIDATE_STATUS_REASON, _S,
        "Trạng thái trả lại (02) hoặc từ chối (16) phải kèm lý do.", "A return (02) or a rejection (16) must give a reason.",
        "Ghi lý do vào Description rồi gửi lại.", "Write the reason into Description and send again."),
    _reason(_C.VALIDATE_SECRECY, _S,
        "Văn bản có dấu chỉ mức độ mật. Văn bản mật không được gửi qua Trục; nội dung không được lưu lại.",
        "The document bears a secrecy mark. Secret documents must not travel on the axis; nothing of its content was kept.",
        "Gửi theo đường văn thư mật. Nếu nhận nhầm, đề nghị hai người vận hành cho phép đúng mã băm này.",
        "Send it by the channel for secret documents. If the mark was misread, two operators may release this digest."),
    _reason(_C.VERIFY_UNSIGNED, _S,
        "Gói tin chưa được ký số, trong khi bắt buộc phải ký.", "The message is not signed, and a signature is required.",
        "Ký gói tin theo hồ sơ AX-1 rồi gửi lại.", "Sign the message by profile AX-1 and send again."),
    _reason(_C.VERIFY_LEGACY, _S,
        "Chữ ký của gói tin theo kiểu cũ, không kiểm tra được; bắt buộc ký theo AX-1.",
        "The signature is of an old kind that cannot be relied on; profile AX-1 is required.",
        "Ký gói tin theo hồ sơ AX-1 rồi gửi lại.", "Sign the message by profile AX-1 and send again."),
    _reason(_C.VERIFY_SIGNATURE, _S,
        "Chữ ký số của gói tin không hợp lệ.", "The signature of the message is not valid.",
        "Ký lại từ văn bản gốc rồi gửi lại; không sửa gói tin sau khi ký.", "Sign the original again and send it; do not change a message after signing."),
    _reason(_C.VERIFY_CERTIFICATE, _S,
        "Chứng thư số ký gói tin không được chấp nhận.", "The certificate that signed the message is not accepted.",
        "Dùng chứng thư số còn hiệu lực do cơ quan có thẩm quyền cấp.", "Use a valid certificate of a trusted authority."),
    _reason(_C.VERIFY_ORGAN, _S,
        "Chứng thư số không được đăng ký cho đơn vị gửi nêu trong văn bản.",
        "The certificate is not registered for the organ named as the sender.",
        "Ký bằng chứng thư của đơn vị gửi, hoặc đăng ký chứng thư với đơn vị vận hành Trục.",
        "Sign with the sender's certificate, or have the certificate registered with the operator."),
    _reason(_C.VERIFY_INDETERMINATE, _A,
        "Chưa xác định được hiệu lực chứng thư số; Trục sẽ tự kiểm tra lại.",
        "The certificate's status cannot be told yet; the axis tries again by itself.",
        "Không cần gửi lại. Thời điểm gửi được giữ nguyên.", "Do not send again. The time of sending is kept."),
    _reason(_C.ROUTE_UNKNOWN_RECEIVER, _S,
        "Có mã đơn vị nhận không tồn tại trong danh mục.", "A receiver's code does not exist in the directory.",
        "Sửa các mã được liệt kê (xem gợi ý) rồi gửi lại.", "Correct the codes listed (see the suggestions) and send again."),
    _reason(_C.ROUTE_CLOSED_RECEIVER, _S,
        "Có đơn vị nhận đã đóng mã.", "A receiver's code is closed.",
        "Gửi tới đơn vị kế thừa được nêu, hoặc chọn đơn vị nhận khác.", "Send to the successor named, or choose another receiver."),
    _reason(_C.ROUTE_NOT_CONNECTED, _R,
        "Đơn vị nhận chưa kết nối Trục; hãy gửi bản giấy.", "The receiver is not connected to the axis; send paper.",
        "Gửi bản giấy cho đơn vị này.", "Send paper to this receiver."),
    _reason(_C.ROUTE_UNKNOWN_DOCUMENT, _S,
        "Không tìm thấy văn bản được phản hồi hoặc được nêu.", "The document answered or named is not known.",
        "Kiểm tra DocumentId, số và ký hiệu trong ResponseFor.", "Check DocumentId and code in ResponseFor."),
    _reason(_C.ROUTE_NOT_YOUR_DOCUMENT, _S,
        "Đơn vị không có quyền phản hồi hoặc tác động tới văn bản này.", "The organ may not answer or act on this document.",
        "Chỉ đơn vị nhận được phản hồi, chỉ đơn vị gửi được thu hồi hoặc lấy lại.",
        "Only a receiver may answer; only the sender may recall or take back."),
    _reason(_C.ROUTE_WAITS_FOR_HELD, _A,
        "Văn bản được nêu đang chờ xác minh; gói tin này chờ theo.", "The document named is on hold; this message waits behind it.",
        "Không cần gửi lại.", "Do not send again."),
    _reason(_C.ROUTE_RECALLED, _S,
        "Văn bản được nêu đã bị thu hồi; không gửi bổ sung, cập nhật hoặc thay thế được nữa.",
        "The document named was recalled; it cannot be sent on, updated or replaced any more.",
        "Ban hành văn bản mới với DocumentId mới.", "Issue a new document with a new DocumentId."),
    _reason(_C.DELIVER_NOT_TAKEN, _R,
        "Hệ thống nhận báo không xử lý được văn bản sau nhiều lần chuyển.",
        "The receiver's system reported failure at every offer.",
        "Đơn vị nhận kiểm tra phần mềm; người vận hành chuyển lại.", "The receiver checks its system; an operator replays."),
    _reason(_C.DELIVER_UNROUTED, _A,
        "Hàng đợi của điểm kết nối nhận không tồn tại.", "The receiving station's queue does not exist.",
        "Người vận hành chạy `axis broker apply` rồi chuyển lại.", "An operator runs `axis broker apply` and replays."),
    _reason(_C.DELIVER_RECALLED, _S,
        "Văn bản đã được thu hồi hoặc lấy lại trước khi đơn vị nhận lấy.", "The document was recalled or taken back before the receiver took it.",
        "Không cần xử lý.", "Nothing to do."),
    _reason(_C.DELIVER_TURNED_BAD, _S,
        "Sau khi tiếp nhận, chứng thư ký được xác định là đã bị thu hồi trước thời điểm gửi; lượt chuyển chưa nhận bị rút.",
        "After acceptance the signer's certificate was found to have been revoked before the sending; what nobody had taken is withdrawn.",
        "Ký lại bằng chứng thư còn hiệu lực rồi gửi văn bản mới.", "Sign again with a valid certificate and send it as a new document."),
    _reason(_C.DELIVER_RECALL_REJECTED, _R,
        "Đơn vị nhận từ chối thu hồi; việc thu hồi vẫn để ngỏ.",
        "The receiver rejected the recall, which stays open.",
        "Liên hệ đơn vị nhận; thu hồi là nghĩa vụ (QĐ28 Điều 9.2). Khi có trạng thái 15 thì khép lại.",
        "Talk to the receiver: a recall is a duty (Decision 28 Art. 9.2). Status 15 closes it."),
    _reason(_C.BURY_DELIVERY_LIMIT, _A,
        "Gói tin nhiều lần làm hỏng tiến trình xử lý nên được cách ly; chưa ai xem xét nó.",
        "The message brought the reading process down again and again and was set aside; nobody has judged it.",
        "Người vận hành xem xét và chuyển lại.", "An operator examines it and replays."),
    _reason(_C.BURY_UNROUTED, _S,
        "Gói tin gửi tới địa chỉ không có trên Trục.", "The message was sent to an address the axis does not have.",
        "Dùng đúng routing key: edoc.<urgent|normal>.<điểm kết nối> hoặc status.normal.<điểm kết nối>.",
        "Use the routing key edoc.<urgent|normal>.<station> or status.normal.<station>."),
    _reason(_C.AXIS_FAULT, _A,
        "Trục gặp lỗi nội bộ khi xử lý; gói tin được giữ lại và thử lại.", "The axis failed while judging the message; it is kept and tried again.",
        "Không cần gửi lại; người vận hành đã được báo.", "Do not send again; the operator has been told."),
    _reason(_C.AXIS_STORAGE, _A,
        "Trục chưa lưu được nội dung; gói tin được giữ lại và thử lại.", "The axis could not store the payload; it is kept and tried again.",
        "Không cần gửi lại; người vận hành đã được báo.", "Do not send again; the operator has been told."),
    _reason(_C.AXIS_DIRECTORY, _A,
        "Danh mục đơn vị của Trục có lỗi; gói tin được giữ lại và thử lại.", "The axis's directory is at fault; the message is kept and tried again.",
        "Không cần gửi lại; người vận hành đã được báo.", "Do not send again; the operator has been told."),
    _reason(_C.AXIS_HELD_TOO_LONG, _A,
        "Đã quá thời hạn chờ xác minh mà chưa xác định được.", "The hold reached its limit without an answer.",
        "Người vận hành xử lý nguyên nhân rồi chuyển lại.", "An operator mends the cause and replays."),
)  # fmt: skip

REASONS = MappingProxyType({reason.code: reason for reason in _ALL})
"""Every code with its meaning; a code without one fails the build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One place where the reason shows: a path in the message, a code, an attachment."""

    path: str
    vi: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A reason as it happened: the code and every place it shows."""

    code: ReasonCode
    details: tuple[Detail, ...] = ()

    @property
    def reason(self) -> Reason:
        """The row of the table."""
        return REASONS[self.code]
