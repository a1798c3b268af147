"""
The rows of the VXP gateway's lists: what waits for a system, and what it has sent.
"""

from __future__ import annotations

from typing import Any

from adapters.vxp_shelf import Item
from adapters.vxp_words import TRANSPORT, Transport, receive_desc, status_desc, written
from axis.core.exchange import Submitted, Whereabouts
from axis.core.model import Kind, SubmissionState

_SEND = {
    SubmissionState.HELD: Transport.PROCESSING,
    SubmissionState.REFUSED: Transport.FAIL,
    SubmissionState.ACCEPTED: Transport.DONE,
    SubmissionState.DUPLICATE: Transport.DONE,
}


def received_row(item: Item) -> dict[str, Any]:
    """A row of `getReceivedEdocList`."""
    header = item.document.header
    return {
        "docId": header.document,
        "serviceType": "eDoc",
        "messageType": header.kind.value,
        "created_time": written(header.sent_at),
        "updated_time": written(item.updated_at),
        "from": item.sender,
        "to": ",".join(one.code for one in header.deliveries),
        "status": item.transport.value,
        "status_desc": status_desc(header),
    }


def sent_rows(one: Submitted, where: Whereabouts | None, *, desc: str) -> list[dict[str, Any]]:
    """Rows of `getSentEdocList` for one submission: one for each receiver, or one without."""
    common = {
        "serviceType": "eDoc",
        "messageType": (one.kind or Kind.EDOC).value,
        "title": one.subject[:500],
        "notation": one.code[:100],
        "fromCode": one.sender,
        "senderDocId": one.submission,
        "receiverDocId": one.document or "",
        "sentTime": written(one.received_at),
        "sendStatus": _SEND[one.state].value,
        "sendStatusDesc": desc,
    }
    if where is None or not where.deliveries:
        return [
            {
                **common,
                "toCode": "",
                "receivedTime": "",
                "receiveStatus": Transport.INITIAL.value,
                "receiveStatusDesc": "",
            }
        ]
    return [
        {
            **common,
            "toCode": line.code,
            "receivedTime": written(line.at) if TRANSPORT[line.state] is Transport.DONE else "",
            "receiveStatus": TRANSPORT[line.state].value,
            "receiveStatusDesc": receive_desc(line.state, status=line.status, reason=line.reason),
        }
        for line in where.deliveries
    ]
