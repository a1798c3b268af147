"""
Receipts as the wire carries them, made by the batch signer of `signing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from axis.core.exchange import BatchSignature, Receipt
from signing.receipts import BatchReceiptSigner


class Seal:
    """Implements `axis.core.ports.ReceiptSigner`."""

    def __init__(self, signer: BatchReceiptSigner) -> None:
        self._signer = signer

    def sign(self, records: Sequence[bytes]) -> Sequence[Receipt]:
        """One receipt per record, in order: one signature for all of them."""
        return [
            Receipt(
                record=one.record,
                batch=BatchSignature(
                    index=one.batch.index,
                    size=one.batch.size,
                    path=one.batch.path,
                    root=one.batch.root,
                    key=one.batch.key,
                    signature=one.batch.signature,
                ),
            )
            for one in self._signer.sign(records)
        ]
