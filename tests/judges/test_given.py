"""Judges that read what sources say: labels and scores become verdicts as they stand, and what is none says why."""

import polars as pl

from pairwright.judges.label import Label
from pairwright.judges.per_response import per_response
from pairwright.judges.score import Score
from pairwright.schemas.ids import digest
from pairwright.schemas.paid_tables import Comparisons, Scores
from pairwright.schemas.tables import check

P, (A, B, C) = digest("p"), sorted(digest(one) for one in "abc")
TYPES = {
    **dict.fromkeys(("prompt_id", "response_a", "response_b", "annotator"), pl.String),
    "p_a": pl.Float64,
    "failure": pl.String,
}
RESPONSES = pl.DataFrame({"prompt_id": [P] * 3, "response_id": [A, B, C]})


def said(*rows: tuple[str, str, str, float | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame([(P, *row) for row in rows], TYPES, orient="row")


def test_the_share_of_annotators_is_the_verdict() -> None:
    labels = said((A, B, "x", 1.0, None), (A, B, "y", 0.5, None), (A, B, "z", None, "no"), (A, C, "x", 0.0, None))
    rows = check(Label().verdicts(labels, RESPONSES), Comparisons)
    assert rows.select("response_b", "p_a", "confidence", "failure", "raw").rows() == [
        (B, 0.75, 0.5, None, "x: 1.0, y: 0.5"),
        (C, 0.0, None, None, "x"),
    ]
    mine = Label(annotators=["y"]).verdicts(labels, RESPONSES)
    assert mine.select("response_b", "p_a").rows() == [(B, 0.5)]


def test_a_label_that_is_none_is_a_failure() -> None:
    rows = check(Label().verdicts(said((A, B, "x", None, "label 'c' is unknown")), RESPONSES), Comparisons)
    assert rows.select("p_a", "failure").rows() == [(None, "label 'c' is unknown")]
    scores = per_response(Label(), rows.lazy(), RESPONSES.lazy()).collect()
    assert scores.get_column("score").null_count() == 3
    assert scores.get_column("failure").to_list()[:2] == ["label 'c' is unknown"] * 2


def test_responses_without_a_score_say_so() -> None:
    types = {
        **dict.fromkeys(("prompt_id", "response_id", "name"), pl.String),
        "score": pl.Float64,
        "failure": pl.String,
    }
    given = [(P, A, "rm", 2.0, None), (P, B, "rm", None, "it is nan"), (P, C, "other", 1.0, None)]
    rows = check(Score(of="rm").verdicts(pl.DataFrame(given, types, orient="row"), RESPONSES), Scores)
    told = [(2.0, None), (None, "it is nan"), (None, "the source gives no score")]
    assert rows.select("score", "failure").rows() == told
    assert Score(of="rm").fingerprint != Score(of="other").fingerprint
