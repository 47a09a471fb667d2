from typing import Any

import pytest

from synthvae.attacks.shadow import SHADOW
from synthvae.evaluation.relations import UNDECLARED
from synthvae.evaluation.results import Direction, Evaluation, GroupFigure, Score, Threshold, Topic
from synthvae.levels import judge
from synthvae.privacy.guarantee import Guarantee
from synthvae.report.decision import CLAIMS, decide
from synthvae.report.phrases import ClaimKey, threshold_text
from tests.report import report_example as example


def limit(good: float, poor: float) -> Threshold:
    return Threshold(good=good, poor=poor, basis="steward-set", source="a reason")


def scored(
    topic: Topic = "fidelity",
    value: float | None = 0.02,
    direction: Direction = "lower",
    key: str = "x",
    **more: Any,
) -> Score:
    limits = more.pop("limits", (0.05, 0.1))
    return example.score(
        key, topic, "A score", value, direction=direction,
        threshold=None if limits is None else limit(*limits), **more,
    )  # fmt: skip


def quiet(**changes: Any) -> Evaluation:
    """Return an evaluation in which no attack found anything."""
    import numpy as np

    attack = example.attack("quiet", "Quiet", 0.0, np.random.default_rng(3)).model_copy(
        update={"auc": 0.5, "auc_interval": example.interval(0.48, 0.52)}
    )
    return example.evaluation(3, attacks=(attack,), **changes)


def level(
    key: ClaimKey, evaluation: Evaluation | None = None, guarantee: Guarantee | None = None
) -> str:
    return decide(evaluation or quiet(), guarantee or example.guarantee()).claim(key).level


@pytest.mark.parametrize(
    ("direction", "goal", "limits", "values"),
    [
        ("lower", None, (0.05, 0.1), (0.05, 0.1, 0.11)),
        ("higher", None, (0.9, 0.8), (0.9, 0.8, 0.79)),
        ("towards", 0.5, (0.05, 0.1), (0.45, 0.6, 0.39)),
    ],
)
def test_a_score_is_judged_by_its_own_threshold(
    direction: Direction, goal: float | None, limits: Any, values: Any
) -> None:
    scores = [
        scored(value=value, direction=direction, goal=goal, limits=limits) for value in values
    ]
    bare = [judge(score.model_copy(update={"interval": None})) for score in scores]
    assert bare == ["green", "amber", "red"]


@pytest.mark.parametrize(
    ("direction", "goal", "value", "ends", "expected"),
    [
        ("lower", None, 0.04, (0.01, 0.09), "green"),
        ("lower", None, 0.04, (0.01, 0.11), "amber"),
        ("lower", None, 0.15, (0.09, 0.2), "amber"),
        ("lower", None, 0.15, (0.11, 0.2), "red"),
        ("higher", None, 0.97, (0.89, 1.0), "amber"),
        ("higher", None, 0.5, (0.3, 0.95), "amber"),
        ("higher", None, 0.5, (0.3, 0.85), "red"),
        ("towards", 0.5, 0.7, (0.3, 0.9), "amber"),
        ("towards", 0.5, 0.7, (0.65, 0.9), "red"),
        ("towards", 0.5, 0.5, (0.35, 0.55), "amber"),
    ],
)
def test_in_doubt_a_person_should_look(
    direction: Direction, goal: float | None, value: float, ends: Any, expected: str
) -> None:
    limits = (0.95, 0.9) if direction == "higher" else (0.05, 0.1)
    score = scored(value=value, direction=direction, goal=goal, limits=limits)
    score = score.model_copy(update={"interval": example.interval(*ends)})
    assert judge(score) == expected


def test_what_has_no_threshold_or_did_not_run_is_never_a_pass() -> None:
    assert judge(scored(limits=None)) == "open"
    assert judge(scored(value=None, not_run="a reason")) == "open"
    assert threshold_text(scored(limits=None)) == ""


def test_every_claim_is_made_once_and_in_order() -> None:
    found = decide(example.evaluation(), example.guarantee(), example.context())
    assert [claim.key for claim in found.claims] == list(CLAIMS)
    assert all(claim.reason for claim in found.claims)
    assert found.asked.endswith("?")


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        ({}, "green", "within the ε = 1 that was asked"),
        ({"valid": False, "why_void": "The seed is fixed."}, "red", "The seed is fixed."),
        ({"epsilon": 1.2}, "red", "more than the ε = 1 that was asked"),
        ({"delta": 0.01}, "red", "one whole record"),
        ({"epsilon": 12.0, "epsilon_budget": 12.0}, "amber", "the bound says little"),
    ],
)
def test_the_guarantee_holds_or_is_red(changes: Any, expected: str, words: str) -> None:
    claim = decide(quiet(), example.guarantee(**changes)).claim("guarantee")
    assert claim.level == expected
    assert words in claim.reason


def test_no_guarantee_is_red_and_nothing_outweighs_it() -> None:
    best = quiet(scores=(scored("validity"), scored("fidelity"), scored("utility")))
    found = decide(best, None)
    assert found.claim("guarantee").level == "red"
    assert found.conditions[0].startswith("Do not release")
    assert not hasattr(found, "score")


def test_attacks_above_the_ceiling_are_red_and_above_chance_amber() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    strong = example.attack("copy", "Copies", 3.0, rng)
    weak = example.attack("weak", "Weak", 0.0, rng).model_copy(
        update={"auc": 0.53, "auc_interval": example.interval(0.512, 0.548)}
    )
    assert level("attacks") == "green"
    assert level("attacks", quiet().model_copy(update={"attacks": (strong,)})) == "red"
    assert level("attacks", quiet().model_copy(update={"attacks": (weak,)})) == "amber"
    # Without a guarantee, nothing bounds what a leak that was seen may become.
    assert decide(quiet().model_copy(update={"attacks": (weak,)})).claim("attacks").level == "red"
    wire = weak.model_copy(update={"tripwire": True})
    none = quiet().model_copy(update={"attacks": (wire,), "risks": ()})
    assert level("attacks", none) == "open"
    alarm = none.model_copy(update={"attacks": (strong.model_copy(update={"tripwire": True}),)})
    assert level("attacks", alarm) == "red"


def test_a_gain_over_strangers_is_seen() -> None:
    gain = example.risk("linkability", "Linked", 0.30, 0.10)
    assert level("attacks", quiet(risks=(gain,))) == "amber"


def test_the_worst_score_decides_a_topic_and_averages_nothing() -> None:
    good, between, poor = (scored(value=value, key=str(value)) for value in (0.01, 0.07, 0.3))
    assert level("fidelity", quiet(scores=(good,))) == "green"
    assert level("fidelity", quiet(scores=(good, between))) == "amber"
    found = decide(quiet(scores=(good, good, good, poor, between)), example.guarantee())
    assert found.claim("fidelity").level == "red"
    assert "A score is 0.300 (good up to 0.050, poor above 0.100)" in found.claim("fidelity").reason
    missing = scored(value=None, not_run="too few rows", key="m")
    claim = decide(quiet(scores=(good, missing)), example.guarantee()).claim("fidelity")
    assert (claim.level, "too few rows" in claim.reason) == ("amber", True)


def test_a_conclusion_turned_round_is_red_whatever_the_scores_say() -> None:
    fine = scored("utility", 0.01)
    turned = example.analyses()[0].model_copy(
        update={"coefficients": (example.coefficient("dose", 0.4, -0.4),)}
    )
    near = example.analyses()[0].model_copy(
        update={"coefficients": (example.coefficient("dose", 0.05, -0.05),)}
    )
    assert level("utility", quiet(scores=(fine,), analyses=(turned,))) == "red"
    assert level("utility", quiet(scores=(fine,), analyses=(near,))) == "green"
    assert level("utility", quiet(scores=(fine,), analyses=())) == "amber"
    assert level("utility", quiet(scores=(fine,), analyses=example.analyses())) == "amber"


KEPT = scored("utility", 1.0, "higher", "subgroup_conclusions.x", limits=(0.9, 0.7))
DEPENDENCE = scored("fidelity", 0.9, "higher", "three_way", limits=(0.75, 0.4))


def with_effects(*effects: tuple[str, float, float | None]) -> Any:
    found = tuple(example.subgroup(*effect) for effect in effects)
    inside = example.subgroups().model_copy(update={"effects": found})
    return (example.analyses()[0].model_copy(update={"subgroups": (inside,)}),)


@pytest.mark.parametrize(
    ("synthetic", "score", "expected", "words"),
    [
        (0.8, KEPT, "green", "Of 2 effects within subgroups that the real rows tell from 0, the "
         "synthetic ones show 2. "),
        (0.0, scored("utility", 0.5, "higher", KEPT.key, limits=(0.9, 0.7)), "red",
         "synthetic ones show 1; lost: dnr = yes within sex = male. "),
        (None, KEPT, "green", "synthetic ones show 1; lost: dnr = yes within sex = male. "),
        (0.45, scored("utility", 0.2, "higher", "subgroup_overlap.x", limits=(0.6, 0.3)), "red",
         "synthetic ones show 2, though 1 of another size: dnr = yes within sex = male is 0.45 "
         "instead of 0.9. Poor: "),
        (0.7, KEPT, "green", "synthetic ones show 2. "),
        (-0.8, KEPT, "red", "turn effects round: dnr = yes within sex = male. Of 2 effects"),
    ],
)  # fmt: skip
def test_conclusions_within_subgroups_are_said_in_words(
    synthetic: float | None, score: Score, expected: str, words: str
) -> None:
    analyses = with_effects(("sex = female", -0.9, -0.9), ("sex = male", 0.9, synthetic))
    found = decide(quiet(scores=(score,), analyses=analyses, three_way=None))
    assert found.claim("subgroups").level == expected
    assert words in found.claim("subgroups").reason
    assert any("effects within subgroups need the real" in c for c in found.conditions) == (
        expected != "green"
    )
    assert not any("No interaction was declared" in text for text in found.questions)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.9, "green"), (0.6, "amber"), (-0.2, "red"), (None, "open")]
)
def test_what_nobody_declared_is_judged_by_the_dependence_that_survives(
    value: float | None, expected: str
) -> None:
    score = DEPENDENCE.model_copy(update={"value": value, "interval": None})
    looked, scores = example.three_way(), [score]
    if value is None:
        looked, scores = looked.model_copy(update={"standing_out": 0, "worst": ()}), []
    found = decide(quiet(scores=tuple(scores), analyses=(), three_way=looked))
    claim = found.claim("subgroups")
    assert claim.level == expected
    words = "No interaction of three columns stands out in the real rows, of 560 triples looked at."
    if value is not None:
        words = f"in the real rows, {100 * value:.0f} % is in the synthetic ones. ".replace(
            "-", "−"
        )
    assert words in f"{claim.reason} "
    assert any("No interaction was declared" in text for text in found.questions)
    assert found.claim("fidelity").level == "open"  # that figure is this claim's alone


def test_declared_interactions_and_each_poor_figure_are_named() -> None:
    looked = example.three_way().model_copy(update={"declared_share": 0.75})
    kept, covered = (
        scored("utility", 0.1, "higher", f"subgroup_{key}.x", limits=(0.6, 0.3)).model_copy(
            update={"title": title}
        )
        for key, title in (("conclusions", "Conclusions"), ("overlap", "Overlap"))
    )
    found = decide(quiet(scores=(DEPENDENCE, kept, covered), analyses=(), three_way=looked))
    told = found.claim("subgroups").reason
    assert "90 % is in the synthetic ones; of what declared interactions show, 75 %. Poor" in told
    assert told.endswith("; also Overlap.")


def test_the_worst_group_decides() -> None:
    scores = (scored("utility", 0.7, "higher", "auc", limits=(0.65, 0.6)),)

    def group(name: str, value: float) -> GroupFigure:
        return example.groups()[0].model_copy(
            update={"group": name, "key": "auc", "value": value, "interval": None, "not_run": None}
        )

    some = (group("a", 0.7), group("b", 0.69))
    assert level("groups", quiet(scores=scores, groups=some)) == "green"
    assert level("groups", quiet(scores=scores, groups=(*some, group("c", 0.5)))) == "red"
    assert level("groups", quiet(scores=(), groups=some)) == "open"
    assert level("groups", quiet(groups=())) == "open"


def test_columns_that_are_far_off_are_named_in_the_conditions() -> None:
    base = quiet()
    far = base.margins[0].model_copy(
        update={"column": "cost", "distance": 0.3, "holdout_distance": 0.02}
    )
    noisy = far.model_copy(update={"column": "rare", "holdout_distance": 0.2})
    found = decide(base.model_copy(update={"margins": (far, noisy)}), example.guarantee())
    told = next(text for text in found.conditions if text.startswith("Not to be used"))
    assert "cost" in told
    assert "rare" not in told


def test_what_was_not_tested_is_listed_with_its_reason() -> None:
    bare = quiet(scores=(), risks=(), groups=(), analyses=(), depth="screen")
    found = {item.what: item.why for item in decide(bare).not_tested}
    assert found["Stronger attacks"] == "the evaluation was a screen"
    named = "; ".join(found).split("; ")
    assert {"Declared analyses", "Protected groups", "Utility", "Validity"} <= set(named)
    twice = tuple(scored(value=None, not_run="too few rows", key=key) for key in "ab")
    together = [item for item in decide(quiet(scores=twice)).not_tested if "few" in item.why]
    assert [item.what for item in together] == ["A score"]


COPIES: dict[str, Any] = {"topic": "privacy", "key": "copies", "limits": (0.02, 0.07)}


def test_a_poor_tripwire_stands_beside_the_attacks_and_says_why_it_is_amber() -> None:
    import numpy as np

    copies = example.score(
        "copies", "privacy", "Exact copies of train rows", 0.305, threshold=limit(0.02, 0.07)
    )
    alone = decide(quiet(scores=(copies,)), example.guarantee()).claim("attacks")
    assert alone.level == "amber"
    assert "Poor: Exact copies of train rows is 0.305 (good up to 0.020" in alone.reason
    assert "cannot prove a leak" in alone.reason
    assert any(line.startswith("Exact copies of train rows is 0.305") for line in alone.evidence)
    weak = example.attack("weak", "Weak", 0.0, np.random.default_rng(1)).model_copy(
        update={"auc": 0.53, "auc_interval": example.interval(0.512, 0.548)}
    )
    joined = quiet(scores=(copies,)).model_copy(update={"attacks": (weak,)})
    both = decide(joined, example.guarantee()).claim("attacks")
    assert both.level == "amber"
    assert "Weak did better than chance" in both.reason
    assert "Exact copies" in both.reason


def test_a_quiet_tripwire_is_shown_and_changes_nothing() -> None:
    copies = scored(value=0.001, **COPIES).model_copy(update={"interval": None})
    claim = decide(quiet(scores=(copies,)), example.guarantee()).claim("attacks")
    assert claim.level == "green"
    assert "None of 5 attacks" in claim.reason
    assert claim.evidence[-1].startswith("A score is 0.001")


def test_a_poor_score_of_an_attack_is_red_where_no_guarantee_bounds_it() -> None:
    found = example.score("attack.domias.tpr", "privacy", "Found", 0.3, threshold=limit(0.02, 0.05))
    both = quiet(scores=(found,))
    bounded = decide(both, example.guarantee()).claim("attacks")
    assert (bounded.level, "below the ceiling" in bounded.reason) == ("amber", True)
    open_end = decide(both).claim("attacks")
    assert (open_end.level, "No guarantee bounds" in open_end.reason) == ("red", True)


@pytest.mark.parametrize(
    ("key", "goal", "ends", "expected"),
    [
        ("attack.domias.auc", 0.5, (0.507, 0.533), "amber"),
        ("attack.domias.auc", 0.5, (0.505, 0.535), "green"),
        ("membership_auc", 0.5, (0.507, 0.533), "amber"),
        ("c2st", 0.5, (0.507, 0.533), "green"),
    ],
)
def test_an_attack_above_chance_is_amber_wherever_it_is_judged(
    key: str, goal: float, ends: Any, expected: str
) -> None:
    score = scored("privacy", 0.52, "towards", key, goal=goal).model_copy(
        update={"interval": example.interval(*ends)}
    )
    assert judge(score) == expected
    words = "where chance explains it" in threshold_text(score)
    assert words == (key != "c2st")


def test_a_worse_further_draw_keeps_a_figure_from_green_and_is_named() -> None:
    steady = scored(value=0.02, draws=(0.03, 0.05))
    shaky = scored(value=0.02, draws=(0.03, 0.06))
    assert [judge(score) for score in (steady, shaky)] == ["green", "amber"]
    claim = decide(quiet(scores=(shaky,)), example.guarantee()).claim("fidelity")
    assert claim.level == "amber"
    assert "other draws: 0.030 to 0.060" in claim.reason
    between = scored(value=0.07, draws=(0.3,))
    told = decide(quiet(scores=(between,)), example.guarantee()).claim("fidelity").reason
    assert "other draws: 0.300 to 0.300" in told
    better = scored(value=0.3, draws=(0.01,))
    assert "draws" not in decide(quiet(scores=(better,))).claim("fidelity").reason


def test_signs_say_which_terms_they_are_of() -> None:
    analysis = example.analyses()[0]
    signs = scored("utility", 1.0, "higher", "signs.death", limits=(0.95, 0.8))
    claim = decide(quiet(scores=(signs,), analyses=(analysis,))).claim("utility")
    told = "3 of 4 terms with the real sign, and 3 of the 3 that the real rows tell from 0"
    assert told in claim.evidence[0]
    assert "is 1.000 of the terms that the real rows tell from 0" in claim.evidence[1]


def test_a_group_is_named_with_its_figure() -> None:
    scores = (scored("utility", 0.7, "higher", "auc", limits=(0.65, 0.6)),)
    group = example.groups()[0].model_copy(
        update={"group": "male", "key": "auc", "value": 0.62, "interval": None, "not_run": None}
    )
    claim = decide(quiet(scores=scores, groups=(group,)), example.guarantee()).claim("groups")
    assert claim.reason == (
        "Not clearly good for sex = male. In sex = male, A score is 0.620 "
        "(good from 0.650, poor below 0.600)."
    )
    assert claim.evidence == ("sex = male: A score is 0.620 (good from 0.650, poor below 0.600)",)


def test_an_attack_that_did_not_run_is_named_once() -> None:
    scores = tuple(
        example.score(
            f"attack.shadow.{end}", "privacy", f"Shadow models ({name})", None, not_run="why"
        )
        for end, name in (("auc", "AUC"), ("tpr", "found at 1 % false alarms"))
    )
    found = decide(quiet(scores=scores), example.guarantee())
    assert f"Not run: {SHADOW[0].attack_title}." in found.claim("attacks").reason
    called = [SHADOW[0].attack_title]
    assert [item.what for item in found.not_tested if item.why == "why"] == called


def test_the_worst_figure_of_a_claim_is_named_and_not_the_first() -> None:
    first = scored(value=0.06, key="first").model_copy(update={"title": "Barely off"})
    far = scored(value=0.099, key="far").model_copy(update={"title": "Nearly poor"})
    claim = decide(quiet(scores=(first, far)), example.guarantee()).claim("fidelity")
    assert claim.reason == (
        "Not clearly good: Nearly poor is 0.099 (good up to 0.050, poor above 0.100); "
        "also Barely off."
    )
    poor = scored(value=0.2, key="poor")
    worse = scored("fidelity", 0.3, "higher", "worse", limits=(0.9, 0.8))
    claim = decide(quiet(scores=(poor, worse)), example.guarantee()).claim("fidelity")
    assert "A score is 0.300 (good from 0.900, poor below 0.800)" in claim.reason


def test_an_attack_above_chance_names_its_figure_and_copied_records_are_red() -> None:
    found = example.score("attack.linkability.gain", "privacy", "Linked", 0.03, goal=0.0)
    above = found.model_copy(
        update={"p_value": 0.001, "threshold": Threshold(
            good=0.05, poor=0.1, basis="project default", source="a reason")}
    )  # fmt: skip
    risks = (example.risk("linkability", "Linkability", 0.13, 0.10),)
    claim = decide(quiet(scores=(above,), risks=risks), example.guarantee()).claim("attacks")
    assert claim.level == "amber"
    assert "Furthest off: Linked is 0.030 (good up to 0.050 where chance" in claim.reason
    copied = above.model_copy(
        update={
            "key": "attack.exact_copies.gain",
            "title": "Patients copied",
            "detail": "12 of 240.",
        }
    )
    risks = (example.risk("exact_copies", "Patients copied", 0.05, 0.0),)
    claim = decide(quiet(scores=(copied,), risks=risks), example.guarantee()).claim("attacks")
    assert claim.level == "red"
    assert "word for word" in claim.reason
    assert "Patients copied is 0.030" in claim.reason


def test_attacks_that_could_see_nothing_are_no_evidence() -> None:
    blind = quiet().attacks[0].model_copy(update={"detection_limit": 0.8})
    claim = decide(
        quiet(risks=()).model_copy(update={"attacks": (blind,)}), example.guarantee()
    ).claim("attacks")
    assert claim.level == "amber"
    assert "too few patients" in claim.reason


@pytest.mark.parametrize(("value", "said"), [(0.02, False), (0.2, True)])
def test_relations_of_real_rows_that_synthetic_ones_break_have_a_sentence(
    value: float, said: bool
) -> None:
    broken = scored("validity", value, key=UNDECLARED.key, detail="The worst first: a <= b.")
    worse = scored("validity", 0.9, key="y")
    reason = decide(quiet(scores=(broken, worse)), example.guarantee()).claim("validity").reason
    sentence = (
        "20.0 % of synthetic rows break a relation that nearly all real patients keep. The worst"
    )
    assert (sentence in reason) == ("a <= b" in reason) == said
