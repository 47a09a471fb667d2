"""Tables of studies: women's health, scores and flags, repeated visits, a cancer registry, lattices."""

from itertools import combinations
from typing import Any

import numpy as np

from tests.rules.ruled_table import (
    Bools,
    Cells,
    RuledTable,
    choice,
    dates,
    day,
    flag,
    flags,
    gappy,
    integer,
)

Draw = np.random.Generator

WOMEN = {
    "name": "women",
    "patients": 4000,
    "fields": [
        choice("sex", ["female", "male"]),
        integer("age", 18, 95),
        integer("pregnancies", 0, 15, gaps=True),
        integer("births", 0, 15, gaps=True),
        flag("menopause", gaps=True),
        integer("menopause_age", 35, 60, gaps=True),
        integer("last_birth_age", 14, 55, gaps=True),
    ],
    "rules": [
        {"if": "sex == 'male'", "then": "pregnancies is missing and last_birth_age is missing"},
        {"together": ["pregnancies", "births", "menopause"]},
        "births <= pregnancies",
        {"if": "menopause", "then": "age >= 35"},
        {"if": "age >= 60", "then": "menopause"},
        {"if": "not menopause or menopause is missing", "then": "menopause_age is missing"},
        "menopause_age <= age",
        {"if": "births == 0", "then": "last_birth_age is missing"},
        {"if": "births is missing", "then": "last_birth_age is missing"},
        {"rule": "last_birth_age <= age", "name": "births lie in the past"},
        "last_birth_age <= menopause_age",
    ],
}


def simulate_women(rows: int, draw: Draw) -> dict[str, Any]:
    unknown = (draw.random(rows) < 0.45) | (draw.random(rows) < 0.08)
    male = unknown & (draw.random(rows) < 0.9)
    age = draw.normal(52, 17, rows).round().clip(18, 95)
    menopause = (age >= 60) | ((age >= 40) & (draw.random(rows) < (age - 38) / 20))
    stopped = np.minimum(draw.normal(50, 4, rows).round(), age).clip(38, 60)
    stopped = gappy(stopped, unknown | ~menopause | (draw.random(rows) < 0.3))
    pregnancies = draw.poisson(2 * (age > 25) + 0.3).clip(0, 12)
    births = draw.binomial(pregnancies, 0.8)
    latest = np.minimum(np.minimum(age, np.nan_to_num(stopped, nan=45)), 45)
    youngest = np.minimum(17, latest)
    last = (youngest + (latest - youngest) * draw.beta(3, 2, rows)).round()
    return {
        "sex": np.where(male, "male", "female"),
        "age": age,
        "pregnancies": gappy(pregnancies, unknown),
        "births": gappy(births, unknown),
        "menopause": flags(menopause, unknown),
        "menopause_age": stopped,
        "last_birth_age": gappy(last, unknown | (births == 0) | (draw.random(rows) < 0.1)),
    }


def breach_women(t: Cells) -> Bools:
    age, births, over = t["age"], t["births"], t["menopause"]
    last, stopped, has_last = t["last_birth_age"], t["menopause_age"], ~t.missing("last_birth_age")
    return (
        ((t["sex"] == "male") & (~t.missing("pregnancies") | has_last))
        | t.apart("pregnancies", "births", "menopause")
        | (births > t["pregnancies"])
        | ((over == 1) & (age < 35))
        | ((age >= 60) & (over == 0))
        | (~(over == 1) & ~t.missing("menopause_age"))
        | (stopped > age)
        | (((births == 0) | t.missing("births")) & has_last)
        | (last > age)
        | (last > stopped)
    )


SCORES = {
    "name": "scores",
    "patients": 5000,
    "fields": [
        flag("white"),
        flag("black"),
        flag("asian"),
        flag("other"),
        choice("q1", ["0", "1", "2", "3"]),
        choice("q2", ["0", "1", "2", "3"]),
        choice("q3", [0, 1, 2, 3], type="integer"),
        choice("q4", ["0", "1", "2", "3"], gaps=True),
        integer("total", 0, 12, special=[99]),
        choice("severity", ["none", "mild", "severe", "unknown"]),
        flag("diabetes"),
        flag("heart_failure"),
        flag("copd", gaps=True),
        integer("diagnoses", 0, 3, gaps=True),
        flag("several", gaps=True),
        choice("stage", ["1", "2", "3", "4"]),
        choice("grade", ["1", "2", "3"]),
        flag("palliative"),
        integer("pain", 0, 10, special=[-9]),
    ],
    "rules": [
        {"rule": "white + black + asian + other == 1", "name": "one of four"},
        {"if": "total != 99", "then": "total == q1 + q2 + q3 + q4"},
        {"if": "q4 is missing", "then": "total == 99"},
        {"if": "q4 is not missing", "then": "total != 99"},
        {
            "derive": "severity",
            "as": "'unknown' if total == 99 else 'none' if total < 4 else"
            " 'mild' if total < 8 else 'severe'",
        },
        {"derive": "diagnoses", "as": "diabetes + heart_failure + copd"},
        {"derive": "several", "as": "diagnoses >= 2"},
        "grade + stage <= 6",
        {"if": "stage == '4'", "then": "palliative"},
        {"if": "palliative", "then": "pain != -9"},
        "pain - 2 * palliative <= 8",
    ],
}


def simulate_scores(rows: int, draw: Draw) -> dict[str, Any]:
    burden = draw.normal(size=rows)
    group = draw.choice(4, rows, p=[0.6, 0.2, 0.15, 0.05])
    items = [np.digitize(burden + draw.normal(size=rows), [0, 0.8, 1.6]) for _ in range(4)]
    unknown = draw.random(rows) < 0.08
    total = np.where(unknown, 99, sum(items))
    levels = np.array(["none", "mild", "severe"])[np.digitize(total, [4, 8])]
    sick = [draw.random(rows) < 1 / (1 + np.exp(1 + k - burden)) for k in range(3)]
    unseen = draw.random(rows) < 0.1
    stage = draw.integers(1, 5, rows)
    grade = np.minimum(draw.integers(1, 4, rows), 6 - stage)
    palliative = (stage == 4) | (draw.random(rows) < 0.1)
    pain = draw.binomial(10, 1 / (1 + np.exp(1 - burden))).clip(0, 8 + 2 * palliative)
    races = {name: group == k for k, name in enumerate(["white", "black", "asian", "other"])}
    answers = {f"q{k + 1}": items[k] if k == 2 else items[k].astype(str) for k in range(3)}
    return {
        **races,
        **answers,
        "q4": gappy(items[3].astype(str), unknown),
        "total": total,
        "severity": np.where(unknown, "unknown", levels),
        "diabetes": sick[0],
        "heart_failure": sick[1],
        "copd": flags(sick[2], unseen),
        "diagnoses": gappy(np.sum(sick, axis=0), unseen),
        "several": flags(np.sum(sick, axis=0) >= 2, unseen),
        "stage": stage.astype(str),
        "grade": grade.astype(str),
        "palliative": palliative,
        "pain": np.where(~palliative & (draw.random(rows) < 0.1), -9, pain),
    }


def breach_scores(t: Cells) -> Bools:
    items = [t[f"q{k}"].astype(float) for k in (1, 2, 3, 4)]
    total, diagnoses, ill = t["total"], t["diagnoses"], t["palliative"] == 1
    unknown, stage, grade = t.missing("q4"), t["stage"].astype(float), t["grade"].astype(float)
    levels = np.array(["none", "mild", "severe"])[np.digitize(total, [4, 8])]
    several = gappy(diagnoses >= 2, np.isnan(diagnoses))
    return (
        (t["white"] + t["black"] + t["asian"] + t["other"] != 1)
        | ((total != 99) & (np.abs(total - sum(items)) > 0))
        | ((total == 99) != unknown)
        | t.other("severity", np.where(total == 99, "unknown", levels))
        | t.off("diagnoses", t["diabetes"] + t["heart_failure"] + t["copd"])
        | t.off("several", several, 0)
        | (grade + stage > 6)
        | ((stage == 4) & ~ill)
        | (ill & (t["pain"] == -9))
        | (t["pain"] > 8 + 2 * ill)
    )


VISITS = {
    "name": "visits",
    "patients": 3000,
    "patientKey": "patient",
    "maxRows": 4,
    "fields": [
        {"name": "patient", "type": "string"},
        choice("sex", ["female", "male"], perPatient=True),
        day("born", "1930-01-01", "2001-12-31", perPatient=True),
        day("enrolled", "2018-01-01", "2022-12-31", perPatient=True),
        integer("visit", 1, 5),
        day("seen", "2018-01-01", "2022-12-31"),
        integer("age", 18, 90),
        integer("year", 2018, 2022),
        flag("pregnant", gaps=True),
        integer("week", 4, 42, gaps=True),
    ],
    "rules": [
        {"unique": ["patient", "visit"]},
        "enrolled <= seen",
        {"rule": "born < enrolled", "name": "born before they come"},
        {"derive": "age", "as": "floor((seen - born) / 365.25)"},
        {"derive": "year", "as": "year(seen)"},
        {"if": "sex == 'male'", "then": "pregnant is missing"},
        {"if": "visit == 1", "then": "seen - enrolled <= 30"},
        {"if": "pregnant", "then": "age <= 50"},
        {"if": "not pregnant or pregnant is missing", "then": "week is missing"},
        {"if": "pregnant", "then": "week is not missing"},
    ],
}


def simulate_visits(patients: int, draw: Draw) -> dict[str, Any]:
    counts = draw.integers(1, 5, patients)
    whose = np.repeat(np.arange(patients), counts)
    rows = len(whose)
    # Patients have different ones of the five visits, in any order.
    visit = np.concatenate([draw.permutation(5)[:count] + 1 for count in counts])
    female = (draw.random(patients) < 0.6)[whose]
    born = -draw.integers(20 * 366, 85 * 366, patients)[whose]  # days before the first of enrolment
    enrolled = draw.integers(0, 1000, patients)[whose]
    seen = enrolled + (visit - 1) * 90 + draw.integers(0, 30, rows)
    day_born, day_seen = dates("2018-01-01", born), dates("2018-01-01", seen)
    age = np.floor((day_seen - day_born).dt.days / 365.25).to_numpy()
    asked = female & (draw.random(rows) < 0.9)
    pregnant = asked & (age <= 45) & (draw.random(rows) < 0.25)
    return {
        "patient": [f"p{i}" for i in whose],
        "sex": np.where(female, "female", "male"),
        "born": day_born,
        "enrolled": dates("2018-01-01", enrolled),
        "visit": visit,
        "seen": day_seen,
        "age": age,
        "year": day_seen.dt.year,
        "pregnant": flags(pregnant, ~asked),
        "week": gappy(draw.integers(4, 43, rows), ~pregnant),
    }


def breach_visits(t: Cells) -> Bools:
    seen, enrolled, pregnant = t["seen"], t["enrolled"], t["pregnant"] == 1
    return (
        t.frame.duplicated(["patient", "visit"], keep=False).to_numpy()
        | (seen < enrolled)
        | (t["born"] >= enrolled)
        | t.off("age", np.floor((seen - t["born"]) / 365.25), 0)
        | t.off("year", t.frame["seen"].dt.year, 0)
        | ((t["sex"] == "male") & ~t.missing("pregnant"))
        | ((t["visit"] == 1) & (seen - enrolled > 30))
        | (pregnant & (t["age"] > 50))
        | (pregnant == t.missing("week"))
    )


REGISTRY = {
    "name": "registry",
    "patients": 5000,
    "fields": [
        day("born", "1920-01-01", "1995-12-31"),
        day("diagnosed", "2005-01-01", "2014-12-31"),
        day("treated", "2005-01-01", "2016-12-31", gaps=True),
        day("recurred_on", "2005-01-01", "2019-12-31", gaps=True),
        day("died_on", "2005-01-01", "2019-12-31", gaps=True),
        day("followed", "2005-01-01", "2019-12-31"),
        flag("dead"),
        flag("recurred"),
        integer("days_death", 1, 5500),
        integer("days_rec", 1, 5500),
        integer("age", 18, 90),
    ],
    "rules": [
        "born < diagnosed",
        "diagnosed <= treated <= followed",
        {"rule": "diagnosed < recurred_on < died_on", "name": "in this order"},
        "recurred_on <= followed",
        "diagnosed < died_on",
        {"derive": "dead", "as": "died_on is not missing"},
        {"derive": "recurred", "as": "recurred_on is not missing"},
        {"if": "dead", "then": "followed == died_on"},
        {"derive": "days_death", "as": "followed - diagnosed"},
        {"if": "not recurred", "then": "days_rec == days_death"},
        {"if": "recurred", "then": "days_rec == recurred_on - diagnosed"},
        {"derive": "age", "as": "floor((diagnosed - born) / 365.25)"},
    ],
}


def simulate_registry(rows: int, draw: Draw) -> dict[str, Any]:
    diagnosed = draw.integers(0, 3600, rows)
    born = diagnosed - (365.25 * draw.normal(62, 11, rows).clip(25, 84)).round()
    end = (draw.exponential(1500, rows).round() + 2).clip(2, 1800)
    dead, recurred = draw.random(rows) < 0.45, draw.random(rows) < 0.35
    back = 1 + np.floor((end - 2) * draw.beta(1, 2, rows))
    treated = np.minimum(draw.geometric(0.03, rows), end)
    first = "2005-01-01"
    ages = dates(first, diagnosed) - dates(first, born)
    return {
        "born": dates(first, born),
        "diagnosed": dates(first, diagnosed),
        "treated": dates(first, gappy(diagnosed + treated, draw.random(rows) < 0.25)),
        "recurred_on": dates(first, gappy(diagnosed + back, ~recurred)),
        "died_on": dates(first, gappy(diagnosed + end, ~dead)),
        "followed": dates(first, diagnosed + end),
        "dead": dead,
        "recurred": recurred,
        "days_death": end,
        "days_rec": np.where(recurred, back, end),
        "age": np.floor(ages.dt.days / 365.25),
    }


def breach_registry(t: Cells) -> Bools:
    start, end, back, death = t["diagnosed"], t["followed"], t["recurred_on"], t["died_on"]
    again, dead = ~t.missing("recurred_on"), ~t.missing("died_on")
    return (
        (t["born"] >= start)
        | (t["treated"] < start)
        | (t["treated"] > end)
        | (back <= start)
        | (back >= death)
        | (back > end)
        | (death <= start)
        | t.off("dead", dead, 0)
        | t.off("recurred", again, 0)
        | (dead & (end != death))
        | t.off("days_death", end - start, 0)
        | (t["days_rec"] != np.where(again, back - start, t["days_death"]))
        | t.off("age", np.floor((start - t["born"]) / 365.25), 0)
    )


LATTICES = {
    "name": "lattices",
    "patients": 3000,
    "fields": [
        integer("a", 0, 6),
        integer("b", 0, 6),
        integer("c", 0, 6),
        integer("d", 0, 6),
        integer("x", 0, 10),
        integer("y", 0, 10),
        integer("z", 0, 10, gaps=True),
        choice("kind", ["p", "q", "r"]),
    ],
    "rules": [
        {"rule": "a < b < c < d", "name": "ordered"},
        "x + y + z <= 10",
        "x != y",
        "z in [0, 2, 4, 8]",
        "a == 0 or d == 6",
        "x >= 2 or y >= 2",
        {"if": "kind == 'p'", "then": "a + b >= 3"},
        "kind != 'q' or x == y + 1",
        "abs(x - y) <= 3 or z == 0",
        {"if": "kind == 'r' and z is missing", "then": "c - b != d - c"},
    ],
}


def simulate_lattices(rows: int, draw: Draw) -> dict[str, Any]:
    fours = [four for four in combinations(range(7), 4) if four[0] == 0 or four[3] == 6]
    threes = [
        (x, y, z)
        for x in range(11)
        for y in range(11)
        for z in (0, 2, 4, 8)
        if x + y + z <= 10 and x != y and max(x, y) >= 2 and (abs(x - y) <= 3 or z == 0)
    ]
    a, b, c, d = np.array(fours)[draw.integers(0, len(fours), rows)].T
    weight = np.array([1 / (1 + x + z) for x, _, z in threes])
    x, y, z = np.array(threes)[draw.choice(len(threes), rows, p=weight / weight.sum())].T
    unknown = (abs(x - y) <= 3) & (c - b != d - c) & (draw.random(rows) < 0.2)
    may = np.stack([a + b >= 3, x == y + 1, np.ones(rows, bool)])
    kind = (may * draw.random((3, rows))).argmax(axis=0)
    return {
        "a": a,
        "b": b,
        "c": c,
        "d": d,
        "x": x,
        "y": y,
        "z": gappy(z, unknown),
        "kind": np.array(["p", "q", "r"])[kind],
    }


def breach_lattices(t: Cells) -> Bools:
    a, b, c, d, x, y, z = (t[name] for name in "abcdxyz")
    kind, unknown = t["kind"], t.missing("z")
    return (
        (a >= b)
        | (b >= c)
        | (c >= d)
        | (x + y + z > 10)
        | (x == y)
        | ~(unknown | np.isin(z, [0, 2, 4, 8]))
        | ((a != 0) & (d != 6))
        | ((x < 2) & (y < 2))
        | ((kind == "p") & (a + b < 3))
        | ((kind == "q") & (x != y + 1))
        | ((np.abs(x - y) > 3) & ~unknown & (z != 0))
        | ((kind == "r") & unknown & (c - b == d - c))
    )


STUDY_TABLES = (
    RuledTable(WOMEN, simulate_women, breach_women, {"births": (3, None)}),
    RuledTable(SCORES, simulate_scores, breach_scores, {"total": 99}),
    RuledTable(VISITS, simulate_visits, breach_visits, {"visit": 1}),
    RuledTable(
        REGISTRY,
        simulate_registry,
        breach_registry,
        {"recurred_on": (None, "2009-12-31")},
    ),
    RuledTable(LATTICES, simulate_lattices, breach_lattices, {"z": 8, "a": (1, None)}),
)
