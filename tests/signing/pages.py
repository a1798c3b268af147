"""
Writes the parts of the documentation of `signing` that follow from its code: `python -m tests.signing.pages`.

    docs/signing-reasons.md    every reason, its rule, its words, and the messages that make it happen
"""

from pathlib import Path

from signing.pdf import PdfReason, explain
from signing.reasons import EXPLANATIONS, Reason
from tests.signing.vectors import VECTORS

FOLDER = Path(__file__).parents[2] / "docs"


def reasons_page() -> str:
    """The table of reasons."""
    lines = [
        "<!-- Written by `python -m tests.signing.pages`; changes made here are overwritten. -->",
        "",
        "# What a verdict can say · Kết quả kiểm tra chữ ký",
        "",
        (
            "One reason for each verdict: the first rule that is broken ([the rules](signing.md#the-rules)). A code is"
            " never renamed or reused. The messages in the last column are built and judged by"
            " `tests/signing/test_vectors.py`; each tells its attack there."
        ),
        "",
        "| code | rule | what it says | messages that make it happen |",
        "|---|---|---|---|",
    ]
    for reason in Reason:
        text = EXPLANATIONS[reason]
        vectors = [vector.name.replace("_", " ") for vector in VECTORS if vector.reason is reason]
        rule = str(text.rule) if text.rule else ""
        lines.append(f"| `{reason.value}` | {rule} | {text.en}<br>{text.vi} | {'; '.join(vectors) or '—'} |")
    by_rule = {vector.rule for vector in VECTORS}
    closing = (
        f"{len(VECTORS)} messages, {len(by_rule)} rules. The other rules refuse nothing by themselves (19, 20) or are"
        " applied by the hub (28, 29)."
    )
    lines += ["", closing, "", *_inside_attachments()]
    return "\n".join(lines)


def _inside_attachments() -> list[str]:
    lines = [
        "## Signatures inside attachments · Chữ ký trong tệp đính kèm",
        "",
        "Codes of chains and revocation are those above.",
        "",
        "| code | what it says |",
        "|---|---|",
    ]
    for code in PdfReason:
        text = explain(code)
        lines.append(f"| `{code.value}` | {text.en}<br>{text.vi} |")
    return [*lines, ""]


def main() -> None:
    """Write them."""
    (FOLDER / "signing-reasons.md").write_text(reasons_page(), "utf-8")


if __name__ == "__main__":
    main()
