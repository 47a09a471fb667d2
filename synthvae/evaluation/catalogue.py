"""Every module's metrics in one list: which record a score belongs to, by its key."""

from functools import cache

from synthvae.attacks.guessing import METRICS as GUESSES
from synthvae.attacks.likelihood import METRICS as LIKELIHOOD
from synthvae.attacks.nearest import METRICS as NEAREST
from synthvae.attacks.shadow import METRICS as SHADOW
from synthvae.attacks.singling_out import METRICS as SINGLING_OUT
from synthvae.evaluation.analyses import METRICS as ANALYSES
from synthvae.evaluation.associations import METRICS as ASSOCIATIONS
from synthvae.evaluation.detection import METRICS as DETECTION
from synthvae.evaluation.every_column import METRICS as EVERY_COLUMN
from synthvae.evaluation.groups import METRICS as GROUPS
from synthvae.evaluation.judging import METRICS as PREDICTIONS
from synthvae.evaluation.margins import METRICS as MARGINS
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.prediction import METRICS as RANKINGS
from synthvae.evaluation.propensity import METRICS as PROPENSITY
from synthvae.evaluation.quality import METRICS as QUALITY
from synthvae.evaluation.rules import METRICS as RULES
from synthvae.evaluation.survival import METRICS as SURVIVAL
from synthvae.evaluation.tails import METRICS as TAILS
from synthvae.evaluation.validity import METRICS as VALIDITY

METRICS: tuple[Metric, ...] = (
    *(*VALIDITY, *QUALITY, *RULES),
    *(*MARGINS, *TAILS, *ASSOCIATIONS, *DETECTION, *PROPENSITY),
    *(*ANALYSES, *SURVIVAL, *PREDICTIONS, *RANKINGS, *EVERY_COLUMN, *GROUPS),
    *(*NEAREST, *LIKELIHOOD, *GUESSES, *SINGLING_OUT, *SHADOW),
)
# A score of another version, say: it has no threshold, and nothing of it is published.
UNKNOWN = Metric(
    "",
    "",
    "",
    "lower",
    family="unknown",
    topic="fidelity",
    charted=True,
    withheld_as="nobody has judged it",
)


@cache
def metric_of(key: str) -> Metric:
    """Return the record that a score's key belongs to, `UNKNOWN` where there is none."""
    return next((metric for metric in METRICS if metric.names(key) is not None), UNKNOWN)
