"""Every column as a target: how much of what real rows can tell do synthetic rows still tell?"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from synthvae._text import counted
from synthvae.evaluation.intervals import jackknife, jackknife_groups
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.utility import holdout_skill
from synthvae.evaluation.values import Score
from synthvae.schema import Target

MOST_ROWS = 4000
ROUNDS = 30
LEAST_SKILL = 0.05  # of real rows, for a column to count
WORST = 5

EVERY = Metric(
    "all_targets",
    "Every column as a target",
    "Each column is predicted from all others by boosted trees; of the skill that real rows teach "
    "(R², or the AUROC above chance on a scale to 1), this share is learnt from synthetic rows, on "
    "average.",
    "higher",
    family="predictions",
    topic="utility",
    goal=1.0,
    threshold=Limits(0.9, 0.6, "nine tenths of the skill that real rows teach"),
    disclosure="grid",
)
METRICS = (EVERY,)

Floats = NDArray[np.float64]
Skills = dict[str, Floats]  # of columns, by name


def predict_every_column(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the mean share of the real skill that synthetic rows teach, over all columns."""
    some = Tables(
        tables.schema,
        *(
            at_most(table, MOST_ROWS, generator)
            for table in (
                tables.train,
                tables.holdout,
                tables.synthetic,
                tables.independent,
                tables.bootstrap,
            )
        ),
    )
    groups = jackknife_groups(some.holdout.patients, generator)
    sets = np.arange(groups.max() + 1)[:, None] != groups
    weights = np.r_[np.ones((1, len(groups))), sets]
    names = [field.name for field in tables.schema.modelled]
    real = telling(column_skills(some, some.train, names, ROUNDS, weights))
    if not real:
        reason = f"no column can be told from the others with a skill of {LEAST_SKILL:g} or more"
        return (EVERY.unanswered(reason),)
    shares = shares_kept(real, column_skills(some, some.synthetic, real, ROUNDS, weights))
    kept = np.mean([*shares.values()], axis=0)
    worst = sorted(shares, key=lambda name: float(shares[name][0]))[:WORST]
    named = ", ".join(f"'{name}' ({shares[name][0]:.2f} of {real[name][0]:.2f})" for name in worst)
    sampled = ""
    if max(len(tables.train), len(tables.synthetic), len(tables.holdout)) > MOST_ROWS:
        sampled = f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    score = EVERY.answer(
        kept[0],
        jackknife(float(kept[0]), kept[1:], "holdout patients"),
        {"chance": 0.0, "ideal": 1.0},
        f"{counted(len(real), 'column')} of {len(tables.schema.modelled)} have a skill above "
        f"{LEAST_SKILL:g} on real rows. Least is kept of: {named}.{sampled}",
    )
    return (score,)


def telling(skills: Skills) -> Skills:
    """Return the skills of the columns that can be told from the others at all."""
    return {name: figures for name, figures in skills.items() if figures[0] > LEAST_SKILL}


def shares_kept(real: Skills, synthetic: Skills) -> Skills:
    """Return the share of each real skill that synthetic rows teach, 0 to 1."""
    nothing = np.zeros(1)
    return {
        name: np.clip(synthetic.get(name, nothing) / np.maximum(figures, 1e-9), 0, 1)
        for name, figures in real.items()
    }


def column_skills(
    tables: Tables,
    learn: Table,
    names: Iterable[str],
    rounds: int,
    weights: Floats | None = None,
) -> Skills:
    """Return the skill with which boosted trees fitted on a table predict columns of the holdout.

    That is R², or the AUROC above 0.5 on a scale to 1, under each set of weights of the holdout's
    rows; a column that cannot be learnt or tested is left out.
    """
    skills = {}
    for name in names:
        found = holdout_skill(tables, Target(column=name), learn, rounds, weights)
        if found is not None:
            scaled = found if tables.schema[name].is_lattice else 2 * found - 1
            skills[name] = np.nan_to_num(scaled)
    return skills
