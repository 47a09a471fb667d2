"""Tables of a hospital's house: stays, laboratory, costs, wards, and an emergency room by the clock."""

from typing import Any

import numpy as np
import pandas as pd

from tests.rules.ruled_table import (
    Bools,
    Cells,
    RuledTable,
    choice,
    dates,
    day,
    flag,
    gappy,
    integer,
    number,
)

Draw = np.random.Generator

STAYS = {
    "name": "stays",
    "patients": 4000,
    "fields": [
        choice("sex", ["female", "male"]),
        flag("urgent"),
        day("admitted", "2019-01-01", "2020-12-31"),
        day("operated", "2019-01-01", "2020-12-31", gaps=True),
        day("discharged", "2019-01-01", "2020-12-31", gaps=True),
        integer("stay", 0, 120, gaps=True),
        integer("icu", 0, 60),
        flag("died"),
        choice("cause", ["heart", "lung", "infection", "other"], gaps=True),
    ],
    "rules": [
        "admitted <= operated <= discharged",
        {"rule": "admitted <= discharged", "name": "nobody leaves before they come"},
        {"derive": "stay", "as": "discharged - admitted"},
        "icu <= stay",
        {"if": "urgent", "then": "operated - admitted <= 2"},
        {"if": "icu > 10", "then": "operated is not missing"},
        {"if": "died", "then": "cause is not missing and discharged is not missing"},
        {"if": "not died", "then": "cause is missing"},
    ],
}


def simulate_stays(rows: int, draw: Draw) -> dict[str, Any]:
    urgent = draw.random(rows) < 0.4
    stay = np.minimum(draw.geometric(0.1, rows), 110).astype(float)
    icu = np.where(draw.random(rows) < 0.25, (stay * draw.random(rows)).astype(int), 0).clip(0, 60)
    start = draw.integers(0, 600, rows)
    waited = np.minimum(stay, draw.integers(0, np.where(urgent, 3, 10)))
    died = draw.random(rows) < 0.05 + 0.3 * (icu > 3)
    open_end = ~died & (draw.random(rows) < 0.1)
    cause = draw.choice(["heart", "lung", "infection", "other"], rows)
    return {
        "sex": draw.choice(["female", "male"], rows),
        "urgent": urgent,
        "admitted": dates("2019-01-01", start),
        "operated": dates("2019-01-01", start + gappy(waited, (icu <= 10) & (stay % 3 != 0))),
        "discharged": dates("2019-01-01", start + gappy(stay, open_end)),
        "stay": gappy(stay, open_end),
        "icu": icu,
        "died": died,
        "cause": gappy(cause, ~died),
    }


def breach_stays(t: Cells) -> Bools:
    operated, no_cause, died = t["operated"], t.missing("cause"), t["died"] == 1
    return (
        (operated < t["admitted"])
        | (operated > t["discharged"])
        | (t["discharged"] < t["admitted"])
        | t.off("stay", t["discharged"] - t["admitted"])
        | (t["icu"] > t["stay"])
        | ((t["urgent"] == 1) & (operated - t["admitted"] > 2))
        | ((t["icu"] > 10) & t.missing("operated"))
        | (died & (no_cause | t.missing("discharged")))
        | (~died & ~no_cause)
    )


LABS = {
    "name": "labs",
    "patients": 4000,
    "fields": [
        number("weight", 30, 200, gaps=True),
        number("height", 120, 210, 0, gaps=True),
        number("bmi", 10, 70, gaps=True),
        choice("weight_class", ["under", "normal", "over", "obese"], gaps=True),
        integer("sbp", 70, 250, gaps=True),
        integer("dbp", 30, 150, gaps=True),
        integer("pulse_pressure", 10, 120, gaps=True),
        number("arterial", 40, 180, 0, gaps=True),
        number("crp", 0, 500, gaps=True),
        day("crp_on", "2020-01-01", "2020-12-31", gaps=True),
        day("seen", "2020-01-01", "2020-12-31"),
    ],
    "rules": [
        {"derive": "bmi", "as": "weight / (height / 100) ** 2"},
        {
            "derive": "weight_class",
            "as": "'under' if bmi < 18.5 else 'normal' if bmi < 25 else 'over' if bmi < 30 else 'obese'",
        },
        {"together": ["sbp", "dbp"]},
        {"rule": "sbp - dbp >= 10", "name": "pulse pressure"},
        {"derive": "pulse_pressure", "as": "sbp - dbp"},
        {"derive": "arterial", "as": "(sbp + 2 * dbp) / 3"},
        {"together": ["crp", "crp_on"]},
        "crp_on <= seen",
        "seen - crp_on <= 30",
        {"if": "weight is missing", "then": "height is missing"},
    ],
}


def simulate_labs(rows: int, draw: Draw) -> dict[str, Any]:
    height = draw.normal(170, 9, rows).round().clip(130, 205)
    aimed = np.exp(draw.normal(3.25, 0.18, rows)).clip(15, 55)
    weight = (aimed * (height / 100) ** 2).round(1).clip(35, 190)
    tall = gappy(height, draw.random(rows) < 0.1)
    heavy = gappy(weight, np.isnan(tall) & (draw.random(rows) < 0.8))
    bmi = (heavy / (tall / 100) ** 2).round(1)
    dbp = draw.normal(80, 11, rows).round().clip(40, 120)
    sbp = (dbp + 12 + draw.gamma(4, 9, rows)).round().clip(75, dbp + 115)
    unseen, none = draw.random(rows) < 0.15, draw.random(rows) < 0.3
    seen = draw.integers(40, 366, rows)
    ranks = np.digitize(np.nan_to_num(bmi), [18.5, 25, 30])
    return {
        "weight": heavy,
        "height": tall,
        "bmi": bmi,
        "weight_class": gappy(np.array(["under", "normal", "over", "obese"])[ranks], np.isnan(bmi)),
        "sbp": gappy(sbp, unseen),
        "dbp": gappy(dbp, unseen),
        "pulse_pressure": gappy(sbp - dbp, unseen),
        "arterial": gappy(((sbp + 2 * dbp) / 3).round(), unseen),
        "crp": gappy(np.exp(draw.normal(1.5, 1.2, rows)).clip(0, 500).round(1), none),
        "crp_on": dates("2020-01-01", gappy(seen - draw.integers(0, 31, rows), none)),
        "seen": dates("2020-01-01", seen),
    }


def breach_labs(t: Cells) -> Bools:
    bmi, sbp, dbp, waited = t["bmi"], t["sbp"], t["dbp"], t["seen"] - t["crp_on"]
    classes = np.select([bmi < 18.5, bmi < 25, bmi < 30], ["under", "normal", "over"], "obese")
    return (
        t.off("bmi", t["weight"] / (t["height"] / 100) ** 2, 0.1)
        | t.other("weight_class", gappy(classes, np.isnan(bmi)))
        | t.apart("sbp", "dbp")
        | (sbp - dbp < 10)
        | t.off("pulse_pressure", sbp - dbp)
        | t.off("arterial", (sbp + 2 * dbp) / 3)
        | t.apart("crp", "crp_on")
        | (waited < 0)
        | (waited > 30)
        | (t.missing("weight") & ~t.missing("height"))
    )


COSTS = {
    "name": "costs",
    "patients": 4000,
    "fields": [
        flag("insured"),
        flag("has_drugs"),
        number("drugs", 1, 3000, 2, special=[0]),
        number("visits", 1, 2000, 2, special=[0]),
        number("outpatient", 0, 5000, 2),
        number("surgery", 100, 20000, 2, special=[0]),
        flag("any_surgery"),
        number("total", 0, 22000, 2),
        number("copay", 0, 2000, 2),
        number("insurer", 0, 22000, 2),
        integer("nights", 0, 30),
        choice("band", ["none", "low", "high"]),
    ],
    "rules": [
        {"rule": "outpatient == drugs + visits", "name": "outpatient is the sum of its parts"},
        {"derive": "total", "as": "outpatient + surgery"},
        {"derive": "any_surgery", "as": "surgery > 0"},
        "has_drugs == (drugs > 0)",
        "insurer + copay == total",
        {"if": "not insured", "then": "insurer == 0"},
        {"if": "surgery > 0", "then": "nights >= 1"},
        {"derive": "band", "as": "'none' if total == 0 else 'low' if total < 1000 else 'high'"},
    ],
}


def simulate_costs(rows: int, draw: Draw) -> dict[str, Any]:
    insured = draw.random(rows) < 0.85

    def part(share: float, log: float, low: float, high: float) -> Any:
        some = np.exp(draw.normal(log, 0.8, rows)).clip(low, high).round(2)
        return np.where(draw.random(rows) < share, some, 0.0)

    drugs, visits = part(0.6, 4.5, 1, 3000), part(0.7, 5, 1, 2000)
    surgery = part(0.2, 7.5, 100, 15000) * insured
    drugs = np.where(insured, drugs, np.minimum(drugs, 900))
    visits = np.where(insured, visits, np.minimum(visits, 900))
    outpatient = (drugs + visits).round(2)
    total = (outpatient + surgery).round(2)
    copay = np.where(insured, np.minimum(total * draw.uniform(0.05, 0.3, rows), 2000), total)
    copay = copay.round(2)
    return {
        "insured": insured,
        "has_drugs": drugs > 0,
        "drugs": drugs,
        "visits": visits,
        "outpatient": outpatient,
        "surgery": surgery,
        "any_surgery": surgery > 0,
        "total": total,
        "copay": copay,
        "insurer": (total - copay).round(2),
        "nights": np.where(surgery > 0, 1 + draw.poisson(3, rows), draw.random(rows) < 0.1),
        "band": np.select([total == 0, total < 1000], ["none", "low"], "high"),
    }


def breach_costs(t: Cells) -> Bools:
    total, cent = t["total"], 1e-6
    bands = np.select([total == 0, total < 1000], ["none", "low"], "high")
    return (
        (np.abs(t["outpatient"] - t["drugs"] - t["visits"]) > cent)
        | t.off("total", t["outpatient"] + t["surgery"], 0.01)
        | t.other("any_surgery", t["surgery"] > 0)
        | (t["has_drugs"] != (t["drugs"] > 0))
        | (np.abs(t["insurer"] + t["copay"] - total) > cent)
        | ((t["insured"] == 0) & (t["insurer"] > 0))
        | ((t["surgery"] > 0) & (t["nights"] < 1))
        | t.other("band", bands)
    )


HOSPITALS = [f"h{i:02d}" for i in range(30)]
WARD_NAMES = [f"w{i:03d}" for i in range(300)]
SPECIALTIES = ["medicine", "surgery", "paediatrics", "obstetrics", "geriatrics", "psychiatry"]
# Each hospital has ten wards, each ward one specialty or two.
COMBINATIONS = pd.DataFrame(
    sorted(
        {
            (HOSPITALS[i // 10], ward, SPECIALTIES[place % 6])
            for i, ward in enumerate(WARD_NAMES)
            for place in (i, i + (i % 3 == 0))
        }
    ),
    columns=["hospital", "ward", "specialty"],
)
THEATRES = [["medicine", "none"], ["surgery", "main"], ["surgery", "day"], ["paediatrics", "main"],
            ["paediatrics", "none"], ["obstetrics", "birth"], ["obstetrics", "main"],
            ["geriatrics", "none"], ["psychiatry", "none"]]  # fmt: skip
WARDS = {
    "name": "wards",
    "patients": 6000,
    "fields": [
        choice("sex", ["female", "male"]),
        integer("age", 0, 100),
        choice("hospital", HOSPITALS),
        choice("ward", WARD_NAMES),
        choice("specialty", SPECIALTIES),
        choice("theatre", ["none", "main", "day", "birth"], gaps=True),
        integer("nights", 0, 60, gaps=True),
    ],
    "rules": [
        {"allowed": ["hospital", "ward", "specialty"], "values": "wards.csv"},
        {"allowed": ["specialty", "theatre"], "values": THEATRES},
        {"if": "specialty == 'paediatrics'", "then": "age < 18"},
        {"if": "specialty == 'obstetrics'", "then": "sex == 'female' and 14 <= age <= 50"},
        {"if": "specialty == 'geriatrics'", "then": "age >= 65"},
        {"if": "theatre == 'day'", "then": "nights in [0, 1]"},
        {"if": "ward in ['w000', 'w001', 'w002']", "then": "nights is not missing"},
    ],
}


def simulate_wards(rows: int, draw: Draw) -> dict[str, Any]:
    share = draw.pareto(1.5, len(COMBINATIONS)) + 0.2
    chosen = draw.choice(len(COMBINATIONS), rows, p=share / share.sum())
    bed = COMBINATIONS.iloc[chosen].reset_index(drop=True)
    low = bed["specialty"].map({"paediatrics": 0, "obstetrics": 16, "geriatrics": 65}).fillna(18)
    high = bed["specialty"].map({"paediatrics": 17, "obstetrics": 46}).fillna(100)
    age = (low + (high - low) * draw.beta(2, 2, rows)).round().astype(int)
    female = (bed["specialty"] == "obstetrics") | (draw.random(rows) < 0.5)
    options = {name: [t for s, t in THEATRES if s == name] for name in SPECIALTIES}
    theatre = np.array([str(draw.choice(options[name])) for name in bed["specialty"]], object)
    theatre = gappy(theatre, draw.random(rows) < 0.1)
    nights = np.where(theatre == "day", draw.integers(0, 2, rows), draw.geometric(0.2, rows))
    unknown = (draw.random(rows) < 0.1) & (theatre != "day") & (bed["ward"] > "w002")
    return {
        "sex": np.where(female, "female", "male"),
        "age": age,
        "hospital": bed["hospital"],
        "ward": bed["ward"],
        "specialty": bed["specialty"],
        "theatre": theatre,
        "nights": gappy(nights.clip(0, 60), unknown),
    }


def breach_wards(t: Cells) -> Bools:
    beds = pd.MultiIndex.from_frame(t.frame[list(COMBINATIONS)])
    rooms = pd.MultiIndex.from_frame(t.frame[["specialty", "theatre"]])
    age, kind = t["age"], t["specialty"]
    nursing = (t["sex"] == "female") & (age >= 14) & (age <= 50)
    no_room = ~rooms.isin([tuple(pair) for pair in THEATRES]) & ~t.missing("theatre")
    return (
        ~beds.isin(pd.MultiIndex.from_frame(COMBINATIONS))
        | no_room
        | ((kind == "paediatrics") & (age >= 18))
        | ((kind == "obstetrics") & ~nursing)
        | ((kind == "geriatrics") & (age < 65))
        | ((t["theatre"] == "day") & (t["nights"] > 1))
        | (np.isin(t["ward"].astype(str), ["w000", "w001", "w002"]) & t.missing("nights"))
    )


def clock(name: str, **more: Any) -> dict[str, Any]:
    ends = ("2022-01-01T00:00:00", "2023-12-31T23:45:00")
    return day(name, *ends, **more) | {"type": "datetime", "step": "15 min"}


EMERGENCIES = {
    "name": "emergencies",
    "patients": 5000,
    "fields": [
        clock("arrived"),
        clock("seen"),
        clock("left", gaps=True),
        number("wait", 0, 24, 2),
        choice("priority", ["high", "low"]),
        number("first_temp", 34, 42, step=0.5),
        number("second_temp", 34, 42, step=0.5, gaps=True),
        number("peak", 34, 42, step=0.5, gaps=True),
        integer("swing", 0, 6, gaps=True),
        flag("antipyretic"),
        integer("year", 2022, 2023),
        number("weight", 30, 150),
        number("height", 130, 200, 0),
        number("bmi", 14, 60),
        number("dose", 1, 15, step=0.5),
    ],
    "rules": [
        "arrived <= seen < left",
        {"rule": "left - seen <= 0.5", "name": "twelve hours at most"},
        {"derive": "wait", "as": "(seen - arrived) * 24"},
        {"derive": "peak", "as": "max(first_temp, second_temp)"},
        {"derive": "swing", "as": "round(peak - min(first_temp, second_temp))"},
        {"derive": "priority", "as": "'high' if wait <= 1 or first_temp >= 40 else 'low'"},
        {"if": "antipyretic", "then": "peak >= 38"},
        {"derive": "year", "as": "year(arrived)"},
        "abs(weight / (height / 100) ** 2 - bmi) <= 0.1",
        "abs(dose - weight / 10) <= 1",
    ],
}


def simulate_emergencies(rows: int, draw: Draw) -> dict[str, Any]:
    arrived = draw.integers(0, 729 * 96, rows)
    wait = np.minimum(draw.geometric(0.12, rows) - 1, 96)
    left = arrived + wait + draw.integers(1, 49, rows)
    first = (draw.normal(75, 2, rows).round() / 2).clip(35, 41.5)
    second = gappy(first + draw.integers(-2, 3, rows) / 2, draw.random(rows) < 0.2).clip(34, 42)
    peak = np.maximum(first, second)
    height = draw.normal(170, 9, rows).round().clip(140, 198)
    weight = (draw.normal(26, 4, rows).clip(17, 42) * (height / 100) ** 2).round(1).clip(34, 148)
    quarter = 1 / 96
    return {
        "arrived": dates("2022-01-01", arrived * quarter).dt.round("15min"),
        "seen": dates("2022-01-01", (arrived + wait) * quarter).dt.round("15min"),
        "left": dates("2022-01-01", gappy(left, draw.random(rows) < 0.1) * quarter).dt.round(
            "15min"
        ),
        "wait": wait / 4,
        "priority": np.where((wait <= 4) | (first >= 40), "high", "low"),
        "first_temp": first,
        "second_temp": second,
        "peak": peak,
        "swing": (peak - np.minimum(first, second)).round(),
        "antipyretic": (np.nan_to_num(peak) >= 38) & (draw.random(rows) < 0.6),
        "year": 2022 + (arrived >= 365 * 96),
        "weight": weight,
        "height": height,
        "bmi": (weight / (height / 100) ** 2).round(1),
        "dose": (weight / 5 + draw.integers(-1, 2, rows)).round() / 2,
    }


def breach_emergencies(t: Cells) -> Bools:
    first, second, peak = t["first_temp"], t["second_temp"], t["peak"]
    wait, stay = t["seen"] - t["arrived"], t["left"] - t["seen"]
    soon = (t["wait"] <= 1) | (first >= 40)
    return (
        (wait < 0)
        | (stay <= 0)
        | (stay > 0.5 + 1e-6)
        | t.off("wait", wait * 24, 0.01)
        | t.off("peak", np.maximum(first, second), 0.5)
        | t.off("swing", peak - np.minimum(first, second))
        | t.other("priority", np.where(soon, "high", "low"))
        | ((t["antipyretic"] == 1) & (peak < 38))
        | t.off("year", 2022 + (t["arrived"] >= t.day("2023-01-01")))
        | (np.abs(t["weight"] / (t["height"] / 100) ** 2 - t["bmi"]) > 0.1 + 1e-6)
        | (np.abs(t["dose"] - t["weight"] / 10) > 1 + 1e-6)
    )


WARD_TABLES = (
    RuledTable(STAYS, simulate_stays, breach_stays, {"died": True}),
    RuledTable(LABS, simulate_labs, breach_labs, {"sbp": (160, None)}),
    RuledTable(
        COSTS,
        simulate_costs,
        breach_costs,
        {"has_drugs": False, "insured": True},
    ),
    RuledTable(
        WARDS,
        simulate_wards,
        breach_wards,
        {"age": (0, 12)},
        files={"wards.csv": COMBINATIONS.to_csv(index=False)},
        far={"ward": 0.25},  # of 300, with 20 patients in each
    ),
    RuledTable(
        EMERGENCIES,
        simulate_emergencies,
        breach_emergencies,
        {"antipyretic": True},
    ),
)
