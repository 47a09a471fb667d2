"""What the page shows of effects within subgroups, and of triples of columns beyond their pairs."""

from collections.abc import Callable, Sequence

from synthvae._text import counted
from synthvae.evaluation import results
from synthvae.report import drawing, phrases
from synthvae.report.claims import is_reversed
from synthvae.report.effect_claim import has_other_size, is_invented, is_lost
from synthvae.report.svg import Estimate, forest_plot

_DRAWN = 24
_LEGEND = [
    ("mark holdout", "real rows, with their interval"),
    ("dot synthetic", "synthetic rows, with their interval"),
]


def subgroup_drawings(evaluation: results.Evaluation) -> list[drawing.Drawing]:
    """Draw the effects of each declared interaction within its subgroups, real beside synthetic."""
    interactions = [
        (analysis, interaction)
        for analysis in evaluation.analyses
        for interaction in analysis.subgroups
        if interaction.effects
    ]
    return [
        _subgroup_drawing(analysis, interaction, f"subgroups-{place}")
        for place, (analysis, interaction) in enumerate(interactions, 1)
    ]


def unestimated(evaluation: results.Evaluation) -> list[str]:
    """Return, for each declared interaction without any effect, why it has none, as a sentence."""
    return [
        f"{_interaction_name(interaction)}, in {phrases.plain(analysis.name)}: "
        f"{phrases.plain(interaction.detail)}"
        for analysis in evaluation.analyses
        for interaction in analysis.subgroups
        if not interaction.effects
    ]


def _interaction_name(interaction: results.SubgroupEffects) -> str:
    within = " and ".join(phrases.shorten(name, 40) for name in interaction.within)
    return f"{phrases.shorten(interaction.predictor, 40)} within {within}"


def _subgroup_drawing(
    analysis: results.Analysis, interaction: results.SubgroupEffects, key: str
) -> drawing.Drawing:
    effects = interaction.effects
    several = len({effect.term for effect in effects}) > 1

    def name(effect: results.SubgroupEffect) -> str:
        subgroup = phrases.plain(effect.subgroup)
        return f"{phrases.plain(effect.term)}; {subgroup}" if several else subgroup

    rows = [(name(effect), _estimates(effect)) for effect in effects[:_DRAWN]]
    figures = "; ".join(
        f"{name(effect)}: real {phrases.exact(effect.real)}, synthetic "
        f"{phrases.exact(effect.synthetic)}"
        for effect in effects[:_DRAWN]
    )
    title = f"{_interaction_name(interaction)}: {phrases.plain(interaction.measure)}"
    table = [
        (
            phrases.plain(effect.subgroup),
            phrases.plain(effect.term),
            phrases.count(effect.real_rows),
            phrases.exact(effect.real),
            _range(effect.real_interval),
            phrases.count(effect.synthetic_rows),
            phrases.exact(effect.synthetic),
            _range(effect.synthetic_interval),
            _conclusion(effect),
        )
        for effect in effects
    ]
    head = (
        *("Subgroup", "Effect of", "Real rows", "Real", "Interval"),
        *("Synthetic rows", "Synthetic", "Interval", "Conclusion"),
    )
    of = "" if several else f"Effect of {phrases.plain(effects[0].term)}. "
    caption = f"{phrases.plain(analysis.name)}. {of}{phrases.plain(interaction.detail)}".strip()
    if len(effects) > _DRAWN:
        caption += f" The first {_DRAWN} are drawn; the table has all."
    return drawing.Drawing(
        key=key,
        title=title,
        panels=[forest_plot(rows, f"{title}. {figures}.", 0.0)],
        table=drawing.Table(head, table, text_columns=2),
        caption=" ".join(filter(None, [caption, *_verdicts(effects, name)])),
        legend=[*_LEGEND, ("mark ideal", "no effect")],
    )


def _verdicts(
    effects: Sequence[results.SubgroupEffect], name: Callable[[results.SubgroupEffect], str]
) -> list[str]:
    """Return which conclusions turn round, are lost, of another size or invented, as sentences."""
    kinds = {
        "Turned round": is_reversed,
        "Lost": is_lost,
        "Of another size": has_other_size,
        "Found in synthetic rows alone": is_invented,
    }
    said = []
    for kind, applies in kinds.items():
        if names := [name(effect) for effect in effects if applies(effect)]:
            said.append(f"{kind}: {'; '.join(names)}.")
    return said


def _estimates(effect: results.SubgroupEffect | results.LevelAssociation) -> list[Estimate]:
    estimates = [Estimate("real", effect.real, effect.real_interval)]
    if effect.synthetic is not None:
        estimates.append(Estimate("synthetic", effect.synthetic, effect.synthetic_interval))
    return estimates


def _range(interval: results.Interval | None) -> str:
    if interval is None:
        return phrases.NONE
    return f"{phrases.exact(interval.low)} to {phrases.exact(interval.high)}"


def _conclusion(effect: results.SubgroupEffect) -> str:
    if effect.not_run is not None:
        return f"lost: {phrases.plain(effect.not_run)}"
    if is_reversed(effect):
        return "turned round"
    if is_lost(effect):
        return "lost"
    if has_other_size(effect):
        return "same, of another size"
    return "found in synthetic rows alone" if is_invented(effect) else "same"


def triple_drawings(three_way: results.ThreeWay | None) -> list[drawing.Drawing]:
    """Draw the triples of which most is lost: how two columns go together by level of the third."""
    worst = () if three_way is None else three_way.worst
    return [_triple_drawing(triple, f"triple-{place}") for place, triple in enumerate(worst, 1)]


def _triple_drawing(triple: results.TripleDependence, key: str) -> drawing.Drawing:
    first, second, last = (phrases.shorten(name, 40) for name in triple.columns)
    title = f"{first} with {second}, within {last}"
    rows = [(phrases.plain(level.level), _estimates(level)) for level in triple.levels]
    figures = "; ".join(
        f"{phrases.plain(level.level)}: real {phrases.number(level.real, 2)}, synthetic "
        f"{phrases.number(level.synthetic, 2)}"
        for level in triple.levels
    )
    table = [
        (
            phrases.plain(level.level),
            phrases.number(level.real, 2),
            phrases.range_text(level.real_interval),
            phrases.number(level.synthetic, 2),
            phrases.range_text(level.synthetic_interval),
        )
        for level in triple.levels
    ]
    return drawing.Drawing(
        key=key,
        title=title,
        panels=[forest_plot(rows, f"Association of {title}. {figures}.", 0.0)],
        table=drawing.Table(("Level", "Real", "Interval", "Synthetic", "Interval"), table),
        caption=(
            f"{phrases.share(triple.share, 0)} survives (holdout "
            f"{phrases.share(triple.holdout_share, 0)}); strength {phrases.number(triple.strength, 2)}."
        ),
        legend=[*_LEGEND, ("mark ideal", "no association")],
    )


def triple_text(three_way: results.ThreeWay | None) -> str:
    """Return what was looked at beyond pairs, in one or two sentences; nothing where nobody looked."""
    if three_way is None:
        return ""
    if not three_way.compared:
        return "No triple was looked at: there are fewer than three columns."
    of = "all" if three_way.compared == three_way.possible else f"{three_way.compared:,} of"
    looked = f"{of} {counted(three_way.possible, 'triple')} of columns looked at"
    if not three_way.standing_out:
        return f"No interaction of three columns stands out in the real rows: {looked}. " + (
            phrases.plain(three_way.detail)
        )
    return (
        f"{counted(three_way.standing_out, 'triple')} of columns stand out from what their pairs imply, "
        f"of {looked}. {phrases.plain(three_way.detail)}"
    )
