"""What each figure of a comparison says, which way it is better, and what real rows stand for."""

from synthvae.comparison.survival import why_not
from synthvae.comparison.values import Meaning
from synthvae.schema import Schema

LEAST_SKILL = 0.05  # of real rows, for a column to count in utility

FIDELITY = (
    Meaning(
        key="tvd2",
        title="2-way distance",
        meaning="Mean total variation distance of the margins of pairs of columns from train's: the "
        "share of rows that would have to change.",
        direction="lower",
        reference="train drawn again with replacement: the noise of so many rows",
    ),
    Meaning(
        key="tvd3",
        title="3-way distance",
        meaning="The same for triples of columns, a fixed sample of at most 150.",
        direction="lower",
        reference="train drawn again with replacement",
    ),
    Meaning(
        key="c2st",
        title="told apart",
        meaning="AUC of boosted trees that tell synthetic rows from real rows held out; 0.5 is "
        "guessing.",
        direction="towards",
        goal=0.5,
        reference="train rows in place of synthetic ones",
    ),
)
UTILITY = Meaning(
    key="utility",
    title="utility",
    meaning="Each column in turn is predicted from the others: skill (R², or AUROC above 0.5) when "
    "trained on synthetic rows over skill when trained on real ones, cut to 0 to 1, and averaged over "
    f"the columns where real rows give a skill above {LEAST_SKILL:g}.",
    direction="higher",
    goal=1.0,
    reference="1 by definition",
)
C_INDEX = Meaning(
    key="c_index",
    title="c-index",
    meaning="Concordance, on real rows held out, of a Cox model fitted on synthetic rows.",
    direction="higher",
    reference="fitted on real rows",
)
SAFETY = (
    Meaning(
        key="membership",
        title="membership attack",
        meaning="AUC with which the distance to the closest synthetic record tells train's patients "
        "from others; 0.5 is guessing. A tripwire: finding nothing proves nothing.",
        direction="towards",
        goal=0.5,
        reference="guessing",
    ),
    Meaning(
        key="valid",
        title="valid cells",
        meaning="Share of cells that the schema allows.",
        direction="higher",
        goal=1.0,
        reference="1 by definition",
    ),
)


def meanings(schema: Schema) -> tuple[Meaning, ...]:
    """Return the figures that a table has, in the order of the page."""
    survival = () if why_not(schema) else (C_INDEX,)
    return (*FIDELITY, *_targets(schema), UTILITY, *survival, *SAFETY)


def _targets(schema: Schema) -> list[Meaning]:
    return [
        Meaning(
            key=f"tstr.{target.column}",
            title=f"TSTR {target.column}",
            meaning=f"{'R²' if schema[target.column].is_lattice else 'AUROC'} of predicting "
            f"{target.column} of real rows held out, by boosted trees trained on synthetic rows.",
            direction="higher",
            reference="trained on real rows (TRTR)",
        )
        for target in schema.target
    ]
