"""
A big platform for demonstrations: Hà Nội with 22 departments, 30 districts and 584 communes below it, as in 2019.

The numbers are real, so are the districts' names; codes and communes are made up and marked so (`demo`). A document to
all of them is one document, 636 deliveries and one consignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from axis.flow.organ_import import OrganRow

HANOI: Final = "H26"
COMMUNES: Final = 584

_DEPARTMENTS: Final = (
    "Văn phòng Ủy ban nhân dân",
    "Sở Công Thương",
    "Sở Du lịch",
    "Sở Giáo dục và Đào tạo",
    "Sở Giao thông vận tải",
    "Sở Kế hoạch và Đầu tư",
    "Sở Khoa học và Công nghệ",
    "Sở Lao động - Thương binh và Xã hội",
    "Sở Ngoại vụ",
    "Sở Nội vụ",
    "Sở Nông nghiệp và Phát triển nông thôn",
    "Sở Quy hoạch - Kiến trúc",
    "Sở Tài chính",
    "Sở Tài nguyên và Môi trường",
    "Sở Thông tin và Truyền thông",
    "Sở Tư pháp",
    "Sở Văn hóa và Thể thao",
    "Sở Xây dựng",
    "Sở Y tế",
    "Ban Dân tộc",
    "Ban Quản lý các khu công nghiệp và chế xuất",
    "Thanh tra thành phố",
)
_URBAN: Final = (
    "Ba Đình",
    "Bắc Từ Liêm",
    "Cầu Giấy",
    "Đống Đa",
    "Hà Đông",
    "Hai Bà Trưng",
    "Hoàn Kiếm",
    "Hoàng Mai",
    "Long Biên",
    "Nam Từ Liêm",
    "Tây Hồ",
    "Thanh Xuân",
)
_RURAL: Final = (
    "Ba Vì",
    "Chương Mỹ",
    "Đan Phượng",
    "Đông Anh",
    "Gia Lâm",
    "Hoài Đức",
    "Mê Linh",
    "Mỹ Đức",
    "Phú Xuyên",
    "Phúc Thọ",
    "Quốc Oai",
    "Sóc Sơn",
    "Thạch Thất",
    "Thanh Oai",
    "Thanh Trì",
    "Thường Tín",
    "Ứng Hòa",
)
_DISTRICTS: Final = (
    *(f"Quận {one}" for one in _URBAN),
    *(f"Huyện {one}" for one in _RURAL),
    "Thị xã Sơn Tây",
)


def hanoi_organs() -> tuple[OrganRow, ...]:
    """The 636 organs below Hà Nội, which itself is in the directory already."""
    return (*_departments(), *_districts(), *_communes())


def _departments() -> Iterator[OrganRow]:
    for number, name in enumerate(_DEPARTMENTS, start=1):
        yield _row(number, 0, f"{name} Hà Nội", kind="department")


def _districts() -> Iterator[OrganRow]:
    for number, name in enumerate(_DISTRICTS, start=len(_DEPARTMENTS) + 1):
        yield _row(number, 0, f"{name}, Hà Nội", kind="district")


def _communes() -> Iterator[OrganRow]:
    each, more = divmod(COMMUNES, len(_DISTRICTS))
    for position, district in enumerate(_DISTRICTS):
        kind, word = ("ward", "Phường") if district.startswith("Quận") else ("commune", "Xã")
        for number in range(1, each + (position < more) + 1):
            name = f"{word} số {number}, {district}, Hà Nội"
            yield _row(len(_DEPARTMENTS) + 1 + position, number, name, kind=kind)


def _row(unit: int, commune: int, name: str, *, kind: str) -> OrganRow:
    below = f".{commune:02d}" if commune else ""
    return OrganRow(
        code=f"{HANOI}.{unit:02d}{below}",
        code_102=f"000.{commune:02d}.{unit:02d}.{HANOI}",
        name=name,
        kind=kind,
        confidence="demo",
        parent=f"{HANOI}.{unit:02d}" if commune else HANOI,
    )
