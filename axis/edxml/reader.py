"""
From received bytes to a message, leniently: step 2 of a document's way.

What the wire is lenient about is taken (any order, either prefix, empty elements, other forms of dates), and each such
oddity is reported with its place. What nobody could read in one way only (a wrong root, two `From`, an unknown kind of
business) is `Unreadable`, with every problem listed that can be told. Nothing here changes a byte, judges a signature,
or asks whether the message makes sense: see `signing` and `axis.edxml.rules`.

The text of attachments never comes here: the one pass of `signing.skeleton` has cut it out, decoded and hashed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import BinaryIO

from lxml import etree

from axis.core.model import BusinessType, Digest
from axis.edxml import findings as f
from axis.edxml.detect import HEAD_BYTES, detect
from axis.edxml.message import (
    NAMESPACE,
    Attachment,
    Bussiness,
    BussinessDocumentInfo,
    Code,
    DocumentType,
    Edoc,
    Message,
    OtherInfo,
    Party,
    PromulgationInfo,
    ReceiverChange,
    Reference,
    Replacement,
    ResponseFor,
    SignerInfo,
    StaffInfo,
    Status,
    TraceHeader,
    content_key,
)
from axis.edxml.walk import (
    INTEGER,
    SPACE,
    XLINK,
    Node,
    Notes,
    Unreadable,
    Walk,
    empty,
    names_of,
    spelling_of_the_format,
    split,
)
from schemas_xsd import SchemaName, schema
from signing.errors import MessageError
from signing.reasons import EXPLANATIONS, Reason
from signing.skeleton import Limits, Part, PartSink, Skeleton, read_skeleton

__all__ = [
    "ORDER",
    "HeadSink",
    "Package",
    "Reading",
    "Unreadable",
    "read_message",
    "read_package",
    "read_signed_header",
]

_SOAP = frozenset(
    {
        "http://schemas.xmlsoap.org/soap/envelope/",
        "http://www.w3.org/2003/05/soap-envelope",
        "http://www.e-doc.vn/Schema/",
    }
)
_INVENTED = "http://www.go.vn/eDoc"
_ONE_CONTENT_ID = re.compile(r"cid:(?!cid:)\S.*", re.DOTALL)

ORDER = (
    "From", "To", "Code", "PromulgationInfo", "DocumentType", "Subject", "Content", "SignerInfo", "DueDate", "ToPlaces",
    "OtherInfo", "ResponseFor", "SteeringType", "DocumentId", "ResponseForTask", "ApplicationType",
)  # fmt: skip
"""Elements of a document's header in the order of the regulation, which .NET readers need and we write."""
_SDK_ORDER = (
    "From", "To", "DocumentId", "Code", "PromulgationInfo", "DocumentType", "Subject", "Content", "SignerInfo", "DueDate",
    "OtherInfo", "ResponseFor", "SteeringType", "ResponseForTask", "ApplicationType", "ToPlaces",
)  # fmt: skip
_STATUS_ORDER = ("From", "ResponseFor", "StaffInfo", "StatusCode", "Description", "Timestamp")
_HEADER_ORDER = ("MessageHeader", "TraceHeaderList", "Signature", "DigitalSignature")

_PARTY = frozenset(
    {"OrganId", "OrganizationInCharge", "OrganName", "OrganAdd", "Email", "Telephone", "Fax", "Website"}
)
_STAFF = frozenset({"Department", "DepartmentId", "Staff", "StaffId", "Email", "Mobile"})
_OTHER = frozenset(
    {"Priority", "SphereOfPromulgation", "TyperNotation", "PromulgationAmount", "PageAmount", "Direction", "Appendixes",
     "ReplyFors", "ReferenceCodes"}
)  # fmt: skip
_BUSSINESS = frozenset(
    {"DocumentId", "BussinessDocType", "BussinessDocReason", "Paper", "BussinessDocumentInfo", "ReplacementInfoList",
     "StaffInfo"}
)  # fmt: skip
_ATTACHMENT = frozenset(
    {"ContentId", "AttachmentName", "Description", "FieldName", "MimeType", "Format", "ContentType",
     "ContentTransferEncoded"}
)  # fmt: skip
_KIND_OF_MESSAGE_ERROR = MappingProxyType(
    {
        Reason.XML_DOCTYPE: f.DOCTYPE,
        Reason.XML_ENCODING: f.ENCODING,
        Reason.XML_TOO_LARGE: f.LIMITS,
        Reason.XML_MARKUP_TOO_LARGE: f.LIMITS,
        Reason.XML_TOO_DEEP: f.LIMITS,
        Reason.XML_TOO_MANY_ELEMENTS: f.LIMITS,
        Reason.XML_TOO_MANY_ATTRIBUTES: f.LIMITS,
        Reason.XML_TOO_MANY_ATTACHMENTS: f.LIMITS,
        Reason.XML_ATTACHMENT_MARKUP: f.CONTENT_MARKUP,
    }
)
_CAUSES = MappingProxyType(
    {
        Reason.XML_EMPTY: ("không có nội dung nào", "there is nothing in it"),
        Reason.XML_NOT_WELL_FORMED: ("sai cú pháp", "a syntax error"),
        Reason.XML_ENTITY: ("dùng thực thể (entity) không được định nghĩa", "it uses an entity that is not defined"),
        Reason.XML_VERSION: ("chỉ nhận XML 1.0", "only XML 1.0 is taken"),
        Reason.XML_DISAGREEMENT: ("hai bộ đọc XML hiểu khác nhau", "two XML readers understand it differently"),
        Reason.XML_DOCTYPE: ("DOCTYPE", "DOCTYPE"),
        Reason.XML_ENCODING: ("bảng mã khác", "another encoding"),
        Reason.XML_TOO_LARGE: ("gói tin quá lớn", "the message is too large"),
        Reason.XML_MARKUP_TOO_LARGE: ("phần ngoài tệp đính kèm quá lớn", "too large without its attachments"),
        Reason.XML_TOO_DEEP: ("các phần tử lồng nhau quá sâu", "elements are nested too deeply"),
        Reason.XML_TOO_MANY_ELEMENTS: ("quá nhiều phần tử", "too many elements"),
        Reason.XML_TOO_MANY_ATTRIBUTES: ("một phần tử có quá nhiều thuộc tính", "an element has too many attributes"),
        Reason.XML_TOO_MANY_ATTACHMENTS: ("quá nhiều tệp đính kèm", "too many attachments"),
        Reason.XML_ATTACHMENT_MARKUP: ("chỉ được có base64", "only base64 may stand there"),
    }
)  # fmt: skip
"""In Vietnamese and English, every reason for which the one pass over the bytes stops."""
_DETAILS_VI = (
    (re.compile(r"line ([0-9]+), column ([0-9]+)"), r"dòng \1, cột \2"),
    (re.compile(r"more than ([0-9]+) bytes without contents"), r"hơn \1 byte"),
    (re.compile(r"more than ([0-9]+) bytes"), r"hơn \1 byte"),
    (re.compile(r"more than ([0-9]+) levels"), r"hơn \1 tầng"),
    (re.compile(r"more than ([0-9]+)"), r"hơn \1"),
    (re.compile(r"content ([0-9]+)"), r"tệp thứ \1"),
    (re.compile(r"the first bytes are those of another encoding"), "theo những byte đầu tiên"),
    (re.compile(r"another encoding is declared"), "theo khai báo encoding"),
    (re.compile(r"namespace declarations"), "khai báo không gian tên"),
    (re.compile(r"second reader"), "bộ đọc thứ hai"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A message as it stands in the bytes, and everything odd about its form."""

    message: Message
    oddities: tuple[f.Finding, ...] = ()
    """Departures from the schema `wire` refuse the message, all others only warn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One received message: its reading and the skeleton it was read from, on which its signature is judged."""

    skeleton: Skeleton
    reading: Reading

    @property
    def message(self) -> Message:
        """What the message says, signed or not."""
        return self.reading.message


class HeadSink:
    """Passes decoded attachments on and remembers the first bytes of each."""

    def __init__(self, sink: PartSink | None = None) -> None:
        self._sink = sink
        self._heads: dict[int, bytes] = {}

    @property
    def heads(self) -> Mapping[int, bytes]:
        """First bytes by part index."""
        return self._heads

    def begin(self, index: int) -> None:
        """A part begins."""
        self._heads[index] = b""
        if self._sink is not None:
            self._sink.begin(index)

    def write(self, index: int, chunk: bytes) -> None:
        """More decoded bytes of it."""
        room = HEAD_BYTES - len(self._heads[index])
        if room > 0:
            self._heads[index] += chunk[:room]
        if self._sink is not None:
            self._sink.write(index, chunk)

    def end(self, part: Part) -> None:
        """It ends."""
        if self._sink is not None:
            self._sink.end(part)


def read_package(
    source: BinaryIO | bytes, *, limits: Limits | None = None, sink: PartSink | None = None
) -> Package:
    """
    Read received bytes to their end, handing decoded attachments to `sink`.

    Raises:
        Unreadable: they are no edXML message. Exceptions of `source` and `sink` pass through.
    """
    heads = HeadSink(sink)
    try:
        skeleton = read_skeleton(source, limits=limits, sink=heads)
    except MessageError as error:
        raise Unreadable((_of_message_error(error),)) from error
    return Package(skeleton=skeleton, reading=read_message(skeleton, heads=heads.heads))


def read_message(skeleton: Skeleton, *, heads: Mapping[int, bytes] | None = None) -> Reading:
    """
    Read a message out of its skeleton. `heads` are the first bytes of each part, from a `HeadSink`.

    Raises:
        Unreadable: it is no edXML message.
    """
    try:
        root = skeleton.tree()
        parts = {element: part for element, part in skeleton.contents(root)}  # noqa: C416 - a typed dict of tuples
    except MessageError as error:
        raise Unreadable((_of_message_error(error),)) from error
    notes = Notes()
    if skeleton.oddities.bom:
        notes.add(f.BOM, "/")
    trailing = skeleton.xml[len(skeleton.xml) - skeleton.oddities.trailing_whitespace :]
    if trailing.strip(b"\n"):
        notes.add(f.TRAILING_SPACE, "/")
    reader = _Reader(notes=notes, parts=parts, heads=heads or {})
    reading = _reading(notes, reader.root(root))
    return replace(reading, oddities=(*_structure(root), *reading.oddities))


def read_signed_header(
    header_c14n: bytes,
    *,
    bussiness_c14n: bytes | None = None,
    body_c14n: bytes | None = None,
    attachments: Iterable[Attachment] = (),
) -> Reading:
    """
    The message that a verified signature covers, from the canonical bytes the verifier returned.

    From here on only this counts: no trace header, and of a `Bussiness` that was not signed nothing at all. Names,
    types and order of the attachments are those of the signed manifest; `attachments` lend the facts of the bytes
    that the verifier has matched with it.

    Raises:
        Unreadable: the signed parts make no message.
    """
    notes = Notes()
    reader = _Reader(notes=notes, parts={}, heads={})
    trees = [_canonical(part) for part in (header_c14n, bussiness_c14n, body_c14n)]
    return _reading(
        notes, reader.signed(trees[0], bussiness=trees[1], body=trees[2], attachments=attachments)
    )


def _reading(notes: Notes, message: Message) -> Reading:
    notes.stop_if_refused()
    return Reading(message=message, oddities=notes.all())


def _structure(root: etree._Element) -> Iterable[f.Finding]:
    for error in schema(SchemaName.WIRE).errors(root):
        yield f.finding(f.SCHEMA, error.path, cause=error.en, cause_vi=error.vi)


def _canonical(part: bytes | None) -> etree._Element | None:
    if part is None:
        return None
    try:
        return read_skeleton(part).tree()
    except MessageError as error:
        raise Unreadable((_of_message_error(error),)) from error


def _of_message_error(error: MessageError) -> f.Finding:
    kind = _KIND_OF_MESSAGE_ERROR.get(error.reason, f.NOT_XML)
    said = EXPLANATIONS[error.reason]
    vi, en = _CAUSES.get(error.reason, (said.vi.rstrip("."), said.en.rstrip(".")))
    if error.detail:
        detail_vi = error.detail
        for pattern, translated in _DETAILS_VI:
            detail_vi = pattern.sub(translated, detail_vi)
        vi, en = f"{vi} ({detail_vi})", f"{en} ({error.detail})"
    return f.finding(kind, "/", cause=en, cause_vi=vi)


class _Reader(Walk):
    """One walk over a tree. Methods are named after the elements they read, from the root down."""

    def __init__(
        self, *, notes: Notes, parts: Mapping[etree._Element, Part], heads: Mapping[int, bytes]
    ) -> None:
        super().__init__(notes=notes)
        self._parts = parts
        self._heads = heads
        self._contents_seen = 0

    # The outer structure.

    def root(self, element: etree._Element) -> Message:
        self._check_root(element)
        self.notes.stop_if_refused()
        root = Node(element=element, name="edXML")
        self.look(root, {"edXMLEnvelope", "AttachmentEncoded"})
        envelope = self._required(root, "edXMLEnvelope")
        header_node = None
        if envelope is not None:
            self.inside_envelope = True
            self.look(envelope, {"edXMLHeader", "edXMLBody"})
            header_node = self._required(envelope, "edXMLHeader")
        self.order(root, ("edXMLEnvelope", "AttachmentEncoded"))
        message_header = trace_list = None
        if header_node is not None and envelope is not None:
            self.order(envelope, ("edXMLHeader", "edXMLBody"))
            self.look(header_node, set(_HEADER_ORDER))
            self.order(header_node, _HEADER_ORDER)
            self._signature(header_node)
            message_header = self._required(header_node, "MessageHeader")
            trace_list = header_node.one("TraceHeaderList")
        self.notes.stop_if_refused()
        if message_header is None or envelope is None:
            raise AssertionError("a missing header is a problem that stops the reading")
        message = self._message(
            message_header, trace_list, body=envelope.one("edXMLBody"), encoded=root.one("AttachmentEncoded")
        )
        if self._contents_seen != len(self._parts):
            self.notes.add(f.STRAY_CONTENT, root)
        return message

    def signed(
        self,
        header: etree._Element | None,
        *,
        bussiness: etree._Element | None,
        body: etree._Element | None,
        attachments: Iterable[Attachment],
    ) -> Message:
        if header is None or header.tag != f"{{{NAMESPACE}}}MessageHeader":
            self.notes.add(f.ELEMENT_MISSING, "/MessageHeader", name="MessageHeader")
            self.notes.stop_if_refused()
            raise AssertionError("unreachable")
        self.inside_envelope = True
        node = Node(element=header, name="MessageHeader")
        body_node = None if body is None else Node(element=body, name="edXMLBody")
        message = self._message(node, None, body=body_node, encoded=None)
        if isinstance(message, Status):
            return message
        facts = {attachment.key: attachment for attachment in attachments}
        signed = tuple(_signed_attachment(line, facts.get(line.key)) for line in message.manifest)
        meaning = None
        if bussiness is not None:
            meaning = self._bussiness(Node(element=bussiness, name="Bussiness"))
        return replace(message, bussiness=meaning, attachments=signed)

    def _check_root(self, element: etree._Element) -> None:
        namespace, name = split(element.tag)
        if namespace in _SOAP:
            self.notes.add(f.SOAP_FORM, "/")
        elif namespace == _INVENTED or (name == "EdXMLEnvelope" and namespace != NAMESPACE):
            self.notes.add(f.INVENTED_FORM, "/")
        elif name != "edXML":
            self.notes.add(f.WRONG_ROOT, "/", found=name)
        elif namespace != NAMESPACE:
            self.notes.add(f.WRONG_NAMESPACE, "/", found=namespace)

    def _required(self, node: Node, name: str) -> Node | None:
        found = node.one(name)
        if found is None:
            self.notes.add(f.ELEMENT_MISSING, node, name=name)
        return found

    def _signature(self, header: Node) -> None:
        for node in (*header.all("Signature"), *header.all("DigitalSignature")):
            if len(node.element) == 0:
                self.notes.add(f.SIGNATURE_EMPTY, node, name=node.name)
            else:
                self.notes.add(f.SIGNATURE_NAMESPACE, node)

    # What the message is.

    def _message(
        self, header: Node, trace_list: Node | None, *, body: Node | None, encoded: Node | None
    ) -> Message:
        names = set(names_of(header.element))
        if "StatusCode" in names or (names & {"StaffInfo", "Timestamp"} and not names & {"To", "Subject"}):
            for other in (body, encoded):
                if other is not None and len(other.element):
                    self.notes.add(f.KIND_AMBIGUOUS, other, name=other.name)
            if trace_list is not None:
                self.notes.add(f.UNKNOWN_ELEMENT, trace_list, name=trace_list.name)
                empty(trace_list.element)
            self.notes.stop_if_refused()
            return self._status(header)
        if not names & {"To", "Subject", "DocumentId", "Code"}:
            self.notes.add(f.KIND_UNKNOWN, header)
            self.notes.stop_if_refused()
        return self._edoc(header, trace_list, body=body, encoded=encoded)

    def _status(self, header: Node) -> Status:
        self.look(header, set(_STATUS_ORDER))
        self.order(header, _STATUS_ORDER)
        answered = header.one("ResponseFor")
        staff = header.one("StaffInfo")
        return Status(
            sender=self._party(header.one("From")),
            response_for=None if answered is None else self._response_for(answered),
            staff=None if staff is None else self._staff(staff),
            status_code=self.text(header, "StatusCode"),
            description=self.text(header, "Description"),
            timestamp=self.time(header, "Timestamp"),
        )

    def _edoc(
        self, header: Node, trace_list: Node | None, *, body: Node | None, encoded: Node | None
    ) -> Edoc:
        self.look(header, set(ORDER), many={"To", "ResponseFor"})
        self.order(header, ORDER, _SDK_ORDER)
        traces: tuple[TraceHeader, ...] = ()
        bussiness = None
        if trace_list is not None:
            traces, bussiness = self._trace_list(trace_list)
        task = header.one("ResponseForTask")
        if task is not None:
            self.look(task, {"TaskCode"}, many={"TaskCode"})
        places = header.one("ToPlaces")
        if places is not None:
            self.look(places, {"Place"}, many={"Place"})
        manifest = self._manifest(body)
        self.inside_envelope = False
        return Edoc(
            sender=self._party(header.one("From")),
            receivers=tuple(self._party(node) for node in header.all("To")),
            document_id=self.text(header, "DocumentId"),
            code=self._code(header.one("Code")),
            promulgation=self._promulgation(header.one("PromulgationInfo")),
            document_type=self._document_type(header.one("DocumentType")),
            subject=self.text(header, "Subject"),
            content=self.text(header, "Content"),
            signer=self._signer(header.one("SignerInfo")),
            due_date=self.date(header, "DueDate"),
            to_places=self.texts(places, "Place"),
            other=self._other(header.one("OtherInfo")),
            responses=self._responses(header.all("ResponseFor")),
            steering_type=self.integer(header, "SteeringType"),
            task_codes=self.texts(task, "TaskCode"),
            application_type=self.text(header, "ApplicationType"),
            traces=traces,
            bussiness=bussiness,
            manifest=manifest,
            attachments=self._encoded(encoded),
        )

    # Parts of a header.

    def _party(self, node: Node | None) -> Party:
        if node is None:
            return Party()
        self.look(node, _PARTY)
        return Party(
            organ_id=self.organ_id(node),
            organization_in_charge=self.text(node, "OrganizationInCharge"),
            organ_name=self.text(node, "OrganName"),
            organ_add=self.text(node, "OrganAdd"),
            email=self.text(node, "Email"),
            telephone=self.text(node, "Telephone"),
            fax=self.text(node, "Fax"),
            website=self.text(node, "Website"),
        )

    def _code(self, node: Node | None) -> Code:
        if node is None:
            return Code()
        self.look(node, {"CodeNumber", "CodeNotation"})
        return Code(number=self.text(node, "CodeNumber"), notation=self.text(node, "CodeNotation"))

    def _promulgation(self, node: Node | None) -> PromulgationInfo:
        if node is None:
            return PromulgationInfo()
        self.look(node, {"Place", "PromulgationDate"})
        return PromulgationInfo(place=self.text(node, "Place"), date=self.date(node, "PromulgationDate"))

    def _document_type(self, node: Node | None) -> DocumentType:
        if node is None:
            return DocumentType()
        self.look(node, {"Type", "TypeDetail", "TypeName"})
        return DocumentType(
            type=self.integer(node, "Type"),
            type_detail=self.integer(node, "TypeDetail"),
            type_name=self.text(node, "TypeName"),
        )

    def _signer(self, node: Node | None) -> SignerInfo:
        if node is None:
            return SignerInfo()
        self.look(node, {"Competence", "Position", "FullName"})
        return SignerInfo(
            competence=self.text(node, "Competence"),
            position=self.text(node, "Position"),
            full_name=self.text(node, "FullName"),
        )

    def _other(self, node: Node | None) -> OtherInfo:
        if node is None:
            return OtherInfo()
        self.look(node, _OTHER)
        appendixes = node.one("Appendixes")
        if appendixes is not None:
            self.look(appendixes, {"Appendix"}, many={"Appendix"})
        return OtherInfo(
            priority=self.integer(node, "Priority"),
            sphere_of_promulgation=self.text(node, "SphereOfPromulgation"),
            typer_notation=self.text(node, "TyperNotation"),
            promulgation_amount=self.integer(node, "PromulgationAmount"),
            page_amount=self.integer(node, "PageAmount"),
            direction=self.flag(node, "Direction", expected="true | false"),
            appendixes=self.texts(appendixes, "Appendix"),
        )

    def _responses(self, nodes: list[Node]) -> tuple[ResponseFor, ...]:
        answers = tuple(self._response_for(node) for node in nodes)
        # Often present without any content: then it answers nothing.
        return tuple(answer for answer in answers if answer != ResponseFor())

    def _response_for(self, node: Node) -> ResponseFor:
        self.look(node, {"OrganId", "Code", "PromulgationDate", "DocumentId"})
        if not node.children:
            return ResponseFor()
        code = node.one("Code")
        divided = code is not None and bool(names_of(code.element))
        return ResponseFor(
            organ_id=self.organ_id(node, silent=True),
            code=self._code(code).written if divided else self.text(node, "Code"),
            promulgation_date=self.date(node, "PromulgationDate"),
            document_id=self.text(node, "DocumentId"),
        )

    def _staff(self, node: Node) -> StaffInfo:
        self.look(node, _STAFF)
        return StaffInfo(
            department=self.text(node, "Department"),
            department_id=self.text(node, "DepartmentId"),
            staff=self.text(node, "Staff"),
            staff_id=self.text(node, "StaffId"),
            email=self.text(node, "Email"),
            mobile=self.text(node, "Mobile"),
        )

    # Traces and the business of the message.

    def _trace_list(self, node: Node) -> tuple[tuple[TraceHeader, ...], Bussiness | None]:
        self.look(
            node,
            {"TraceHeader", "Bussiness", "Agency", "Feedback"},
            many={"TraceHeader"},
            spelling=spelling_of_the_format,
        )
        names = [spelling_of_the_format(name) for name in names_of(node.element)]
        if "Bussiness" in names and "TraceHeader" in names[names.index("Bussiness") :]:
            self.notes.add(f.BUSSINESS_FIRST, node)
        meaning = node.one("Bussiness")
        return (
            tuple(self._trace(hop) for hop in node.all("TraceHeader")),
            None if meaning is None else self._bussiness(meaning),
        )

    def _trace(self, node: Node) -> TraceHeader:
        self.look(node, {"OrganId", "Timestamp"})
        return TraceHeader(organ_id=self.organ_id(node), timestamp=self.time(node, "Timestamp"))

    def _bussiness(self, node: Node) -> Bussiness:
        self.look(node, _BUSSINESS, spelling=spelling_of_the_format)
        changes = node.one("BussinessDocumentInfo")
        staff = node.one("StaffInfo")
        return Bussiness(
            type=self._business_type(node),
            reason=self.text(node, "BussinessDocReason"),
            document_id=self.text(node, "DocumentId"),
            paper=self.flag(node, "Paper", expected="0 | 1"),
            changes=None if changes is None else self._changes(changes),
            replacements=self._replacements(node.one("ReplacementInfoList")),
            staff=None if staff is None else self._staff(staff),
        )

    def _business_type(self, node: Node) -> BusinessType:
        written = self.text(node, "BussinessDocType")
        if not written:
            self.notes.add(f.BUSSINESS_TYPE_MISSING, node)
            return BusinessType.NEW
        number = int(written) if INTEGER.fullmatch(written) else -1
        for kind in BusinessType:
            if kind == number:
                return kind
        self.notes.add(f.BUSINESS_TYPE, node.one("BussinessDocType") or node, found=written)
        return BusinessType.NEW

    def _changes(self, node: Node) -> BussinessDocumentInfo:
        self.look(node, {"DocumentInfo", "DocumentReceiver", "ReceiverList"})
        receivers = node.one("ReceiverList")
        if receivers is not None:
            self.look(receivers, {"Receiver"}, many={"Receiver"})
        return BussinessDocumentInfo(
            document_info=self.flag(node, "DocumentInfo", expected="0 | 1"),
            document_receiver=self.flag(node, "DocumentReceiver", expected="0 | 1"),
            receivers=()
            if receivers is None
            else tuple(self._receiver_change(item) for item in receivers.all("Receiver")),
        )

    def _receiver_change(self, node: Node) -> ReceiverChange:
        self.look(node, {"OrganId", "ReceiverType"})
        return ReceiverChange(organ_id=self.organ_id(node), receiver_type=self.integer(node, "ReceiverType"))

    def _replacements(self, node: Node | None) -> tuple[Replacement, ...]:
        if node is None:
            return ()
        self.look(node, {"ReplacementInfo"}, many={"ReplacementInfo"})
        return tuple(self._replacement(item) for item in node.all("ReplacementInfo"))

    def _replacement(self, node: Node) -> Replacement:
        self.look(node, {"DocumentId", "OrganIdList"})
        organs = node.one("OrganIdList")
        if organs is not None:
            self.look(organs, {"OrganId"}, many={"OrganId"})
        return Replacement(
            document_id=self.text(node, "DocumentId"),
            organ_ids=() if organs is None else tuple(self.leaf_code(item) for item in organs.all("OrganId")),
        )

    # The manifest and the attachments.

    def _manifest(self, body: Node | None) -> tuple[Reference, ...]:
        if body is None:
            return ()
        self.look(body, {"edXMLManifest"})
        manifest = body.one("edXMLManifest")
        if manifest is None:
            return ()
        self.look(manifest, {"Reference"}, many={"Reference"}, may_be_empty=True)
        return tuple(self._reference(node) for node in manifest.all("Reference"))

    def _reference(self, node: Node) -> Reference:
        self.look(node, {"ContentId", "ContentType", "Description", "AttachmentName"})
        content_id = self._content_id(node)
        link = node.element.get(f"{XLINK}href")
        if link is not None:
            if not content_id:
                content_id = link.strip(SPACE)
            elif content_key(link) != content_key(content_id):
                self.notes.add(f.CONTENT_ID_LINK, node)
        return Reference(
            content_id=content_id,
            content_type=self.text(node, "ContentType"),
            name=self.text(node, "AttachmentName"),
            description=self.text(node, "Description"),
        )

    def _encoded(self, node: Node | None) -> tuple[Attachment, ...]:
        if node is None:
            return ()
        self.unprefixed(node)
        self.look(node, {"Attachment"}, many={"Attachment"})
        return tuple(self._attachment(item) for item in node.all("Attachment"))

    def _attachment(self, node: Node) -> Attachment:
        self.unprefixed(node)
        self.look(node, _ATTACHMENT)
        content = node.one("ContentTransferEncoded")
        part = None
        if content is not None:
            self._contents_seen += 1
            self.attributes(content)
            part = self._parts.get(content.element)
        attachment = Attachment(
            content_id=self._content_id(node),
            name=self.text(node, "AttachmentName"),
            content_type=self.text(node, "ContentType"),
            description=self.text(node, "Description"),
        )
        for unused in ("FieldName", "MimeType", "Format"):
            self.text(node, unused)
        if part is None:
            return attachment
        seen = detect(self._heads.get(part.index, b""))
        return replace(
            attachment,
            part=part.index,
            size=part.size,
            sha256=Digest(part.sha256),
            problem=part.problem or "",
            detected_type=seen.media_type,
            zip_entry=seen.first_entry,
        )

    def _content_id(self, node: Node) -> str:
        content_id = self.text(node, "ContentId")
        if content_id and not _ONE_CONTENT_ID.fullmatch(content_id):
            self.notes.add(f.CONTENT_ID_FORM, node.one("ContentId") or node, found=content_id)
        return content_id


def _signed_attachment(line: Reference, facts: Attachment | None) -> Attachment:
    claimed = Attachment(
        content_id=line.content_id,
        name=line.name,
        content_type=line.content_type,
        description=line.description,
    )
    if facts is None:
        return claimed
    return replace(
        claimed,
        part=facts.part,
        size=facts.size,
        sha256=facts.sha256,
        problem=facts.problem,
        detected_type=facts.detected_type,
        zip_entry=facts.zip_entry,
    )
