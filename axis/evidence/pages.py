"""A bundle with its pages, as the one archive it makes."""

from __future__ import annotations

from axis.evidence.bundle import COVER, GUIDE, Bundle, seal
from axis.evidence.cover import cover_page
from axis.evidence.guide import guide_page


def pages_of(bundle: Bundle) -> dict[str, bytes]:
    """The members that are for people."""
    return {COVER: cover_page(bundle), GUIDE: guide_page(bundle)}


def archive_of(bundle: Bundle) -> bytes:
    """The zip."""
    return seal({**bundle.members(), **pages_of(bundle)})
