"""What the public rendering withholds decides nothing in it: no claim, condition, name or number.

Each case changes one thing that disclosure control withholds. The public evaluation stays the same, so
the whole report and its page must stay the same to the byte, while the custodian's change.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest

from synthvae.evaluation.results import Evaluation, Margin, PairDistance, Score, Threshold, Topic
from synthvae.report import page_of
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import ACRO
from synthvae.report.document import Report, custodian_report, public_report
from tests.report import report_example as example

Change = Callable[[Evaluation], Evaluation]
ROWS, HELD = 5652, 1413
LIMIT = Threshold(good=0.05, poor=0.1, basis="steward-set", source="what the course needs")


def margin(column: str, train: tuple[int, ...], holdout: tuple[int, ...]) -> Margin:
    return Margin(
        column=column, kind="category", labels=tuple("abcdef"[: len(train)]),
        train=tuple(count / sum(train) for count in train),
        holdout=tuple(count / sum(holdout) for count in holdout),
        synthetic=tuple(1 / len(train) for _ in train), distance=0.05, holdout_distance=0.05,
    )  # fmt: skip


def figure(key: str, topic: Topic, value: float) -> Score:
    found = example.score(key, topic, f"Figure {key}", value, threshold=LIMIT)
    return found.model_copy(update={"interval": None})


@cache
def base() -> Evaluation:
    """An evaluation with a withheld column, a small cell, groups, and figures that are withheld."""
    found = example.evaluation(6)
    margins = (
        *found.margins,
        margin("seldom", (ROWS - 7, 7), (10, HELD - 10)),  # no cell is in both tables
        margin("site", (3010, 2639, 3), (700, 700, 13)),
    )
    scores = (
        *found.scores,
        figure("associations", "fidelity", 0.0496),
        figure("tails", "fidelity", 0.01),
        figure("group_tvd1", "fidelity", 0.01),
        figure("tstr.seldom.linear", "utility", 0.7),
        figure("attack.domias.tpr", "privacy", 0.01),
        figure("sdmetrics_diagnostic", "validity", 0.99),
        figure("all_targets", "utility", 0.9),  # of columns of which some are withheld
        figure("group_tstr.seldom", "utility", 0.02),
    )
    # The last two are as far off by what is published, and only one of them may be listed.
    pairs = sorted(found.worst_pairs, key=lambda pair: -pair.distance)
    last = PairDistance(columns=("age", "cost"), distance=0.0401, holdout_distance=0.03)
    tables = found.tables.model_copy(update={"columns": 8, "most_rows": 1})
    return found.model_copy(
        update={
            "margins": margins,
            "scores": scores,
            "worst_pairs": (*pairs, last),
            "tables": tables,
        }
    )


def change_score(key: str, **update: object) -> Change:
    def change(one: Evaluation) -> Evaluation:
        scores = tuple(s.model_copy(update=update) if s.key == key else s for s in one.scores)
        return one.model_copy(update={"scores": scores})

    return change


def change_margin(column: str, **update: object) -> Change:
    def change(one: Evaluation) -> Evaluation:
        found = tuple(m.model_copy(update=update) if m.column == column else m for m in one.margins)
        return one.model_copy(update={"margins": found})

    return change


def change_first(name: str, place: int = 0, **update: object) -> Change:
    """Change one of the attacks, risks, groups, analyses or pairs."""

    def change(one: Evaluation) -> Evaluation:
        found = list(getattr(one, name))
        found[place] = found[place].model_copy(update=update)
        return one.model_copy(update={name: tuple(found)})

    return change


def change_field(**update: object) -> Change:
    return lambda one: one.model_copy(update=update)


def more_rows(one: Evaluation) -> Evaluation:
    """Let train have some more rows, within a step, and each cell as many as before."""
    rows = ROWS + 5
    margins = tuple(
        m.model_copy(update={"train": tuple(share * ROWS / rows for share in m.train)})
        for m in one.margins
    )
    tables = one.tables.model_copy(update={"train_rows": rows, "train_patients": rows})
    return one.model_copy(update={"margins": margins, "tables": tables})


SITE = margin("site", (3006, 2639, 7), (700, 700, 13))


class Case(NamedTuple):
    """A change of something that is withheld; whether the custodian's decision rests on it."""

    change: Change
    decides: bool = False


def without_score(key: str) -> Change:
    def change(one: Evaluation) -> Evaluation:
        return one.model_copy(update={"scores": tuple(s for s in one.scores if s.key != key)})

    return change


CASES = {
    "whether anybody in train has a category": Case(
        change_score("sdmetrics_diagnostic", value=0.96), decides=True
    ),
    "how well columns that are withheld can be predicted": Case(
        change_score("all_targets", value=0.5), decides=True
    ),
    "whether a group's outcome could be predicted": Case(without_score("group_tstr.seldom")),
    "a group's figure": Case(change_first("groups", 1, value=0.9), decides=True),
    "a group's name and patients": Case(
        change_first("groups", 0, group="unheard-of", patients=3), decides=True
    ),
    "how well groups are served": Case(
        change_field(groups=tuple(
            g.model_copy(update={"value": g.reference, "interval": None}) for g in base().groups
        )),
        decides=True,
    ),
    "all groups": Case(change_field(groups=()), decides=True),
    "the worst group's score": Case(change_score("group_tvd1", value=0.9)),
    "the worst group's score did not run": Case(
        change_score("group_tvd1", value=None, not_run="fewer than 30 patients in ward 7 (3)"),
        decides=True,
    ),
    "a small cell": Case(change_margin("site", train=SITE.train)),
    "rows of train": Case(more_rows, decides=True),
    "rows of a patient": Case(change_field(tables=base().tables.model_copy(update={"most_rows": None}))),
    "notes": Case(change_field(notes=("Few rows (the holdout has 7).",))),
    "the ends of distributions": Case(change_score("tails", value=0.9), decides=True),
    "the ends of distributions did not run": Case(
        change_score("tails", value=None, not_run="three patients have a value"), decides=True
    ),
    "members found at few false alarms": Case(
        change_first("attacks", tpr_at=((0.01, 0.9, example.interval(0.85, 0.95)),)), decides=True
    ),
    "their score": Case(change_score("attack.domias.tpr", value=0.9), decides=True),
    "the distance of a withheld column": Case(
        change_margin("seldom", distance=0.4), decides=True
    ),
    "the exact distance of a column": Case(change_margin("site", distance=0.4), decides=True),
    "digits beyond the grid": Case(change_score("associations", value=0.0504), decides=True),
    "a detail": Case(change_score("tvd1", detail="Three patients of ward 7.")),
    "how an interval was computed": Case(
        change_score(
            "tvd1", interval=example.interval(0.019, 0.023, "jackknife over 13 groups of patients")
        )
    ),
    "an area's interval": Case(
        change_first(
            "attacks", 2,
            auc_interval=base().attacks[2].auc_interval.model_copy(
                update={"method": "Newcombe's method 5"}
            ),
        )
    ),
    "whether a target without patients could be predicted": Case(
        change_score("tstr.seldom.linear", value=None, not_run="has one class only"), decides=True
    ),
    "why an analysis did not run": Case(
        change_first("analyses", 2, not_run="one patient died"), decides=True
    ),
    "whether an analysis ran": Case(
        change_first("analyses", 1, curves=(), synthetic_rows=0, not_run="nobody died"),
        decides=True,
    ),
    "rows of an analysis": Case(change_first("analyses", 0, real_rows=5651)),
    "effects within subgroups": Case(
        change_first("analyses", 0, subgroups=()), decides=True
    ),
    "a score of effects within subgroups": Case(
        change_score("subgroup_conclusions.death", value=None, not_run="nobody"), decides=True
    ),
    "a product of terms": Case(
        change_first(
            "analyses", 0,
            coefficients=(
                *base().analyses[0].coefficients,
                example.coefficient("a × b", 0.4, 0.3).model_copy(update={"interaction": True}),
            ),
        ),
        decides=True,
    ),
    "whether a triple stands out": Case(
        lambda one: without_score("three_way")(
            one.model_copy(
                update={"three_way": one.three_way and one.three_way.model_copy(
                    update={"standing_out": 0, "worst": ()}
                )}
            )
        ),
        decides=True,
    ),
    "which of two equal pairs is listed": Case(
        change_first("worst_pairs", -1, columns=("sex", "cost"), distance=0.0399)
    ),
    "tables of pairs": Case(change_field(pair_tables=())),
    "principal components": Case(change_field(components=None)),
    "right guesses within a step": Case(
        change_first("risks", 0, success=289 / 700, gain=289 / 700 - 0.405), decides=True
    ),
    "detail of a guess": Case(change_first("risks", 0, detail="Ward 7 is guessed.")),
}  # fmt: skip


def reports(evaluation: Evaluation) -> tuple[Report, Report]:
    full = custodian_report(evaluation, example.guarantee(), context=example.context(6))
    return full, public_report(full, ACRO)


@cache
def base_page() -> str:
    return page_of(reports(base())[1])


@pytest.mark.parametrize("name", CASES)
def test_what_is_withheld_changes_no_byte_of_the_public_rendering(name: str) -> None:
    case = CASES[name]
    other = case.change(base())
    assert other != base()
    assert for_public(other, ACRO) == for_public(base(), ACRO)  # what the case is about
    (full, public), (full_before, before) = reports(other), reports(base())
    assert (full.decision != full_before.decision) == case.decides
    assert public.to_json() == before.to_json()
    assert public == before  # so a page of it is the same to the byte


def test_equal_reports_of_different_evaluations_make_the_same_page() -> None:
    pages = [page_of(reports(case.change(base()))[1]) for case in list(CASES.values())[:3]]
    assert set(pages) == {base_page()}


def test_the_training_curve_changes_no_byte_either() -> None:
    with_curve = custodian_report(
        base(), example.guarantee(), example.training(), example.context(6)
    )
    assert public_report(with_curve, ACRO).to_json() == reports(base())[1].to_json()


def test_no_claim_is_green_where_a_figure_is_withheld() -> None:
    full, public = reports(base())
    assert full.decision.claim("attacks").level == "green"
    for key in ("attacks", "fidelity", "utility"):
        claim = public.decision.claim(key)
        assert claim.level in ("amber", "red")
    assert "withheld" in public.decision.claim("attacks").reason
    assert public.decision.claim("groups").level == "open"
    assert public.decision.claim("subgroups").level == "open"
    assert "groups of real patients are withheld" in public.decision.claim("groups").reason
    assert any("the custodian’s copy may judge otherwise" in n for n in public.evaluation.notes)


def test_withheld_columns_are_named_as_such_and_in_no_condition() -> None:
    worse = change_margin("seldom", distance=0.4)(base())
    full, public = reports(worse)
    assert any("seldom" in condition for condition in full.decision.conditions)
    assert not any("seldom" in condition for condition in public.decision.conditions)
    named = [note for note in public.evaluation.notes if "seldom" in note]
    assert named == [
        "1 column withheld, as no cell has a whole step of rows in both real tables: seldom."
    ]


def test_columns_not_to_be_used_are_those_whose_published_distance_is_large() -> None:
    far = margin("far", (3000, 2652), (750, 663)).model_copy(update={"synthetic": (0.1, 0.9)})
    one = base().model_copy(update={"margins": (far,)})  # whose exact distance is said to be small
    full, public = reports(one)
    assert not any("far from" in condition for condition in full.decision.conditions)
    assert any("real rows: far." in condition for condition in public.decision.conditions)


@pytest.mark.parametrize("rendering", [0, 1], ids=["custodian", "public"])
def test_a_predictable_split_is_a_condition_of_both_renderings(rendering: int) -> None:
    for predictable in (True, False):
        context = example.context(6).model_copy(update={"split_is_predictable": predictable})
        full = custodian_report(example.few_figures(6), example.guarantee(), context=context)
        report = (full, public_report(full, ACRO))[rendering]
        said = (*report.decision.conditions, page_of(report))
        found = ["follows from test_split_seed" in text for text in said]
        assert (any(found[:-1]), found[-1]) == (predictable, predictable)
