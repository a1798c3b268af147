"""VERIFY.md: how anybody verifies a bundle, with exact commands; made from the bundle and compared like everything else."""

from __future__ import annotations

from axis.evidence.bundle import Bundle

_TEXT = """\
# Kiểm tra gói chứng cứ này · How to verify this bundle

Gói này kiểm tra được trên một máy tính bất kỳ, không cần mạng, không cần Trục, không cần tin đơn vị vận hành.
*This bundle verifies on any computer, without a network, without the axis, without trusting whoever runs it.*

Cần có từ trước, **lấy từ nguồn mà bạn tin** (không lấy từ gói này) · What you need beforehand, **from a source you trust**:

- `axis-keys.txt`: khóa công khai của nhật ký `{log}`, mỗi dòng `log <khóa>` hoặc `receipts <khóa>`
  *(the public keys of the log; a station that witnesses it has them, `axis evidence keys` prints them)*
- `roots.pem`: chứng thư gốc của cơ quan cấp chứng thư và của dịch vụ cấp dấu thời gian
  *(root certificates of the certificate and timestamp authorities)*

## 1. Một lệnh · One command

    axis evidence verify bundle.zip --trust axis-keys.txt --trust roots.pem

0: đúng · *verified*. 1: sai, nêu rõ bước nào · *refused, naming the step*. 3: có phần chưa kiểm tra được · *something
could not be judged with what was trusted*.

## 2. Không có phần mềm của chúng tôi · Without our package

`verify.py` là một tệp Python ngắn, chỉ cần thư viện `cryptography`; đọc nó trước khi chạy.
*`verify.py` is one readable file that needs `cryptography` only; read it before you run it. `axis evidence verifier`
writes it; it is published with the source of the axis (`axis/evidence/verify.py`).*

    python3 -m venv venv
    venv/bin/pip install cryptography
    venv/bin/python verify.py bundle.zip --keys axis-keys.txt

## 3. Bằng tay · By hand

    unzip -q bundle.zip -d bundle && cd bundle
    sha256sum --check --strict SHA256SUMS

Một bản ghi là một lá của nhật ký (RFC 9162) · *the leaf hash of a record*:

    (printf '\\000'; cat {record}) | openssl dgst -sha256

Chữ ký của điểm kiểm tra, với khóa `log` trong `axis-keys.txt` · *the signature of the checkpoint*:

    KEY=$(sed -n 's/^log [^+]*+[^+]*+//p' ../axis-keys.txt | head -n 1)
    (printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'; printf %s "$KEY" | openssl base64 -d -A | tail -c 32) > log.der
    head -n 3 checkpoint.txt > signed.txt
    sed -n '5s/.* //p' checkpoint.txt | openssl base64 -d -A | tail -c 64 > signature.bin
    openssl pkeyutl -verify -pubin -keyform DER -inkey log.der -rawin -in signed.txt -sigfile signature.bin
{timestamp}
## Chứng minh được gì · What it proves

- Các bản ghi trong `records/` đứng trong nhật ký, đúng từng byte, khi nhật ký có {size} bản ghi.
  *The records stood in the log, byte for byte, when it had {size} records.*
- Bản gốc của văn bản là các byte có SHA-256 nêu trong bản ghi. *The document is the bytes with the SHA-256 in its record.*
- Gói không chứng minh rằng ngoài các bản ghi này không có gì khác. *It does not prove that nothing else happened: ask
  for a newer bundle, and compare the numbers of deliveries between two organs, which have no gaps.*
"""

_TIMED = """
Dấu thời gian RFC 3161 của điểm kiểm tra: nhật ký đã như vậy trước thời điểm đó · *the log was so before that moment*:

    openssl ts -verify -in timestamp.tsr -data checkpoint.txt -CAfile ../roots.pem
    openssl ts -reply -in timestamp.tsr -text | grep 'Time stamp'
"""

_NOT_TIMED = """
Chưa có dấu thời gian RFC 3161 trong gói này · *there is no RFC 3161 timestamp in this bundle yet*.
"""


def guide_page(bundle: Bundle) -> bytes:
    """The page, of a bundle whose checkpoint can be read."""
    head = bundle.head
    record = f"records/{bundle.entries[0].name}.json" if bundle.entries else "records/000000000000.json"
    return _TEXT.format(
        log=head.origin,
        record=record,
        size=head.size,
        timestamp=_TIMED if bundle.timestamp is not None else _NOT_TIMED,
    ).encode()
