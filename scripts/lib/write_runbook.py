"""Write the failure codes of docs/ops-runbook.md from the catalogue, so that the words are the same everywhere."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from moonmind.domain.failures import CATALOGUE, Failure, FailureCode, FailureKind  # noqa: E402 - run by path

DOCUMENT = ROOT / "docs" / "ops-runbook.md"
BEGIN = "<!-- written by scripts/lib/write_runbook.py from moonmind/domain/failures.py -->"
_WHERE = {
    FailureKind.RUN: "It ends a run; `moonmind show RUN` and the run's page show it.",
    FailureKind.BUG: "It answers a request or ends a run; the log has the traceback.",
}
_ELSE = "It answers a request; nothing was changed by that request."


def render() -> str:
    """Return the section of all codes."""
    return "\n".join([BEGIN, "", *(_entry(code, failure) for code, failure in CATALOGUE.items())])


def _entry(code: FailureCode, failure: Failure) -> str:
    resume = f" A retry goes on with *{failure.resume.value}*." if failure.resume else ""
    return "\n".join(
        [
            f"### {code.value}",
            "",
            f"**{failure.title}.** {failure.cause}",
            "",
            f"*How to see it:* {_WHERE.get(failure.kind, _ELSE)}",
            "",
            f"*What to do:* {failure.remedy}{resume}",
            "",
        ]
    )


def main() -> None:
    """Replace the section in the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head = text[: text.index(BEGIN)]
    DOCUMENT.write_text(head + render(), encoding="utf-8")
    print(f"wrote {len(CATALOGUE)} codes to {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
