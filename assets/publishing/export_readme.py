"""What an export's folder says of itself."""

from typing import Any

from pairwright.assets.publishing.formats.base import Format


def readme(stamp: dict[str, Any], form: Format) -> str:
    """What the folder holds and what the format could not take along."""
    left = sum(stamp["left_out"].values())
    files = [f"- `{name}`: {one['rows']:,} rows" for name, one in stamp["files"].items()]
    return "\n".join(
        [
            "---",
            f"pretty_name: {stamp['dataset']} {stamp['version']} as {form.name}",
            "---",
            f"# {stamp['dataset']} {stamp['version']} as {form.name}",
            "",
            *files,
            "",
            "Not in this format:",
            "",
            *(f"- {lost}" for lost in form.loses()),
            "",
            f"Rows of the release left out for that reason: {left:,}.",
            "",
            *_told_of_typed(stamp),
        ]
    )


def _told_of_typed(stamp: dict[str, Any]) -> list[str]:
    """Of a release that holds more than texts: what rows would have needed that were left out, and lost reasoning."""
    told = [f"- {count:,} rows for their {what}" for what, count in stamp.get("lacking", {}).items()]
    lines = ["Of these, for want of a place (a row may count more than once):", "", *told, ""] if told else []
    if stamp.get("reasoning_stripped"):
        count = stamp["reasoning_stripped"]
        lines += [f"The reasoning of {count:,} rows was left out; `reasoning: think-tags` keeps it in the text.", ""]
    return lines
