"""
What can be odd or wrong about a message: one closed list of kinds, each in Vietnamese and English.

A finding is a fact with a place. Kinds that refuse name the reason of `axis.core.reasons` under which the axis says no;
all others are warnings that travel with the message to its receivers. The code of a kind is never renamed: vendors'
programs look for it. Texts quote codes, dates and element names, never a subject, a name of a person or a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

from axis.core.reasons import Detail, ReasonCode

MOST_OF_A_KIND = 20
"""More findings of one kind are counted, not listed: a hostile message must not flood a receipt."""

_LONGEST_QUOTE = 60
_LONGEST_CAUSE = 160
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\u1fff\u2010-\u2027\u2030-\u205e\u20a0-\ud7ff]")


@unique
class Language(StrEnum):
    """The two languages users read."""

    VI = "vi"
    EN = "en"


@unique
class Severity(StrEnum):
    """What a finding does to a message."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """One thing that can be odd or wrong."""

    code: str
    vi: str
    en: str
    reason: ReasonCode | None = None
    """Under which a message with it is refused; a kind without one only warns."""

    @property
    def severity(self) -> Severity:
        """What a finding of this kind does to a message."""
        return Severity.WARN if self.reason is None else Severity.REFUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding at one place."""

    kind: FindingKind
    path: str
    """Elements from the root down by local name, numbered where a name repeats: `/edXML/…/To[2]/OrganId`."""
    facts: tuple[tuple[str, str], ...] = ()
    """What the text is filled with, already shortened and free of control characters."""

    @property
    def code(self) -> str:
        """The kind's stable code."""
        return self.kind.code

    @property
    def severity(self) -> Severity:
        """What it does to the message."""
        return self.kind.severity

    @property
    def reason(self) -> ReasonCode | None:
        """The refusal it leads to, if it does."""
        return self.kind.reason

    @property
    def vi(self) -> str:
        """The text in Vietnamese."""
        return self.kind.vi.format_map(dict(self.facts))

    @property
    def en(self) -> str:
        """The text in English."""
        return self.kind.en.format_map(dict(self.facts))

    @property
    def detail(self) -> Detail:
        """The same as a detail of a recorded cause."""
        return Detail(path=self.path, vi=self.vi, en=self.en)

    def text(self, language: Language) -> str:
        """The text in one of the two languages."""
        return self.vi if language is Language.VI else self.en


def finding(kind: FindingKind, path: str, **facts: object) -> Finding:
    """A finding whose quoted facts are safe to show on a terminal and in a log."""
    written = tuple(
        # A cause is our own text, put together from quotes that are short already.
        (name, quoted(fact, longest=_LONGEST_CAUSE if name in {"cause", "cause_vi"} else _LONGEST_QUOTE))
        for name, fact in facts.items()
    )
    return Finding(kind=kind, path=path, facts=written)


def quoted(fact: object, *, longest: int = _LONGEST_QUOTE) -> str:
    """A fact in one short printable line."""
    text = str(fact)
    if len(text) > longest:
        text = text[:longest] + "…"
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def bounded(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, with those beyond `MOST_OF_A_KIND` of one kind counted in a last one."""
    kept: list[Finding] = []
    counts: dict[str, int] = {}
    last: dict[str, str] = {}
    for found in findings:
        counts[found.code] = counts.get(found.code, 0) + 1
        if counts[found.code] <= MOST_OF_A_KIND:
            kept.append(found)
        else:
            last[found.code] = found.path
    kept.extend(
        finding(MORE_OF_THE_SAME, path, count=counts[code] - MOST_OF_A_KIND, code=code)
        for code, path in last.items()
    )
    return tuple(kept)


def refusals(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that refuse the message."""
    return tuple(found for found in findings if found.severity is Severity.REFUSE)


def warnings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that travel with the message."""
    return tuple(found for found in findings if found.severity is Severity.WARN)


_KINDS: dict[str, FindingKind] = {}


def _kind(code: str, vi: str, en: str, reason: ReasonCode | None = None) -> FindingKind:
    kind = _KINDS[code] = FindingKind(code=code, vi=vi, en=en, reason=reason)
    return kind


_R = ReasonCode
# fmt: off

# The message cannot be read.
NOT_XML = _kind("read.not_xml",
    "Gói tin không đọc được như XML: {cause_vi}.",
    "The message cannot be read as XML: {cause}.", _R.PARSE_NOT_XML)
DOCTYPE = _kind("read.doctype",
    "Gói tin có khai báo DOCTYPE; edXML không dùng và Trục không nhận.",
    "The message has a DOCTYPE; edXML uses none and the axis takes none.", _R.PARSE_DOCTYPE)
ENCODING = _kind("read.encoding",
    "Gói tin không phải UTF-8: {cause_vi}.",
    "The message is not UTF-8: {cause}.", _R.PARSE_ENCODING)
LIMITS = _kind("read.limits",
    "Gói tin vượt giới hạn: {cause_vi}.",
    "The message is beyond a limit: {cause}.", _R.PARSE_LIMITS)
CONTENT_MARKUP = _kind("read.content_markup",
    "Nội dung tệp đính kèm có mã đánh dấu XML thay vì chỉ base64: {cause_vi}.",
    "The content of an attachment holds markup instead of base64 alone: {cause}.", _R.VALIDATE_BASE64)
WRONG_ROOT = _kind("read.wrong_root",
    'Phần tử gốc là <{found}>, phải là <edXML xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016">.',
    'The root element is <{found}>, it must be <edXML xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016">.',
    _R.PARSE_NOT_EDXML)
WRONG_NAMESPACE = _kind("read.wrong_namespace",
    "Không gian tên là «{found}», phải là «http://www.mic.gov.vn/TBT/QCVN_102_2016».",
    'The namespace is "{found}", it must be "http://www.mic.gov.vn/TBT/QCVN_102_2016".', _R.PARSE_NOT_EDXML)
SOAP_FORM = _kind("read.soap_form",
    "Gói tin theo khuôn dạng SOAP của công văn 512 và 2803/BTTTT-THH, đã được QCVN 102:2016 thay thế.",
    "The message has the SOAP form of letters 512 and 2803/BTTTT-THH, which QCVN 102:2016 replaced.",
    _R.PARSE_NOT_EDXML)
INVENTED_FORM = _kind("read.invented_form",
    "Gói tin theo khuôn dạng EdXMLEnvelope (http://www.go.vn/eDoc), không phải QCVN 102:2016.",
    "The message has the form EdXMLEnvelope (http://www.go.vn/eDoc), which is not QCVN 102:2016.", _R.PARSE_NOT_EDXML)
ELEMENT_MISSING = _kind("read.element_missing",
    "Thiếu phần tử bắt buộc <{name}>.",
    "The required element <{name}> is missing.", _R.PARSE_NOT_EDXML)
REPEATED_ELEMENT = _kind("read.repeated_element",
    "Phần tử <{name}> chỉ được có một, gói tin có {count}: không rõ phải đọc phần tử nào.",
    "The element <{name}> may stand once, the message has {count}: nobody can tell which one counts.",
    _R.PARSE_NOT_EDXML)
ELEMENT_IN_TEXT = _kind("read.element_in_text",
    "<{name}> chỉ được chứa chữ, gói tin đặt phần tử <{found}> vào trong: không rõ phải đọc thế nào.",
    "<{name}> may hold text alone, the message puts the element <{found}> into it: nobody can tell how to read it.",
    _R.VALIDATE_SCHEMA)
STRAY_CONTENT = _kind("read.stray_content",
    "Nội dung tệp (ContentTransferEncoded) nằm ngoài AttachmentEncoded/Attachment.",
    "File content (ContentTransferEncoded) stands outside AttachmentEncoded/Attachment.", _R.PARSE_NOT_EDXML)
KIND_UNKNOWN = _kind("read.kind_unknown",
    "MessageHeader không phải của văn bản (To, Subject) cũng không phải của trạng thái (StatusCode).",
    "MessageHeader is neither a document's (To, Subject) nor a status's (StatusCode).", _R.PARSE_NOT_EDXML)
KIND_AMBIGUOUS = _kind("read.kind_ambiguous",
    "Gói tin vừa có StatusCode của trạng thái vừa có {name} của văn bản.",
    "The message has a status's StatusCode and a document's {name}.", _R.PARSE_NOT_EDXML)
BUSINESS_TYPE = _kind("read.business_type",
    "BussinessDocType là «{found}»; chỉ có 0 (mới), 1 (thu hồi), 2 (cập nhật), 3 (thay thế).",
    'BussinessDocType is "{found}"; there are only 0 (new), 1 (recall), 2 (update), 3 (replace).',
    _R.PARSE_BUSINESS_TYPE)

# The message can be read and must be refused.
SCHEMA = _kind("schema",
    "Sai cấu trúc: {cause_vi}.",
    "Wrong structure: {cause}.", _R.VALIDATE_SCHEMA)
NO_SENDER = _kind("sender.missing",
    "Thiếu mã định danh đơn vị gửi (From/OrganId).",
    "The sender's code (From/OrganId) is missing.", _R.VALIDATE_NO_SENDER)
NO_RECEIVER = _kind("receiver.missing",
    "Văn bản không có đơn vị nhận (To).",
    "The document names no receiver (To).", _R.VALIDATE_NO_RECEIVER)
RECEIVER_WITHOUT_CODE = _kind("receiver.code_missing",
    "Đơn vị nhận thứ {number} không có mã định danh (OrganId trống hoặc là «null»).",
    'Receiver {number} has no code (OrganId is empty or says "null").', _R.VALIDATE_NO_RECEIVER)
DUPLICATE_RECEIVER = _kind("receiver.duplicate",
    "Đơn vị nhận {code} đã được nêu ở To thứ {first}.",
    "The receiver {code} is named already in To number {first}.", _R.VALIDATE_DUPLICATE_RECEIVER)
NO_DOCUMENT_ID = _kind("document_id.missing",
    "Thiếu mã văn bản (DocumentId); không có nó, không ai phản hồi được văn bản.",
    "DocumentId is missing; without it nobody can answer the document.", _R.VALIDATE_NO_DOCUMENT_ID)
ATTACHMENT_MISSING = _kind("attachment.missing",
    "Danh mục nêu tệp {content_id} nhưng gói tin không có (QĐ 28/2018 Điều 10.1).",
    "The manifest lists {content_id}, which the message does not hold (QĐ28 Art. 10.1).", _R.VALIDATE_ATTACHMENT_MISSING)
ATTACHMENT_WITHOUT_CONTENT = _kind("attachment.no_content",
    "Tệp {content_id} không có nội dung.",
    "The attachment {content_id} has no content.", _R.VALIDATE_ATTACHMENT_MISSING)
ATTACHMENT_UNLISTED = _kind("attachment.unlisted",
    "Tệp {content_id} có trong gói tin nhưng không có trong danh mục.",
    "The attachment {content_id} is in the message, but not in the manifest.", _R.VALIDATE_ATTACHMENT_UNLISTED)
ATTACHMENT_TWICE = _kind("attachment.content_id_repeated",
    "ContentId {content_id} được dùng {count} lần.",
    "The ContentId {content_id} is used {count} times.", _R.VALIDATE_ATTACHMENT_TWICE)
BASE64 = _kind("attachment.base64",
    "Nội dung tệp {content_id} không phải base64 hợp lệ: {cause_vi}.",
    "The content of {content_id} is not valid base64: {cause}.", _R.VALIDATE_BASE64)
REPLACEMENT_MISSING = _kind("replacement.missing",
    "Văn bản thay thế không nêu văn bản bị thay thế (ReplacementInfoList).",
    "A replacement must name what it replaces (ReplacementInfoList).", _R.VALIDATE_SCHEMA)
RECEIVER_CHANGE = _kind("update.receiver_type",
    "ReceiverType phải là 0 (bỏ) hoặc 1 (thêm) và đi cùng một mã định danh.",
    "ReceiverType must be 0 (removed) or 1 (added) and stand beside a code.", _R.VALIDATE_SCHEMA)
STATUS_CODE = _kind("status.code",
    "Mã trạng thái «{found}» không có; mã hợp lệ: 01, 02, 03, 04, 05, 06, 13, 15, 16.",
    'There is no status code "{found}"; valid: 01, 02, 03, 04, 05, 06, 13, 15, 16.', _R.VALIDATE_STATUS_CODE)
STATUS_TARGET = _kind("status.target",
    "ResponseFor phải có OrganId, và DocumentId hoặc Code.",
    "ResponseFor must have OrganId, and DocumentId or Code.", _R.VALIDATE_STATUS_TARGET)
STATUS_REASON = _kind("status.reason",
    "Trạng thái {code} phải kèm lý do (Description).",
    "Status {code} must give a reason (Description).", _R.VALIDATE_STATUS_REASON)

# Form of the XML: taken, bytes unchanged.
BOM = _kind("form.bom",
    "Có dấu BOM ở đầu gói tin.",
    "A byte order mark stands before the message.")
TRAILING_SPACE = _kind("form.trailing_space",
    "Có khoảng trắng hoặc xuống dòng thừa sau phần tử gốc.",
    "White space stands after the root element.")
NO_PREFIX = _kind("form.no_prefix",
    "Phần phong bì không dùng tiền tố edXML:; một số phần mềm .NET từ chối («error in XML document (1, 40)»).",
    'The envelope does not use the prefix edXML:; some .NET software refuses that ("error in XML document (1, 40)").')
ATTACHMENT_PREFIX = _kind("form.attachment_prefix",
    "<{name}> mang tiền tố edXML:; khuôn dạng viết không tiền tố. Ý nghĩa như nhau.",
    "<{name}> has the prefix edXML:, the format writes it without. The meaning is the same.")
COMMENT = _kind("form.comment",
    "Có chú thích hoặc chỉ thị xử lý trong XML; bị bỏ qua. Gói tin ký AX-1 không được có.",
    "A comment or processing instruction stands in the XML; it is ignored. An AX-1 signed message may have none.")
ORDER = _kind("form.order",
    "Thứ tự phần tử trong <{name}> khác hai thứ tự thường gặp; phần mềm .NET có thể bỏ sót.",
    "The order of elements in <{name}> is neither of the two usual ones; .NET software may miss some.")
BUSSINESS_FIRST = _kind("form.bussiness_first",
    "Bussiness đứng trước TraceHeader (bộ SDK Java viết như vậy); phần mềm .NET có thể bỏ sót.",
    "Bussiness stands before TraceHeader (the Java SDK writes so); .NET software may miss it.")
BUSINESS_SPELLING = _kind("form.business_spelling",
    "Viết <{found}>; khuôn dạng viết <{expected}>.",
    "Written <{found}>; the format spells it <{expected}>.")
EMPTY_ELEMENT = _kind("form.empty",
    "Phần tử <{name}> trống; coi như không có.",
    "The element <{name}> is empty and taken as absent.")
UNKNOWN_ELEMENT = _kind("form.unknown_element",
    "Không có phần tử <{name}> ở vị trí này trong khuôn dạng; bị bỏ qua.",
    "The format has no element <{name}> here; it is ignored.")
FOREIGN_ELEMENT = _kind("form.foreign_element",
    "Phần tử <{name}> thuộc không gian tên khác; bị bỏ qua.",
    "The element <{name}> is of another namespace; it is ignored.")
STRAY_TEXT = _kind("form.stray_text",
    "Có chữ đứng ngoài các phần tử con của <{name}>; bị bỏ qua.",
    "Text stands between the children of <{name}>; it is ignored.")
ATTRIBUTE = _kind("form.attribute",
    "Thuộc tính {name} không có trong khuôn dạng; bị bỏ qua.",
    "The format has no attribute {name}; it is ignored.")
SCHEMA_HINT = _kind("form.schema_hint",
    "Gói tin trỏ tới lược đồ riêng ({name}); không bao giờ được dùng.",
    "The message points to a schema of its own ({name}); it is never used.")
SIGNATURE_NAMESPACE = _kind("signature.namespace",
    "Chữ ký viết trong không gian tên của QCVN thay vì http://www.w3.org/2000/09/xmldsig#; không bộ kiểm tra nào tìm thấy.",
    "The signature is in the namespace of QCVN instead of http://www.w3.org/2000/09/xmldsig#; no verifier finds it.")
SIGNATURE_EMPTY = _kind("signature.empty",
    "Phần tử chữ ký <{name}> trống.",
    "The signature element <{name}> is empty.")
MORE_OF_THE_SAME = _kind("more",
    "… và {count} chỗ khác có {code}.",
    "… and {count} more places with {code}.")

# Texts, codes, dates, numbers.
INVISIBLE = _kind("text.invisible",
    "<{name}> có ký tự không nhìn thấy (khoảng trắng rộng bằng không, NBSP …); chỉ bỏ khi so sánh và hiển thị.",
    "<{name}> has invisible characters (zero-width or no-break spaces); they are left out only to compare and show.")
NOT_NFC = _kind("text.not_nfc",
    "<{name}> viết bằng Unicode tổ hợp (không phải NFC); chỉ chuẩn hóa khi so sánh.",
    "<{name}> is in decomposed Unicode (not NFC); it is normalised only to compare.")
NULL_CODE = _kind("organ.null",
    "Mã định danh viết là «null»: phần mềm gửi đã ghi giá trị rỗng thành chữ.",
    'The code says "null": the sending software wrote nothing as a word.')
CODE_MISSING = _kind("organ.missing",
    "Thiếu mã định danh (OrganId).",
    "The code (OrganId) is missing.")
CODE_CLEANED = _kind("organ.cleaned",
    "Mã định danh có khoảng trắng, ký tự ẩn hoặc chữ thường; được hiểu là {read}.",
    "The code has spaces, invisible characters or small letters; it is read as {read}.")
CODE_NINE = _kind("organ.nine_characters",
    "Mã định danh {read} theo dạng cũ 9 ký tự.",
    "The code {read} has the old form of 9 characters.")
CODE_FORM = _kind("organ.form",
    "Mã định danh {read} không theo QCVN 102:2016 hay QĐ 20/2020/QĐ-TTg.",
    "The code {read} has neither the form of QCVN 102:2016 nor of QĐ 20/2020/QĐ-TTg.")
DATE_FORM = _kind("date.form",
    "Ngày viết «{found}», khuôn dạng là yyyy/MM/dd; được hiểu là {read}.",
    'The date is written "{found}", the form is yyyy/MM/dd; it is read as {read}.')
DATE_IMPOSSIBLE = _kind("date.impossible",
    "Không có ngày «{found}».",
    'There is no day "{found}".')
DATE_UNREADABLE = _kind("date.unreadable",
    "Không đọc được ngày «{found}»; khuôn dạng là yyyy/MM/dd.",
    'The date "{found}" cannot be read; the form is yyyy/MM/dd.')
DATE_UNLIKELY = _kind("date.unlikely",
    "Ngày {found} khó có thật.",
    "The date {found} is hardly true.")
DATE_FUTURE = _kind("date.future",
    "Ngày ban hành {found} ở tương lai.",
    "The date of issue {found} lies in the future.")
TIME_FORM = _kind("time.form",
    "Thời điểm viết «{found}», khuôn dạng là yyyy/MM/dd HH:mm:ss; được hiểu là {read}.",
    'The time is written "{found}", the form is yyyy/MM/dd HH:mm:ss; it is read as {read}.')
TIME_UNREADABLE = _kind("time.unreadable",
    "Không đọc được thời điểm «{found}»; khuôn dạng là yyyy/MM/dd HH:mm:ss.",
    'The time "{found}" cannot be read; the form is yyyy/MM/dd HH:mm:ss.')
NUMBER = _kind("number.unreadable",
    "<{name}> phải là số nguyên, không phải «{found}»; coi như không có.",
    '<{name}> must be a whole number, not "{found}"; it is taken as absent.')
FLAG = _kind("flag.unreadable",
    "<{name}> phải là {expected}, không phải «{found}»; coi như không có.",
    '<{name}> must be {expected}, not "{found}"; it is taken as absent.')
TOO_LONG = _kind("field.too_long",
    "<{name}> dài {length} ký tự, quy định tối đa {limit} (NĐ 30/2020 Phụ lục VI, QCVN 102:2016).",
    "<{name}> has {length} characters, the rule allows {limit} (NĐ30 Annex VI, QCVN 102:2016).")
FIELD_MISSING = _kind("field.missing",
    "Thiếu <{name}> (QĐ 28/2018 Điều 10.2 điểm {letter}).",
    "<{name}> is missing (QĐ28 Art. 10.2 letter {letter}).")
PRIORITY = _kind("priority.out_of_range",
    "Độ khẩn {found} nằm ngoài {known}; được xử lý như văn bản thường.",
    "Priority {found} is outside {known}; the document is treated as normal.")
AMOUNT = _kind("number.out_of_range",
    "<{name}> là {found}, ngoài khoảng 0-65535.",
    "<{name}> is {found}, outside 0-65535.")

# Meaning.
DOCUMENT_ID_FORM = _kind("document_id.form",
    "DocumentId không theo dạng «mã đơn vị,yyyy/MM/dd,số/ký hiệu» và không phải UUID; có thể trùng với văn bản khác.",
    'DocumentId is neither "organ code,yyyy/MM/dd,number/notation" nor a UUID; another document may have the same.')
DOCUMENT_ID_DISAGREES = _kind("document_id.disagrees",
    "DocumentId nêu {what} khác với phần đầu văn bản.",
    "DocumentId names another {what} than the header.")
CODE_NUMBER = _kind("code.not_a_number",
    "Số văn bản «{found}» không phải là số.",
    'The number of the document, "{found}", is not a number.')
CODE_SUFFIX = _kind("code.receiver_suffix",
    "Số, ký hiệu có gắn thêm «#{found}»: văn bản được tách riêng cho từng nơi nhận.",
    'The code has "#{found}" appended: one document split into one message per receiver.')
BUSSINESS_MISSING = _kind("bussiness.missing",
    "Không có Bussiness; được hiểu là văn bản mới.",
    "There is no Bussiness; the document is taken as new.")
BUSSINESS_TYPE_MISSING = _kind("bussiness.type_missing",
    "Bussiness không có BussinessDocType; được hiểu là văn bản mới.",
    "Bussiness has no BussinessDocType; the document is taken as new.")
UPDATE_SAYS_NOTHING = _kind("update.says_nothing",
    "Văn bản cập nhật không cho biết thay đổi gì (BussinessDocumentInfo).",
    "The update does not say what it changes (BussinessDocumentInfo).")
RECEIVER_CHANGE_REPEATED = _kind("update.receiver_repeated",
    "Đơn vị {code} được nêu nhiều lần trong ReceiverList.",
    "The organ {code} stands more than once in ReceiverList.")
REPLACEMENT_REPEATED = _kind("replacement.repeated",
    "Văn bản bị thay thế này đã được nêu ở ReplacementInfo trước đó.",
    "This replaced document is named by an earlier ReplacementInfo already.")
STATUS_CODE_SHORT = _kind("status.code_form",
    "Mã trạng thái viết «{found}», khuôn dạng là hai chữ số; được hiểu là {read}.",
    'The status code is written "{found}", the form is two digits; it is read as {read}.')
STATUS_WITHOUT_REASON = _kind("status.reason_missing",
    "Trạng thái {code} phải kèm lý do (Description).",
    "Status {code} must give a reason (Description).")
STATUS_WITHOUT_ID = _kind("status.document_id_missing",
    "ResponseFor không có DocumentId; văn bản được tìm theo đơn vị, số và ký hiệu.",
    "ResponseFor has no DocumentId; the document is looked up by organ and code.")

# Attachments.
NO_ATTACHMENT = _kind("attachment.none",
    "Văn bản không có tệp đính kèm nào.",
    "The document has no attachment.")
CONTENT_ID_FORM = _kind("attachment.content_id_form",
    "ContentId viết «{found}»; khuôn dạng là một «cid:» ở đầu.",
    'ContentId is written "{found}"; the form is one "cid:" before it.')
CONTENT_ID_LINK = _kind("attachment.href",
    "xlink:href khác ContentId; ContentId được dùng.",
    "xlink:href differs from ContentId; ContentId is used.")
TYPE_DIFFERS = _kind("attachment.type_differs",
    "Danh mục khai {listed}, tệp khai {declared}.",
    "The manifest says {listed}, the attachment says {declared}.")
NAME_DIFFERS = _kind("attachment.name_differs",
    "Tên tệp trong danh mục và trong AttachmentEncoded khác nhau; tên trong danh mục được dùng.",
    "The file's name differs between manifest and AttachmentEncoded; the manifest's is used.")
NAME_MISSING = _kind("attachment.name_missing",
    "Tệp {content_id} không có tên.",
    "The attachment {content_id} has no name.")
TYPE_CLAIM = _kind("attachment.type_claim",
    "Khai là {declared} nhưng nội dung là {detected}.",
    "Declared as {declared}, but the content is {detected}.")
NAME_CLAIM = _kind("attachment.extension",
    "Đuôi tên tệp là .{extension} nhưng nội dung là {detected}.",
    "The name ends in .{extension}, but the content is {detected}.")
ZIPPED = _kind("attachment.zipped",
    "Tệp được nén ZIP riêng (tên không phải .zip); phải giải nén để mở.",
    "The file is wrapped in a ZIP by itself (its name does not say .zip); it must be unwrapped to open.")
ZIP_ENTRY = _kind("attachment.zip_entry",
    "Tệp bên trong ZIP có đuôi .{inner}, tên tệp đính kèm có đuôi .{outer}.",
    "The file inside the ZIP ends in .{inner}, the attachment's name in .{outer}.")
RUINED = _kind("attachment.ruined",
    "Tệp đã hỏng: phần mềm gửi đã chuyển đổi dữ liệu nhị phân qua văn bản UTF-8 (EF BF BD). Phải gửi lại từ bản gốc.",
    "The file is ruined: the sending software passed binary content through UTF-8 text (EF BF BD). Send the original again.")
TYPE_UNKNOWN = _kind("attachment.type_unknown",
    "Không nhận ra loại tệp từ nội dung.",
    "The type of the file cannot be told from its content.")
# fmt: on

KINDS: tuple[FindingKind, ...] = tuple(_KINDS.values())
"""Every kind there is; docs/edxml-quirks.md lists them, and a test makes each happen."""
