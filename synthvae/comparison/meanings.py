"""What each figure of a comparison says, and what real rows stand for.

Which way a figure is better, its metric's record says. The figures are leaner than an evaluation's, so
they are described in words of their own.
"""

from synthvae.attacks.nearest import CLOSEST
from synthvae.comparison.values import Meaning
from synthvae.evaluation.analyses import C_INDEX
from synthvae.evaluation.detection import C2ST
from synthvae.evaluation.every_column import EVERY, LEAST_SKILL
from synthvae.evaluation.judging import TSTR
from synthvae.evaluation.margins import DISTANCES
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.survival import why_not_followed
from synthvae.evaluation.validity import CELLS
from synthvae.schema import Schema


def meanings(schema: Schema) -> tuple[Meaning, ...]:
    """Return the figures that a table has, in the order of the page."""
    survival = () if why_not_followed(schema) else (_SURVIVAL,)
    return (*_FIDELITY, *_targets(schema), _UTILITY, *survival, *_SAFETY)


def _meaning(metric: Metric, key: str, title: str, meaning: str, reference: str) -> Meaning:
    """Return what a figure says that is measured as a metric is."""
    return Meaning(
        key=key,
        title=title,
        meaning=meaning,
        direction=metric.direction,
        goal=metric.goal,
        reference=reference,
    )


def _targets(schema: Schema) -> list[Meaning]:
    return [
        _meaning(
            TSTR,
            f"tstr.{target.column}",
            f"TSTR {target.column}",
            f"{'R²' if schema[target.column].is_lattice else 'AUROC'} of predicting "
            f"{target.column} of real rows held out, by boosted trees trained on synthetic rows.",
            "trained on real rows (TRTR)",
        )
        for target in schema.target
    ]


_FIDELITY = (
    _meaning(
        DISTANCES[2],
        "tvd2",
        "2-way distance",
        "Mean total variation distance of the margins of pairs of columns from train's: the "
        "share of rows that would have to change.",
        "train drawn again with replacement: the noise of so many rows",
    ),
    _meaning(
        DISTANCES[3],
        "tvd3",
        "3-way distance",
        "The same for triples of columns, a fixed sample of at most 150.",
        "train drawn again with replacement",
    ),
    _meaning(
        C2ST,
        "c2st",
        "told apart",
        "AUC of boosted trees that tell synthetic rows from real rows held out; 0.5 is guessing.",
        "train rows in place of synthetic ones",
    ),
)
_UTILITY = _meaning(
    EVERY,
    "utility",
    "utility",
    "Each column in turn is predicted from the others: skill (R², or AUROC above 0.5) when "
    "trained on synthetic rows over skill when trained on real ones, cut to 0 to 1, and averaged over "
    f"the columns where real rows give a skill above {LEAST_SKILL:g}.",
    "1 by definition",
)
_SURVIVAL = _meaning(
    C_INDEX,
    "c_index",
    "c-index",
    "Concordance, on real rows held out, of a Cox model fitted on synthetic rows.",
    "fitted on real rows",
)
_SAFETY = (
    _meaning(
        CLOSEST[0],
        "membership",
        "membership attack",
        "AUC with which the distance to the closest synthetic record tells train's patients "
        "from others; 0.5 is guessing. A tripwire: finding nothing proves nothing.",
        "guessing",
    ),
    _meaning(
        CELLS, "valid", "valid cells", "Share of cells that the schema allows.", "1 by definition"
    ),
)
