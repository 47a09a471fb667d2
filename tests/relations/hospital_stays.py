"""A table whose columns are tied in every way that is looked for, beside columns that are not."""

import numpy as np
import pandas as pd

from synthvae.schema import Schema

LARGE = {"minimum": 0, "maximum": 1000}
MAYBE = LARGE | {"required": False}
DATES = {"minimum": "2000-01-01", "maximum": "2029-12-31"}
STAYS = Schema.from_dict(
    {
        "name": "stays",
        "fields": [
            {"name": "admitted", "type": "date", "constraints": DATES},
            {"name": "discharged", "type": "date", "constraints": DATES},
            {"name": "stay", "type": "integer", "constraints": LARGE},
            {"name": "died", "type": "boolean"},
            {"name": "cause", "constraints": {"enum": ["heart", "other"], "required": False}},
            {"name": "sex", "constraints": {"enum": ["f", "m"]}},
            {"name": "births", "type": "integer", "constraints": MAYBE},
            {"name": "sbp", "type": "integer", "unit": "mmHg", "constraints": LARGE},
            {"name": "dbp", "type": "integer", "unit": "mmHg", "constraints": LARGE},
            *({"name": f"v{i}", "type": "integer", "constraints": LARGE} for i in range(3)),
            {"name": "visits", "type": "integer", "constraints": LARGE},
            {"name": "seen", "constraints": {"enum": ["no", "yes"]}},
            {"name": "hospital", "constraints": {"enum": [f"h{i}" for i in range(5)]}},
            {"name": "region", "constraints": {"enum": ["north", "south"]}},
            {"name": "bmi", "type": "number", "decimals": 1, "constraints": LARGE},
            {"name": "weight class", "constraints": {"enum": ["normal", "obese", "over"]}},
            {"name": "lab", "type": "number", "decimals": 1, "constraints": MAYBE},
            {"name": "lab time", "type": "integer", "constraints": MAYBE},
            {"name": "smoker", "constraints": {"enum": ["current", "former", "never"]}},
            {"name": "cigarettes", "type": "integer", "constraints": LARGE},
            {"name": "follow_up", "type": "integer", "constraints": LARGE},
            {"name": "relapse", "type": "integer", "constraints": LARGE},
            {"name": "relapsed", "type": "boolean"},
            *({"name": name, "type": "boolean"} for name in ("good", "fair", "poor")),
            {"name": "age", "type": "integer", "constraints": LARGE},
            {"name": "rate", "type": "integer", "constraints": LARGE},
        ],
    }
)
RULES = {
    '{allowed: ["hospital", "region"], values: [["h0", "north"], ["h1", "north"], ["h2", "south"], '
    '["h3", "south"], ["h4", "south"]]}',
    "dbp <= sbp",
    "relapse <= follow_up",
    '{derive: "discharged", as: "admitted + stay"}',
    '{derive: "visits", as: "v0 + v1 + v2"}',
    "{derive: \"seen\", as: \"'yes' if v0 > 0 else 'no'\"}",
    "{derive: \"weight class\", as: \"'normal' if bmi < 25 else 'over' if bmi < 30 else 'obese'\"}",
    '{if: "not relapsed", then: "follow_up == relapse"}',
    '{together: ["lab", "lab time"]}',
    "fair + good + poor <= 1",
    '{if: "died", then: "cause is not missing"}',
    '{if: "not died", then: "cause is missing"}',
    '{if: "sex == \'f\'", then: "births is not missing"}',
    '{if: "sex == \'m\'", then: "births is missing"}',
    "{if: \"smoker in ['current', 'former']\", then: \"cigarettes > 0\"}",
    '{if: "smoker == \'never\'", then: "cigarettes == 0"}',
}


def stays(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table for `STAYS`, in which the relations of `RULES` hold and no others."""
    g = np.random.default_rng(seed)
    day = np.datetime64("2015-01-01") + g.integers(0, 3000, rows)
    stay, dbp = g.poisson(5, rows), g.normal(78, 14, rows).round().astype(int)
    died, relapsed, lab = g.random(rows) < 0.3, g.random(rows) < 0.4, g.random(rows) < 0.6
    sex, hospital = g.choice(["f", "m"], rows), g.integers(0, 5, rows)
    bmi, smoker = g.normal(27, 4, rows).round(1), g.choice(["never", "former", "current"], rows)
    v = g.poisson([[1.0], [2.0], [0.7]], (3, rows))
    follow_up, health = g.integers(30, 900, rows), g.choice(4, rows, p=[0.3, 0.3, 0.2, 0.2])
    relapse = np.where(relapsed, (follow_up * g.random(rows)).astype(int), follow_up)
    return pd.DataFrame(
        {
            "admitted": day.astype(str),
            "discharged": (day + stay).astype(str),
            "stay": stay,
            "died": died,
            "cause": np.where(died, g.choice(["heart", "other"], rows), ""),
            "sex": sex,
            "births": np.where(sex == "f", g.poisson(1.2, rows).astype(float), np.nan),
            "sbp": dbp + g.gamma(2, 20, rows).astype(int),
            "dbp": dbp,
            **{f"v{i}": v[i] for i in range(3)},
            "visits": v.sum(axis=0),
            "seen": np.where(v[0] > 0, "yes", "no"),
            "hospital": [f"h{i}" for i in hospital],
            "region": np.where(hospital < 2, "north", "south"),
            "bmi": bmi,
            "weight class": np.select([bmi < 25, bmi < 30], ["normal", "over"], "obese"),
            "lab": np.where(lab, g.lognormal(1, 0.6, rows).round(1), np.nan),
            "lab time": np.where(lab, g.integers(0, 1000, rows), np.nan),
            "smoker": smoker,
            "cigarettes": np.where(smoker == "never", 0, g.poisson(12, rows) + 1),
            "follow_up": follow_up,
            "relapse": relapse,
            "relapsed": relapsed,
            **{name: health == i for i, name in enumerate(("good", "fair", "poor"))},
            "age": g.integers(18, 95, rows),
            "rate": g.normal(75, 12, rows).round().astype(int),
        }
    )
