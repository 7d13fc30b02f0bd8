"""Texts that speak to the judge rather than to the user: a sign to look twice, never a verdict."""

import polars as pl

_ORDERS = r"(?:ignore|disregard|forget|override)"
_OBEYED = r"(?:above|previous|prior|earlier|instructions?|rubric|criteria|system prompt|rules)"
_MINE = r"(?:this|my|the (?:first|second|other|following)) (?:response|answer|output|assistant)"
_PRAISE = r"(?:win|be (?:chosen|preferred|ranked|rated)|best|highest|full marks|score|5)"
_SAY = r"(?:answer|output|choose|pick|select|vote|reply|respond|rate|say|print|verdict is)"
_LABEL = r"(?:(?-i:A|B)|first|second|10|5|\[\[[ab]\]\])"
_JUDGE = r"(?:judge|grader|evaluator|rater|reviewer)s?"
_SPEAKS_TO_JUDGE = "|".join(
    [
        rf"\b{_ORDERS}\b.{{0,40}}\b{_OBEYED}\b",
        rf"\b{_MINE}\b.{{0,40}}\b(?:must|should|has to|deserves)\b.{{0,30}}\b{_PRAISE}\b",
        rf"\b{_SAY}\b[ :\"'\[(]{{1,4}}(?:response |output |with )?\"?{_LABEL}\b[\"')\]]?",
        r"\"?(?:verdict|winner|rating|ranking|score|ratings)\"?\s*[:=]\s*[\"\[{(]?\s*[\"']?\w",
        r"\b(?:begin|end) (?:of )?(?:response|conversation|reference|output|answer)\b",
        r"</?(?:response|output|answer|assistant|system|user|verdict|judge|instructions?)\b[^>]*>",
        r"<\|(?:im_start|im_end|system|user|assistant|end|eot_id|start_header_id)\|?>?|\[/?inst\]|<<sys>>",
        rf"\b(?:dear|attention|note to|message to|hey|as an?|you are (?:an?|the|now)) (?:ai )?{_JUDGE}\b",
        r"\b(?:system|developer|admin(?:istrator)?)(?: message| override| note| prompt|:)",
        r"\{\{.*\}\}|\{%.*%\}",
    ]
)


def speaks_to_judge(text: pl.Expr) -> pl.Expr:
    """Whether a text reads as if it were written for a judge."""
    return text.str.contains(f"(?is){_SPEAKS_TO_JUDGE}")
