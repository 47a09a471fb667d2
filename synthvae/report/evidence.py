"""Figures as phrases: what a claim rests on."""

from collections.abc import Sequence

from synthvae._text import counted
from synthvae.evaluation.catalogue import metric_of
from synthvae.evaluation.levels import draws_worse
from synthvae.evaluation.values import Analysis, Attack, Coefficient, GroupFigure, Risk, Score
from synthvae.report.judging import attack_title, is_withheld, limits_in_words
from synthvae.report.words import listed, number, plain, range_text, shorten


def has_run(score: Score) -> bool:
    """Tell whether a score has a value."""
    return score.not_run is None and score.value is not None


def score_words(score: Score) -> str:
    """Return a score with its limits, and its other draws where they are worse."""
    said = [limits_in_words(score)] if score.threshold else []
    if draws_worse(score):
        said.append(f"other draws: {number(min(score.draws))} to {number(max(score.draws))}")
    share_of = metric_of(score.key).share_of
    of = f" of {share_of}" if share_of else ""
    return f"{shorten(score.title, 80)} is {number(score.value)}{of}" + (
        f" ({'; '.join(said)})" if said else ""
    )


def attack_words(attack: Attack) -> str:
    """Return a membership attack with its AUC."""
    found = f"AUC {number(attack.auc)} ({range_text(attack.auc_interval)})"
    return f"{shorten(attack.title, 80)}: {found}"


def risk_words(risk: Risk) -> str:
    """Return a guess about patients with its gain."""
    return f"{shorten(risk.title, 80)}: gain {number(risk.gain)} ({range_text(risk.gain_interval)})"


def analysis_words(analysis: Analysis) -> str:
    """Return what became of a declared analysis."""
    name = shorten(analysis.name, 80)
    if analysis.not_run is not None:
        return f"{name}: {'withheld' if is_withheld(analysis) else 'did not run'}"
    terms = analysis.coefficients
    if not terms:
        return f"{name}: {counted(len(analysis.curves), 'curve')}"
    return f"{name}: {signs_in_words(terms)}"


def signs_in_words(terms: Sequence[Coefficient]) -> str:
    """Return how many terms keep the real sign: of all, and of those that are told from 0."""
    told = [term for term in terms if not term.real_interval.low <= 0 <= term.real_interval.high]
    alike, kept = (sum(term.same_sign for term in some) for some in (terms, told))
    return (
        f"{alike} of {counted(len(terms), 'term')} with the real sign, and {kept} of the "
        f"{len(told)} that the real rows tell from 0"
    )


def attack_titles(found: Sequence[Attack | Risk]) -> str:
    """Return the titles of some attacks as a list."""
    return listed([shorten(one.title, 80) for one in found], 3)


def titled(found: Sequence[Score | Analysis]) -> str:
    """Return scores and analyses as a list, an attack with several scores once."""
    return listed([shorten(name, 80) for name in names_of(found)], 3)


def names_of(found: Sequence[Score | Analysis]) -> list[str]:
    """Return what scores and analyses are called, each name once."""
    names = (attack_title(one) if isinstance(one, Score) else one.name for one in found)
    return list(dict.fromkeys(names))


def missing_words(found: Sequence[Score | Analysis]) -> str:
    """Return what has no figure, and why: it did not run, or the public rendering withholds it."""
    reason = plain(found[0].not_run or "no reason was given")
    verb = "is" if len(names_of(found)) == 1 else "are"
    if is_withheld(found[0]):
        return f"{titled(found)} {verb} {reason}"
    return f"{titled(found)} did not run: {reason}"


def group_name(figure: GroupFigure) -> str:
    """Return which group a figure is of."""
    return f"{plain(figure.column)} = {plain(figure.group)}"


def group_list(figures: Sequence[GroupFigure]) -> str:
    """Return which groups some figures are of, each once."""
    return listed(list(dict.fromkeys(map(group_name, figures))), 4)


def figure_words(figure: GroupFigure, score: Score | None) -> str:
    """Return a group's figure with its interval and the limits of its score."""
    title = shorten(figure.key if score is None else score.title, 80)
    ends = "" if figure.interval is None else f", {range_text(figure.interval)}"
    limits = "" if score is None else f" ({limits_in_words(score)})"
    return f"{title} is {number(figure.value)}{ends}{limits}"
