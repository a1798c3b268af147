"""
Every answer that this package can give about a signature, once, with its words.

A code is `stage.cause`, is never renamed and never reused. The text says what was found and, where somebody
can mend it, what to do; it is shown to clerks, so it comes in Vietnamese and in English. `rule` is the number
of the strict rule in docs/signing.md that the code enforces; 0 means that the code is no refusal by a rule.
"""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Tier(StrEnum):
    """What a message is worth, and so how it may travel."""

    PASSED = "passed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    LEGACY = "legacy"
    UNSIGNED = "unsigned"


@unique
class Reason(StrEnum):
    """Why a verdict is what it is. One reason per verdict: the first rule that failed."""

    PASSED = "signature.passed"
    UNSIGNED = "signature.none"
    LEGACY = "signature.legacy"

    XML_EMPTY = "xml.empty"
    XML_NOT_WELL_FORMED = "xml.not_well_formed"
    XML_ENCODING = "xml.encoding"
    XML_VERSION = "xml.version"
    XML_DOCTYPE = "xml.doctype"
    XML_ENTITY = "xml.entity"
    XML_TOO_LARGE = "xml.too_large"
    XML_MARKUP_TOO_LARGE = "xml.markup_too_large"
    XML_TOO_DEEP = "xml.too_deep"
    XML_TOO_MANY_ELEMENTS = "xml.too_many_elements"
    XML_TOO_MANY_ATTRIBUTES = "xml.too_many_attributes"
    XML_TOO_MANY_ATTACHMENTS = "xml.too_many_attachments"
    XML_ATTACHMENT_MARKUP = "xml.attachment_markup"
    XML_DISAGREEMENT = "xml.disagreement"
    XML_PROLOG = "xml.prolog"
    XML_COMMENT = "xml.comment"
    XML_INSTRUCTION = "xml.instruction"
    XML_DUPLICATE_ID = "xml.duplicate_id"
    XML_BAD_ID = "xml.bad_id"

    SHAPE_SIGNATURE_COUNT = "shape.signature_count"
    SHAPE_SIGNATURE_PLACE = "shape.signature_place"
    SHAPE_ENVELOPE = "shape.envelope"
    SHAPE_SIGNATURE = "shape.signature"
    SHAPE_TWIN = "shape.twin"
    SHAPE_PROPERTIES = "shape.properties"

    REFERENCE_COUNT = "reference.count"
    REFERENCE_TARGET = "reference.target"
    REFERENCE_SET = "reference.set"
    REFERENCE_TYPE = "reference.type"
    REFERENCE_TRANSFORM = "reference.transform"

    ALGORITHM_C14N = "algorithm.c14n"
    ALGORITHM_SIGNATURE = "algorithm.signature"
    ALGORITHM_DIGEST = "algorithm.digest"
    ALGORITHM_EXPIRED = "algorithm.expired"

    KEY_INFO = "key.info"
    KEY_CERTIFICATE = "key.certificate"
    KEY_WEAK = "key.weak"
    KEY_NOT_THE_NAMED = "key.not_the_named"

    SIGNATURE_BASE64 = "signature.base64"
    SIGNATURE_VALUE = "signature.value"

    DIGEST_HEADER = "digest.header"
    DIGEST_BODY = "digest.body"
    DIGEST_BUSSINESS = "digest.bussiness"
    DIGEST_PROPERTIES = "digest.properties"
    DIGEST_ATTACHMENT = "digest.attachment"

    ATTACHMENT_BASE64 = "attachment.base64"
    ATTACHMENT_MANIFEST = "attachment.manifest"
    ATTACHMENT_SET = "attachment.set"
    ATTACHMENT_ID = "attachment.id"

    CHAIN_UNTRUSTED = "chain.untrusted"
    CHAIN_EXPIRED = "chain.expired"
    CHAIN_NOT_YET_VALID = "chain.not_yet_valid"
    CHAIN_CA_AS_SIGNER = "chain.ca_as_signer"
    CHAIN_ISSUER_NOT_CA = "chain.issuer_not_ca"
    CHAIN_PATH_LENGTH = "chain.path_length"
    CHAIN_KEY_USAGE = "chain.key_usage"
    CHAIN_EXTENDED_KEY_USAGE = "chain.extended_key_usage"
    CHAIN_WEAK_HASH = "chain.weak_hash"
    CHAIN_WEAK_KEY = "chain.weak_key"

    TIME_FORMAT = "time.format"
    TIME_FUTURE = "time.future"
    TIME_BEFORE_CERTIFICATE = "time.before_certificate"

    REVOCATION_REVOKED = "revocation.revoked"
    REVOCATION_STALE = "revocation.stale"
    REVOCATION_UNKNOWN = "revocation.unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a reason says to a person."""

    rule: int
    en: str
    vi: str


def _say(rule: int, en: str, vi: str) -> Explanation:
    return Explanation(rule=rule, en=en, vi=vi)


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.PASSED: _say(0, "The signature is valid.", "Chữ ký hợp lệ."),
    Reason.UNSIGNED: _say(0, "The message carries no signature.", "Gói tin không có chữ ký."),
    Reason.LEGACY: _say(
        0,
        "The message carries a signature of another kind; it was recorded as found and proves nothing here.",
        "Gói tin có chữ ký kiểu khác; chỉ ghi nhận, không có giá trị chứng minh.",
    ),
    Reason.XML_EMPTY: _say(1, "The file is empty.", "Tệp rỗng."),
    Reason.XML_NOT_WELL_FORMED: _say(
        1, "The file is not well-formed XML.", "Tệp không phải XML đúng cú pháp."
    ),
    Reason.XML_ENCODING: _say(
        1, "The file is not UTF-8; send it in UTF-8.", "Tệp không dùng mã UTF-8; hãy gửi bằng UTF-8."
    ),
    Reason.XML_VERSION: _say(1, "Only XML 1.0 is accepted.", "Chỉ chấp nhận XML 1.0."),
    Reason.XML_DOCTYPE: _say(
        2, "A DOCTYPE is not allowed in a message.", "Gói tin không được chứa khai báo DOCTYPE."
    ),
    Reason.XML_ENTITY: _say(
        3, "The file uses an entity that is not defined.", "Tệp dùng thực thể (entity) không được định nghĩa."
    ),
    Reason.XML_TOO_LARGE: _say(4, "The message is too large.", "Gói tin quá lớn."),
    Reason.XML_MARKUP_TOO_LARGE: _say(
        4,
        "The message without its attachments is too large.",
        "Phần thông tin của gói tin (không kể tệp đính kèm) quá lớn.",
    ),
    Reason.XML_TOO_DEEP: _say(4, "The XML is nested too deeply.", "XML lồng nhau quá sâu."),
    Reason.XML_TOO_MANY_ELEMENTS: _say(4, "The XML has too many elements.", "XML có quá nhiều phần tử."),
    Reason.XML_TOO_MANY_ATTRIBUTES: _say(
        4, "An XML element has too many attributes.", "Một phần tử XML có quá nhiều thuộc tính."
    ),
    Reason.XML_TOO_MANY_ATTACHMENTS: _say(
        4,
        "The message has too many attachments (26 at most); zip them or send them in parts.",
        "Gói tin có quá nhiều tệp đính kèm (tối đa 26); hãy nén lại hoặc chia thành nhiều gói.",
    ),
    Reason.XML_ATTACHMENT_MARKUP: _say(
        4,
        "The content of an attachment holds XML markup where only base64 may stand.",
        "Nội dung tệp đính kèm chứa thẻ XML, trong khi chỉ được chứa base64.",
    ),
    Reason.XML_DISAGREEMENT: _say(
        3,
        "Two XML readers understand this file differently; it was refused for safety.",
        "Hai bộ đọc XML hiểu tệp này khác nhau; từ chối vì an toàn.",
    ),
    Reason.XML_PROLOG: _say(
        2,
        "Something stands before the first element that may not stand there.",
        "Có nội dung không được phép đứng trước phần tử đầu tiên.",
    ),
    Reason.XML_COMMENT: _say(
        5, "A signed message may not hold XML comments.", "Gói tin đã ký không được chứa chú thích XML."
    ),
    Reason.XML_INSTRUCTION: _say(
        5,
        "A signed message may not hold XML processing instructions.",
        "Gói tin đã ký không được chứa chỉ thị xử lý XML.",
    ),
    Reason.XML_DUPLICATE_ID: _say(6, "The same Id stands in two places.", "Cùng một Id xuất hiện ở hai nơi."),
    Reason.XML_BAD_ID: _say(6, "An Id has a form that is not allowed.", "Một Id có dạng không hợp lệ."),
    Reason.SHAPE_SIGNATURE_COUNT: _say(7, "There must be exactly one signature.", "Phải có đúng một chữ ký."),
    Reason.SHAPE_SIGNATURE_PLACE: _say(
        7,
        "The signature must be the last child of edXMLHeader.",
        "Chữ ký phải là phần tử cuối cùng trong edXMLHeader.",
    ),
    Reason.SHAPE_ENVELOPE: _say(
        8,
        "The parts of the message are missing, doubled or out of order.",
        "Các phần của gói tin bị thiếu, lặp hoặc sai thứ tự.",
    ),
    Reason.SHAPE_SIGNATURE: _say(
        8,
        "The parts of the signature are missing, doubled or out of order.",
        "Các phần của chữ ký bị thiếu, lặp hoặc sai thứ tự.",
    ),
    Reason.SHAPE_TWIN: _say(
        8,
        "A part that is signed stands a second time elsewhere in the message.",
        "Một phần đã ký xuất hiện lần thứ hai ở chỗ khác trong gói tin.",
    ),
    Reason.SHAPE_PROPERTIES: _say(
        16,
        "The signed properties (signing time, signing certificate) are missing or malformed.",
        "Thuộc tính được ký (thời điểm ký, chứng thư ký) bị thiếu hoặc sai dạng.",
    ),
    Reason.REFERENCE_COUNT: _say(
        13, "The signature must have 2 to 30 references.", "Chữ ký phải có từ 2 đến 30 tham chiếu."
    ),
    Reason.REFERENCE_TARGET: _say(
        9,
        "A reference of the signature does not name a part of this message by its Id.",
        "Một tham chiếu của chữ ký không chỉ tới một phần của gói tin bằng Id.",
    ),
    Reason.REFERENCE_SET: _say(
        9,
        "The signature does not cover exactly the parts that must be signed.",
        "Chữ ký không bao phủ đúng các phần phải ký.",
    ),
    Reason.REFERENCE_TYPE: _say(
        9, "A reference of the signature has the wrong Type.", "Một tham chiếu của chữ ký có Type sai."
    ),
    Reason.REFERENCE_TRANSFORM: _say(
        10,
        "A reference must have exactly its one prescribed transform.",
        "Mỗi tham chiếu phải có đúng một phép biến đổi quy định.",
    ),
    Reason.ALGORITHM_C14N: _say(
        11, "The canonicalization method is not exc-C14N.", "Phương pháp chuẩn hóa không phải exc-C14N."
    ),
    Reason.ALGORITHM_SIGNATURE: _say(
        12, "The signature algorithm is not allowed.", "Thuật toán chữ ký không được phép."
    ),
    Reason.ALGORITHM_DIGEST: _say(
        12, "The digest algorithm is not allowed.", "Thuật toán băm không được phép."
    ),
    Reason.ALGORITHM_EXPIRED: _say(
        30,
        "The algorithm is no longer allowed at that time.",
        "Thuật toán không còn được phép tại thời điểm đó.",
    ),
    Reason.KEY_INFO: _say(
        14,
        "KeyInfo must hold one X509Data with 1 to 4 certificates and nothing else.",
        "KeyInfo phải chứa đúng một X509Data với 1 đến 4 chứng thư, không có gì khác.",
    ),
    Reason.KEY_CERTIFICATE: _say(
        14, "A certificate in the signature cannot be read.", "Không đọc được chứng thư trong chữ ký."
    ),
    Reason.KEY_WEAK: _say(
        15,
        "The signer's key must be RSA of 2048 to 8192 bits.",
        "Khóa của người ký phải là RSA từ 2048 đến 8192 bit.",
    ),
    Reason.KEY_NOT_THE_NAMED: _say(
        16,
        "The signed properties name another certificate than the one given.",
        "Thuộc tính được ký nêu chứng thư khác với chứng thư kèm theo.",
    ),
    Reason.SIGNATURE_BASE64: _say(
        18,
        "A value of the signature is not strict base64.",
        "Một giá trị của chữ ký không phải base64 chuẩn.",
    ),
    Reason.SIGNATURE_VALUE: _say(
        17,
        "The signature value is wrong: not signed with this certificate, or changed after signing.",
        "Giá trị chữ ký sai: không do chứng thư này ký, hoặc đã bị sửa sau khi ký.",
    ),
    Reason.DIGEST_HEADER: _say(
        17, "The header was changed after signing.", "Phần tiêu đề (MessageHeader) đã bị sửa sau khi ký."
    ),
    Reason.DIGEST_BODY: _say(
        17,
        "The list of attachments was changed after signing.",
        "Danh mục tệp đính kèm (edXMLBody) đã bị sửa sau khi ký.",
    ),
    Reason.DIGEST_BUSSINESS: _say(
        17,
        "The business type (new, recall, update, replace) was changed after signing.",
        "Loại nghiệp vụ (mới, thu hồi, cập nhật, thay thế) đã bị sửa sau khi ký.",
    ),
    Reason.DIGEST_PROPERTIES: _say(
        17, "The signed properties were changed after signing.", "Thuộc tính được ký đã bị sửa sau khi ký."
    ),
    Reason.DIGEST_ATTACHMENT: _say(
        17, "An attachment was changed after signing.", "Tệp đính kèm đã bị sửa sau khi ký."
    ),
    Reason.ATTACHMENT_BASE64: _say(
        18,
        "The content of an attachment is not strict base64.",
        "Nội dung tệp đính kèm không phải base64 chuẩn.",
    ),
    Reason.ATTACHMENT_MANIFEST: _say(
        21, "The signed list of attachments is malformed.", "Danh mục tệp đính kèm được ký sai dạng."
    ),
    Reason.ATTACHMENT_SET: _say(
        21,
        "The attachments are not exactly those in the signed list.",
        "Các tệp đính kèm không đúng với danh mục đã ký.",
    ),
    Reason.ATTACHMENT_ID: _say(
        21,
        "The Id of an attachment does not follow from its ContentId.",
        "Id của tệp đính kèm không khớp với ContentId.",
    ),
    Reason.CHAIN_UNTRUSTED: _say(
        23,
        "The certificate does not lead to a trusted root.",
        "Chứng thư không dẫn tới chứng thư gốc được tin cậy.",
    ),
    Reason.CHAIN_EXPIRED: _say(
        23, "A certificate had expired at that time.", "Chứng thư đã hết hạn tại thời điểm đó."
    ),
    Reason.CHAIN_NOT_YET_VALID: _say(
        23, "A certificate was not yet valid at that time.", "Chứng thư chưa có hiệu lực tại thời điểm đó."
    ),
    Reason.CHAIN_CA_AS_SIGNER: _say(
        23,
        "The signer's certificate is that of a certification authority.",
        "Chứng thư người ký là chứng thư của tổ chức chứng thực.",
    ),
    Reason.CHAIN_ISSUER_NOT_CA: _say(
        23,
        "A certificate was issued by one that may not issue certificates.",
        "Chứng thư được cấp bởi một chứng thư không có quyền cấp.",
    ),
    Reason.CHAIN_PATH_LENGTH: _say(
        23,
        "The chain of certificates is longer than its authority allows.",
        "Chuỗi chứng thư dài hơn mức tổ chức chứng thực cho phép.",
    ),
    Reason.CHAIN_KEY_USAGE: _say(
        24,
        "The certificate is not for signing (digitalSignature or nonRepudiation).",
        "Chứng thư không dùng để ký (digitalSignature hoặc nonRepudiation).",
    ),
    Reason.CHAIN_EXTENDED_KEY_USAGE: _say(
        24,
        "The certificate is for another purpose than signing documents.",
        "Chứng thư dành cho mục đích khác, không phải ký văn bản.",
    ),
    Reason.CHAIN_WEAK_HASH: _say(
        25, "A certificate is signed with SHA-1 or MD5.", "Chứng thư được ký bằng SHA-1 hoặc MD5."
    ),
    Reason.CHAIN_WEAK_KEY: _say(
        15, "A certificate in the chain has too weak a key.", "Một chứng thư trong chuỗi có khóa quá yếu."
    ),
    Reason.TIME_FORMAT: _say(
        26,
        "The signing time cannot be read (it must name its time zone).",
        "Không đọc được thời điểm ký (phải có múi giờ).",
    ),
    Reason.TIME_FUTURE: _say(
        26,
        "The signing time lies in the future; check the clock of the signing computer.",
        "Thời điểm ký ở tương lai; hãy kiểm tra đồng hồ máy ký.",
    ),
    Reason.TIME_BEFORE_CERTIFICATE: _say(
        26,
        "The signing time is earlier than the certificate.",
        "Thời điểm ký sớm hơn ngày chứng thư có hiệu lực.",
    ),
    Reason.REVOCATION_REVOKED: _say(27, "The certificate had been revoked.", "Chứng thư đã bị thu hồi."),
    Reason.REVOCATION_STALE: _say(
        27,
        "The revocation list is out of date; the answer is not known yet.",
        "Danh sách thu hồi chứng thư đã cũ; chưa thể kết luận.",
    ),
    Reason.REVOCATION_UNKNOWN: _say(
        27,
        "There is no revocation list for this certificate; the answer is not known yet.",
        "Chưa có danh sách thu hồi cho chứng thư này; chưa thể kết luận.",
    ),
}
