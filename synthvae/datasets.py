"""Tables to try the tool on: a public one, and a simulated one whose truth is known."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BASELINE = ("lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp")
RECORDED_DECIMALS = {"lncoins": 2, "lpi": 1, "fmde": 1, "disea": 1}
YEARS = 5  # the experiment enrolled nobody for longer
CLINIC_ROWS = 10_000
CLINIC_CODES = tuple(
    f"{chapter}{10 * block:02d}" for chapter in "ABCDEFGHIJKLMNOPQRST" for block in range(10)
)
FOLLOW_UP = 1825  # days at most

Columns = dict[str, NDArray[Any]]


def load_randhie() -> pd.DataFrame:
    """Return the RAND Health Insurance Experiment, one row per person and year.

    From 1974 to 1982 the experiment gave families in six places of the United States health
    insurance with coinsurance drawn at random, and counted what care they used.

    Returns
    -------
    DataFrame
        20,190 rows: the columns of statsmodels under their names (`mdvis`, the visits to a
        doctor in the year, and nine columns measured at enrolment), rounded to the decimals in
        which such variables are recorded; `person`, whose year it is; and `anyvisit`, 1 where
        `mdvis` is above 0.

    Notes
    -----
    The unit is reconstructed. The table that statsmodels gives out has no person number, so a
    person is a run of consecutive rows that are equal in all columns measured at enrolment, of at
    most 5 years (a sixth equal row starts a new person). This gives 5,810 persons, where the
    study's own numbers count 5,912: neighbours with equal answers, such as children of one
    family, are sometimes joined or divided at the wrong year.

    References
    ----------
    J. P. Newhouse and the Insurance Experiment Group, *Free for All?*, Harvard University Press,
    1993. W. G. Manning et al., "Health insurance and the demand for medical care", *American
    Economic Review* 77(3), 1987. The data come with statsmodels (`statsmodels.datasets.randhie`),
    which took them from A. C. Cameron and P. K. Trivedi, *Microeconometrics*, Cambridge University
    Press, 2005, and states that they are in the public domain.

    Examples
    --------
    >>> load_randhie()["person"].nunique()
    5810
    """
    from statsmodels.datasets import randhie

    table: pd.DataFrame = randhie.load_pandas().data
    person = _runs(table[list(BASELINE)], YEARS)
    table = table.round(RECORDED_DECIMALS)
    flags = ["physlm", "idp", "hlthg", "hlthf", "hlthp"]  # physlm has imputed shares below one half
    table[flags] = table[flags].round().astype("int64")
    return table.assign(person=person, anyvisit=(table["mdvis"] > 0).astype("int64"))


def _runs(frame: pd.DataFrame, longest: int) -> pd.Series:
    """Number the runs of consecutive equal rows from 1; a longer run than `longest` is divided."""
    run = (frame != frame.shift()).any(axis=1).cumsum()
    part = frame.groupby(run).cumcount() // longest
    starts = (run != run.shift()) | (part != part.shift())
    return starts.cumsum().astype("int64")


def load_clinic(rows: int = CLINIC_ROWS, seed: int = 0) -> pd.DataFrame:
    """Return a simulated hospital table: nobody's records, one row a patient.

    It has what makes such tables hard, each with a truth that is known: skewed and heaped laboratory
    values, an integer and a cost with long tails, a cost of zero for half, 200 codes of very uneven
    frequency that follow age and sex, values that are missing because of what they are, a pair of
    which one all but determines the other (`creatinine` and `egfr`, given age and sex), a risk that is
    U-shaped in `sodium`, a `protocol` that follows from sex and admission together and from neither
    alone, an outcome that its predictors tell with an AUROC of about 0.75 (`readmitted`), and a
    censored survival time.

    Parameters
    ----------
    rows
        Number of patients.
    seed
        The same seed and number give the same table.

    Examples
    --------
    >>> load_clinic(100).shape
    (100, 21)
    """
    generator = np.random.default_rng(seed)
    table = _demographics(rows, generator)
    for part in (_laboratory, _stay, _outcomes):
        table |= part(table, generator)
    return pd.DataFrame(_with_gaps(table, generator))


def _chance(logit: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.bool_]:
    return np.asarray(generator.random(len(logit)) < 1 / (1 + np.exp(-logit)))


def _demographics(rows: int, generator: np.random.Generator) -> Columns:
    normal = generator.normal
    old = generator.random(rows) < 0.7
    age = np.where(old, normal(68, 12, rows), normal(35, 9, rows))
    age = age.clip(18, 100).round().astype(np.int64)
    female = generator.random(rows) < 0.53
    smoker = generator.choice(["never", "former", "current"], rows, p=[0.5, 0.3, 0.2])
    bmi = np.exp(normal(np.log(26) + 0.0015 * (age - 50) * (age < 70), 0.18, rows))
    diabetes = _chance(-3.2 + 0.025 * (age - 50) + 0.14 * (bmi - 26), generator)
    regions, shares = ["north", "east", "south", "west", "abroad"], [0.45, 0.25, 0.17, 0.12, 0.01]
    return {
        "age": age,
        "sex": np.where(female, "female", "male"),
        "region": generator.choice(regions, rows, p=shares),
        "smoker": smoker,
        "bmi": bmi.clip(12, 70).round(1),
        "diabetes": diabetes,
        "diagnosis": _diagnoses(age, female, generator),
    }


def _diagnoses(
    age: NDArray[np.int64], female: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.generic]:
    """Return codes with Zipf's frequencies, each with an age and a sex that it prefers."""
    truth = np.random.default_rng(12)  # which does not change with the table's seed
    count = len(CLINIC_CODES)
    zipf = truth.permutation(1 / (np.arange(count) + 1.5))
    centre, leaning = truth.uniform(20, 95, count), truth.normal(0, 0.7, count)
    codes = np.empty(len(age), np.int64)
    groups = age // 8 * 2 + female
    for group in np.unique(groups):
        here = groups == group
        middle, sign = group // 2 * 8 + 4, 1 if group % 2 else -1
        chances = zipf * np.exp(-(((middle - centre) / 22) ** 2) / 2 + sign * leaning)
        codes[here] = generator.choice(count, int(here.sum()), p=chances / chances.sum())
    return np.asarray(CLINIC_CODES)[codes]


def _laboratory(table: Columns, generator: np.random.Generator) -> Columns:
    age, bmi, diabetes = (table[name] for name in ("age", "bmi", "diabetes"))
    female, rows, normal = table["sex"] == "female", len(age), generator.normal
    pressure = 112 + 0.35 * (age - 40) + 0.7 * (bmi - 26) + normal(0, 14, rows)
    heap = generator.choice([10, 5, 2, 1], rows, p=[0.45, 0.2, 0.25, 0.1])
    usual = np.log(np.where(female, 0.78, 0.98))
    log_creatinine = usual + 0.006 * (age - 50) + 0.25 * diabetes + generator.gamma(1.2, 0.16, rows)
    creatinine = np.exp(log_creatinine).clip(0.2, 20).round(2)
    kappa = np.where(female, 0.7, 0.9)
    egfr = 142 * np.maximum(creatinine / kappa, 1) ** -1.2 * 0.9938**age
    hba1c = np.where(diabetes, normal(7.6, 1.3, rows), normal(5.5, 0.35, rows))
    crp = np.exp(normal(1.0 + 0.5 * (table["smoker"] == "current"), 1.4, rows))
    return {
        "sbp": ((pressure / heap).round() * heap).clip(60, 260).astype(np.int64),
        "creatinine": creatinine,
        "egfr": (egfr * np.where(female, 1.012, 1.0)).clip(0, 200).round().astype(np.int64),
        "hba1c": hba1c.clip(3, 18).round(1),
        "crp": crp.clip(0.5, 500).round(1),  # below 0.5 nothing is told apart: a heap at the limit
        "sodium": normal(138.5, 3.6, rows).clip(105, 175).round().astype(np.int64),
    }


def _stay(table: Columns, generator: np.random.Generator) -> Columns:
    age, crp, diabetes = (table[name] for name in ("age", "crp", "diabetes"))
    rows, counts = len(age), generator.negative_binomial
    emergency = _chance(-0.6 + 0.015 * (age - 50) + 0.3 * np.log(crp), generator)
    planned = generator.choice(["elective", "transfer"], rows, p=[0.85, 0.15])
    either = (table["sex"] == "female") ^ emergency
    drugs = counts(2, 1 / (1 + 0.04 * age * (1 + diabetes)))
    days = 1 + counts(0.8, 1 / (1 + np.exp(0.6 + 0.25 * np.log(crp) + 0.5 * emergency)))
    paid = np.exp(generator.normal(6.6 + 0.5 * np.log(days), 0.7, rows)).round().clip(1, 500_000)
    protocol = np.where(either ^ (generator.random(rows) < 0.12), "A", "B")
    free = _chance(0.4 - 0.9 * emergency, generator)
    return {
        "admission": np.where(emergency, "emergency", planned),
        "protocol": protocol,
        "medications": drugs.clip(0, 60),
        "days": days.clip(1, 365),
        "cost": np.where(free, 0, paid).astype(np.int64),
    }


def _outcomes(table: Columns, generator: np.random.Generator) -> Columns:
    age, crp, egfr, drugs = (table[name] for name in ("age", "crp", "egfr", "medications"))
    sodium = (table["sodium"] - 138.5) / 3.6
    emergency = table["admission"] == "emergency"
    risk = -3.1 + 0.11 * drugs + 0.62 * np.minimum(sodium**2, 6) + 0.8 * emergency
    risk = risk + 0.8 * (table["smoker"] == "current") * table["diabetes"]
    hazard = np.exp(-8.6 + 0.045 * (age - 60) - 0.012 * (egfr - 80) + 0.25 * np.log(crp))
    death = generator.exponential(1 / hazard)
    censoring = generator.uniform(90, FOLLOW_UP, len(age))
    return {
        "readmitted": _chance(risk, generator),
        "followed": np.minimum(death, censoring).round().clip(0, FOLLOW_UP).astype(np.int64),
        "died": death <= censoring,
    }


def _with_gaps(table: Columns, generator: np.random.Generator) -> Columns:
    """Return the columns with values missing because of what they are."""
    bmi, diabetes, emergency = table["bmi"], table["diabetes"], table["admission"] == "emergency"
    gaps = {
        # The heavy are not weighed, HbA1c is measured where diabetes is suspected.
        "bmi": _chance(-2.2 + 0.09 * (bmi - 27) + 0.8 * emergency, generator),
        "hba1c": ~_chance(np.where(diabetes, 2.5, -0.7), generator),
        "crp": ~_chance(np.where(emergency, 2.0, 0.3), generator),
    }
    smoker = table["smoker"].astype(object)
    smoker[generator.random(len(bmi)) < 0.04] = None
    measured = {name: np.where(gap, np.nan, table[name]) for name, gap in gaps.items()}
    return table | measured | {"smoker": smoker}
