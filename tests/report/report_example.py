"""A made-up evaluation and guarantee of any width, the same for the same arguments."""

from typing import Any

import numpy as np

from synthvae.evaluation.results import (
    Analysis,
    Associations,
    Attack,
    Coefficient,
    Components,
    Curve,
    Direction,
    Evaluation,
    GroupFigure,
    Interval,
    LevelAssociation,
    Margin,
    PairDistance,
    PairTable,
    Risk,
    Score,
    SubgroupEffect,
    SubgroupEffects,
    TableFacts,
    ThreeWay,
    Threshold,
    Topic,
    TripleDependence,
)
from synthvae.privacy.guarantee import (
    Assumption,
    GaussianStage,
    Guarantee,
    SecondOpinion,
    TrainingStage,
)
from synthvae.report import FieldSummary, RunContext, TrainingCurve

NAMES = (
    "age", "sex", "diagnosis", "creatinine", "cost", "race", "admitted", "num_comorbidities",
    "mean_arterial_pressure", "heart_rate", "respiration", "temperature", "sodium", "wbc",
    "duration", "event",
)  # fmt: skip
GROUPS = {
    "sex": ("female", "male"),
    "diagnosis": (
        "ARF/MOSF w/Sepsis", "CHF", "COPD", "Cirrhosis", "Colon Cancer", "Coma",
        "Lung Cancer",
    ),
    "race": ("white", "black", "hispanic", "asian", "other", "missing"),
    "event": ("no", "yes"),
}  # fmt: skip


def interval(low: float, high: float, method: str = "bootstrap of patients") -> Interval:
    return Interval(low=low, high=high, method=method)


def score(
    key: str,
    topic: Topic,
    title: str,
    value: float | None,
    spread: float = 0.01,
    *,
    direction: Direction = "lower",
    **more: Any,
) -> Score:
    return Score(
        key=key,
        topic=topic,
        title=title,
        meaning=more.pop("meaning", "What this figure says, in one plain sentence."),
        value=value,
        interval=None if value is None else interval(value - spread, value + spread),
        direction=direction,
        **more,
    )


LIMITS = {
    "schema": Threshold(good=1.0, poor=0.999, basis="standard", source="what the schema declares"),
    "tvd1": Threshold(good=0.03, poor=0.08, basis="project default", source="thrice a holdout's"),
    "tvd2": Threshold(good=0.06, poor=0.12, basis="project default", source="thrice a holdout's"),
    "c2st": Threshold(
        good=0.1, poor=0.3, basis="literature", source="Lopez-Paz and Oquab 2017, section 3"
    ),
    "tstr_logistic": Threshold(
        good=0.65, poor=0.6, basis="steward-set", source="what the course needs"
    ),
    "tstr_gradient": Threshold(good=0.66, poor=0.6, basis="project default", source="a reason"),
    "subgroup_conclusions.death": Threshold(
        good=0.85, poor=0.65, basis="project default", source="a reason"
    ),
    "three_way": Threshold(good=0.75, poor=0.4, basis="project default", source="a reason"),
    "attack.domias.auc": Threshold(good=0.05, poor=0.1, basis="project default", source="a reason"),
    "attribute": Threshold(good=0.02, poor=0.05, basis="project default", source="a reason"),
}


def scores() -> tuple[Score, ...]:
    found = [
        score("schema", "validity", "Cells that obey the schema", 1.0, 0.0, direction="higher",
              meaning="Share of cells inside their declared range or categories.",
              references={"holdout": 1.0}),
        score("clinical_rules", "validity", "Clinical rules", None,
              not_run="no rules were given"),
        score("tvd1", "fidelity", "One-way distance", 0.021, 0.002,
              meaning="Mean total variation distance of each column.",
              references={"holdout": 0.012, "independent": 0.010}),
        score("tvd2", "fidelity", "Two-way distance", 0.067, 0.003,
              meaning="Mean total variation distance of each pair of columns, in bins.",
              references={"holdout": 0.037, "independent": 0.104}),
        score("tvd3", "fidelity", "Three-way distance", 0.120, 0.004,
              meaning="Mean total variation distance of triples of columns.",
              references={"holdout": 0.080, "independent": 0.201}),
        score("c2st", "fidelity", "Real or synthetic? (C2ST)", 0.752, 0.012,
              direction="towards", goal=0.5,
              meaning="How well a classifier tells synthetic from real rows.",
              references={"holdout": 0.502, "independent": 0.861, "chance": 0.5}),
        score("quality", "fidelity", "SDMetrics quality", 0.914, 0.0, direction="higher",
              meaning="Mean of column shapes and pair trends.",
              references={"holdout": 0.963, "independent": 0.871, "ideal": 1.0}),
    ]  # fmt: skip
    for learner, value, real in (
        ("logistic regression", 0.664, 0.688),
        ("random forest", 0.651, 0.681),
        ("gradient boosting", 0.647, 0.692),
    ):
        key = f"tstr_{learner.split()[0]}"
        found.append(
            score(key, "utility", f"AUROC of event, {learner}", value, 0.021, direction="higher",
                  meaning="Trained on synthetic, tested on the real holdout.",
                  references={"trained on real": real, "independent": 0.512, "chance": 0.5})
        )  # fmt: skip
    found += [
        score("brier", "utility", "Brier score of event, logistic regression", 0.212, 0.006,
              meaning="Mean squared error of predicted risk.",
              references={"trained on real": 0.204, "independent": 0.229}),
        score("slope", "utility", "Calibration slope of event", 0.83, 0.09,
              direction="towards", goal=1.0,
              meaning="Below 1: predictions too extreme; above 1: too timid.",
              references={"trained on real": 0.97, "ideal": 1.0}),
        score("cox", "utility", "Hazard ratios' overlap", None, direction="higher",
              meaning="Overlap of the intervals of Cox hazard ratios.",
              not_run="the extra 'survival' is not installed"),
        score("overlap.death", "utility", "Overlap of intervals: death in hospital", 0.61, 0.05,
              direction="higher", meaning="Share of two intervals that lies in both.",
              references={"holdout": 0.72, "ideal": 1.0}),
        score("subgroup_conclusions.death", "utility", "Conclusions within subgroups: death", 0.7,
              0.1, direction="higher", meaning="Share of conclusions that are kept.",
              references={"holdout": 1.0, "expected": 0.9, "ideal": 1.0}),
        score("three_way", "fidelity", "Three-way dependence that survives", 0.6, 0.05,
              direction="higher", goal=1.0, meaning="Share of train's three-way dependence.",
              references={"holdout": 0.97, "independent": 0.01, "ideal": 1.0}),
        score("attack.domias.auc", "privacy", "Membership attack by density ratio (AUC)", 0.512,
              0.02, direction="towards", goal=0.5, meaning="Told from 0.5 or not.",
              references={"chance": 0.5}),
        score("attribute", "privacy", "Attribute inference, gain", 0.004, 0.011,
              meaning="How much better a sensitive column is guessed for members than for others.",
              references={"chance": 0.0}),
        score("membership_auc", "privacy", "Closest records, share nearer to train", 0.503, 0.014,
              direction="towards", goal=0.5,
              meaning="Share of synthetic rows nearer to a train than to a holdout row.",
              references={"holdout": 0.498}),
    ]  # fmt: skip
    return tuple(
        one.model_copy(update={"threshold": LIMITS.get(one.key), "draws": draws(one)})
        for one in found
    )


def draws(one: Score) -> tuple[float, ...]:
    if one.value is None or one.topic not in ("fidelity", "utility"):
        return ()
    return (round(one.value * 1.03, 4), round(one.value * 0.98, 4))


def risk(key: str, title: str, success: float, control: float) -> Risk:
    gain = success - control
    return Risk(
        key=key, title=title, meaning="Guesses a fact from the others and the synthetic rows.",
        members=700, others=700, success=success,
        success_interval=interval(success - 0.03, success + 0.03, "Wilson"),
        control=control, control_interval=interval(control - 0.03, control + 0.03, "Wilson"),
        gain=gain, gain_interval=interval(gain - 0.035, gain + 0.035, "Newcombe"),
        detection_limit=0.05, detail="Secrets: diagnosis and cost.",
    )  # fmt: skip


def risks() -> tuple[Risk, ...]:
    return (
        risk("attribute_inference", "A sensitive column is guessed", 0.412, 0.405),
        risk("singling_out", "A patient is singled out", 0.021, 0.018),
        risk("linkability", "Two halves of a record are linked", 0.044, 0.047),
        risk("near_copies", "A near copy stands in the table", 0.012, 0.010),
    )


def coefficient(term: str, real: float, synthetic: float, spread: float = 0.1) -> Coefficient:
    return Coefficient(
        term=term, real=real, real_interval=interval(real - spread, real + spread, "Wald"),
        synthetic=synthetic,
        synthetic_interval=interval(synthetic - spread, synthetic + spread, "Wald"),
        overlap=1 - abs(real - synthetic) / (2 * spread), same_sign=real * synthetic > 0,
    )  # fmt: skip


def subgroup(
    name: str, real: float, synthetic: float | None, spread: float = 0.2
) -> SubgroupEffect:
    found = {} if synthetic is None else {
        "synthetic": synthetic,
        "synthetic_interval": interval(synthetic - spread, synthetic + spread, "Wald"),
    }  # fmt: skip
    return SubgroupEffect(
        term="dnr = yes", subgroup=name, real_rows=900, synthetic_rows=0 if synthetic is None else 1100,
        real=real, real_interval=interval(real - spread, real + spread, "Wald"), **found,
        not_run="0 synthetic rows that allow no estimate" if synthetic is None else None,
    )  # fmt: skip


def subgroups() -> SubgroupEffects:
    """Return effects of which two are kept, one lost, one invented, one not estimated."""
    effects = (
        subgroup("age = up to 52", 0.9, 0.7), subgroup("age = 53 to 70", 0.5, 0.1),
        subgroup("age = above 70", -0.4, -0.3), subgroup("age = 0 (special)", 0.1, 0.4),
        subgroup("all others", 0.6, None),
    )  # fmt: skip
    return SubgroupEffects(
        predictor="dnr", within=("age",), measure="log odds ratio", effects=effects,
        detail="'age' cut at train's thirds.",
    )  # fmt: skip


def three_way() -> ThreeWay:
    def triple(names: tuple[str, str, str], share: float) -> TripleDependence:
        levels = tuple(
            LevelAssociation(
                level=f"{names[2]} = {level}", real=real,
                real_interval=interval(real - 0.05, real + 0.05, "Fisher's z"),
                synthetic=real * share,
                synthetic_interval=interval(real * share - 0.05, real * share + 0.05, "Fisher's z"),
            )
            for level, real in (("female", -0.3), ("male", 0.25))
        )  # fmt: skip
        return TripleDependence(
            columns=names,
            strength=0.3,
            p_value=1e-9,
            share=share,
            holdout_share=0.97,
            levels=levels,
        )

    worst = (triple(("age", "event", "sex"), 0.1), triple(("cost", "event", "sex"), -0.2))
    return ThreeWay(
        compared=560, possible=560, standing_out=7, worst=worst,
        detail="From 5,652 rows of train, a row a patient.",
    )  # fmt: skip


def analyses() -> tuple[Analysis, ...]:
    times = tuple(float(day) for day in range(0, 361, 20))
    real = np.exp(-np.arange(len(times)) / 14)
    curves = tuple(
        Curve(
            group=group, times=times, real=tuple((real**power).round(4).tolist()),
            synthetic=tuple((real ** (power * 1.08)).round(4).tolist()),
        )
        for group, power in (("sex = female", 0.9), ("sex = male", 1.15))
    )  # fmt: skip
    return (
        Analysis(
            name="Death in hospital and its risk factors", kind="logistic",
            formula="event ~ age + sex + creatinine + num_comorbidities",
            real_rows=5652, synthetic_rows=7000,
            coefficients=(
                coefficient("age, per 10 years", 0.31, 0.27),
                coefficient("sex: male", 0.12, 0.05),
                coefficient("creatinine, per mg/dL", 0.22, 0.18),
                coefficient("num_comorbidities", -0.04, 0.03),
            ),
            subgroups=(subgroups(),),
        ),
        Analysis(
            name="Survival by sex", kind="kaplan-meier", formula="", real_rows=5652,
            synthetic_rows=7000, curves=curves,
        ),
        Analysis(
            name="Hazard of death", kind="cox", formula="age + diagnosis", real_rows=5652,
            synthetic_rows=7000, not_run="the extra 'survival' is not installed",
        ),
    )  # fmt: skip


def groups() -> tuple[GroupFigure, ...]:
    found = []
    for column, sizes in (
        ("sex", {"female": 620, "male": 793}),
        ("race", {"white": 1100, "black": 210, "hispanic": 61, "asian": 33, "other": 6}),
    ):
        for place, (name, patients) in enumerate(sizes.items()):
            for key, real in (("tstr_logistic", 0.69), ("tvd1", 0.02)):
                value = real - 0.03 * place if key != "tvd1" else real + 0.015 * place
                spread = 0.6 / np.sqrt(patients)
                few = patients < 10
                found.append(
                    GroupFigure(
                        column=column, group=name, key=key, patients=patients,
                        value=None if few else value,
                        interval=None if few else interval(value - spread, value + spread),
                        reference=None if few else real,
                        not_run="fewer than ten patients" if few else None,
                    )
                )  # fmt: skip
    return tuple(found)


def margin(name: str, rng: np.random.Generator) -> Margin:
    if name in GROUPS:
        labels, kind = GROUPS[name], "category"
        shape = rng.dirichlet(np.full(len(labels), 1.5))
    else:
        kind = "date" if name == "admitted" else "number"
        edges = range(2000, 2012) if kind == "date" else range(0, 200, 10)
        labels = tuple(str(e) if kind == "date" else f"{e}–{e + 10}" for e in edges)
        grid = np.linspace(0, 1, len(labels))
        shape = np.exp(-((grid - rng.uniform(0.2, 0.7)) ** 2) / rng.uniform(0.01, 0.08)) + 0.004
        if rng.random() < 0.5:
            labels, shape = (*labels, "missing"), np.append(shape, shape.sum() * 0.12)
        shape = shape / shape.sum()

    def drawn(rows: float) -> tuple[float, ...]:
        return tuple((rng.multinomial(int(rows), shape) / int(rows)).tolist())

    train, holdout, synthetic = drawn(5600), drawn(1400), drawn(10 ** rng.uniform(2, 4))

    def distance(other: tuple[float, ...]) -> float:
        return float(np.abs(np.subtract(train, other)).sum() / 2)

    return Margin(
        column=name, kind=kind, labels=labels, train=train, holdout=holdout, synthetic=synthetic,
        distance=distance(synthetic), holdout_distance=distance(holdout),
    )  # fmt: skip


def associations(names: tuple[str, ...], rng: np.random.Generator) -> Associations:
    loads = rng.normal(size=(len(names), 3))
    strength = np.abs(np.atleast_2d(np.corrcoef(loads + rng.normal(size=loads.shape) * 0.3)))
    noise = rng.normal(size=strength.shape) * 0.08
    weaker = np.clip(strength * 0.85 + (noise + noise.T) / 2, 0, 1)
    np.fill_diagonal(strength, 1)
    np.fill_diagonal(weaker, 1)
    return Associations(
        columns=names,
        measure="bias-corrected Cramér's V of binned columns",
        train=tuple(map(tuple, strength.round(4).tolist())),
        synthetic=tuple(map(tuple, weaker.round(4).tolist())),
    )


def pair_table(pair: PairDistance, rng: np.random.Generator) -> PairTable:
    rows, columns = (tuple(f"{10 * i} to {10 * i + 9}" for i in range(n)) for n in (10, 7))
    train, synthetic = rng.dirichlet(np.full(70, 0.4), 2).reshape(2, 10, 7)
    return PairTable(
        columns=pair.columns, row_labels=rows, column_labels=columns,
        train=tuple(map(tuple, train.round(6).tolist())),
        synthetic=tuple(map(tuple, synthetic.round(6).tolist())), distance=pair.distance,
    )  # fmt: skip


def components(rng: np.random.Generator) -> Components:
    edges = np.linspace(-3, 3, 25)

    def cloud(shift: float) -> tuple[tuple[float, ...], ...]:
        points = np.clip(rng.normal(shift, 1, (2, 2000)), -3, 3)
        counts = np.histogram2d(points[0], points[1], bins=(edges, edges))[0]
        return tuple(map(tuple, (counts / 2000).tolist()))

    return Components(
        explained=(0.31, 0.17), edges=(tuple(edges.tolist()), tuple(edges.tolist())),
        train=cloud(0), holdout=cloud(0), synthetic=cloud(0.3),
    )  # fmt: skip


def attack(key: str, title: str, power: float, rng: np.random.Generator) -> Attack:
    members = np.sort(rng.normal(power, 1, 1400))
    others = rng.normal(0, 1, 1400)
    cuts = np.concatenate([[np.inf], np.sort(others)[::-1], [-np.inf]])
    fpr = (others[None, :] >= cuts[:, None]).mean(1)
    tpr = 1 - np.searchsorted(members, cuts, side="left") / len(members)
    auc = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    at = []
    for rate in (0.001, 0.01, 0.1):
        found = float(np.interp(rate, fpr, tpr))
        spread = 1.96 * np.sqrt(max(found, 0.001) * (1 - found) / 1400)
        bounds = interval(max(0.0, found - spread), found + spread, "Clopper–Pearson")
        at.append((rate, found, bounds))
    return Attack(
        key=key, title=title, meaning="Scores each record by how close synthetic rows come to it.",
        members=1400, non_members=1400, auc=auc, auc_interval=interval(auc - 0.021, auc + 0.021),
        fpr=tuple(fpr.tolist()), tpr=tuple(tpr.tolist()), tpr_at=tuple(at), detection_limit=0.528,
    )  # fmt: skip


def evaluation(columns: int = 16, power: float = 0.06, seed: int = 7, **changes: Any) -> Evaluation:
    rng = np.random.default_rng(seed)
    names = tuple(NAMES[i] if i < len(NAMES) else f"lab_value_{i}" for i in range(columns))
    pairs = sorted(
        (
            PairDistance(
                columns=(names[i], names[i + 1]),
                distance=float(rng.uniform(0.05, 0.25)),
                holdout_distance=float(rng.uniform(0.03, 0.07)),
            )
            for i in range(min(columns - 1, 10))
        ),
        key=lambda pair: -pair.distance,
    )
    values = {
        "name": "support",
        "schema_digest": "3b1c" * 16,
        "seed": 11,
        "tables": TableFacts(
            train_rows=5652, train_patients=5652, holdout_rows=1413, holdout_patients=1413,
            synthetic_rows=7000, columns=columns,
        ),
        "scores": scores(),
        "margins": tuple(margin(name, rng) for name in names),
        "worst_pairs": tuple(pairs),
        "associations": associations(names, rng),
        "risks": risks(),
        "groups": groups(),
        "analyses": analyses(),
        "attacks": (
            attack("domias", "Density ratio (DOMIAS)", power, rng),
            attack("classifier", "Classifier", power / 2, rng),
            attack("nearest", "Nearest neighbour, calibrated", 0.0, rng),
        ),
        "notes": ("The patient's key was reconstructed from baseline columns.",),
    }  # fmt: skip
    own = np.random.default_rng(seed + 1)
    values["pair_tables"] = tuple(pair_table(pair, own) for pair in pairs[:6])
    values["components"] = components(own)
    values["three_way"] = three_way()
    return Evaluation(**(values | changes))


def few_figures(columns: int = 3, **changes: Any) -> Evaluation:
    """Return an evaluation of which little is drawn, for what a page says beside its figures."""
    nothing: dict[str, Any] = {
        **{"pair_tables": (), "groups": (), "analyses": ()},
        **{"components": None, "three_way": None},
    }
    return evaluation(columns, **(nothing | changes))


def guarantee(**changes: Any) -> Guarantee:
    values = {
        "valid": True,
        "epsilon": 0.998,
        "epsilon_budget": 1.0,
        "delta": 1e-5,
        "unit": "patient (each row is one patient)",
        "declared_patients": 7000,
        "rows_per_patient": 1,
        "group_epsilon": {2: 2.176, 3: 3.497, 4: 4.976, 5: None},
        "replace_epsilon": 2.176,
        "accountant": "dp-accounting PLD, discretisation 1e-4",
        "second_opinion": SecondOpinion(
            accountant="privacy random variables (Opacus)", epsilon=0.9979, error=0.01
        ),
        "stages": (
            GaussianStage(
                queries=48, noise_multipliers=(14.2, 21.5), rows_per_patient=1, sensitivities=(1.0, 1.0),
                clipping="rows capped at rows_per_patient",
            ),
            TrainingStage(
                sampling_rate=0.333, noise_multiplier=9.87, steps=400, clip_norm=3.0,
                expected_batch=2331.0, sensitivity=3.0, normaliser="declared patients",
                clipping="gradients scaled per patient to clip_norm",
            ),
        ),
        "assumptions": (
            Assumption(id="computational-adversary", text="nobody breaks the stream cipher"),
            Assumption(id="single-fit", text="other fits of the same patients compose with it"),
        ),
        "public_inputs": ("the schema", "the settings", "the declared number of patients"),
        "not_covered": (
            "this evaluation and the training curve",
            "the residue of floating-point noise in gradients",
            "what a patient's record says about other people like them",
        ),
        "schema_digest": "3b1c" * 16,
        "code_sha256": "c0de" * 16,
        "software": {"synthvae": "0.1.0", "opacus": "1.6.0"},
    }  # fmt: skip
    return Guarantee(**(values | changes))


def void_guarantee() -> Guarantee:
    return guarantee(
        valid=False, why_void="Trained without privacy (epsilon: none).", epsilon=None,
        epsilon_budget=None, delta=None, stages=(), group_epsilon={}, replace_epsilon=None,
        second_opinion=None, assumptions=(),
    )  # fmt: skip


def training() -> TrainingCurve:
    rng = np.random.default_rng(3)
    steps = np.arange(0, 400, 5)
    loss = 24 + 9 * np.exp(-steps / 60) + rng.normal(size=len(steps)) * 0.25
    return TrainingCurve(steps=tuple(steps.tolist()), loss=tuple(loss.round(4).tolist()))


def context(columns: int = 16) -> RunContext:
    return RunContext(
        title="Seriously ill hospital patients",
        purpose="Teaching survival analysis to clinical researchers inside the sandbox.",
        created="2025-03-01",
        seed=7,
        synthetic_digest="9f2a" * 16,
        software={"python": "3.11.7", "torch": "2.13.0"},
        settings={"steps": "400", "share of the budget for anchors": "40 %"},
        fields=tuple(
            FieldSummary(
                name=NAMES[i] if i < len(NAMES) else f"lab_value_{i}",
                type="string" if i < len(NAMES) and NAMES[i] in GROUPS else "number",
                rule="0 to 200; may be missing",
                role="protected" if i == 1 else "",
            )
            for i in range(columns)
        ),
    )
