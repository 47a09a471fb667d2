"""Request and setting by the Five Safes: what this report knows, and what it cannot."""

from collections.abc import Sequence

from synthvae._text import counted
from synthvae.evaluation.values import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report.ceiling import budget_of
from synthvae.report.drawing import Table
from synthvae.report.values import RunContext
from synthvae.report.words import bound, exact, plain

SOURCE = "Desai, Ritchie and Welpton 2016, Five Safes: designing data access for research"


def five_safes(evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext) -> Table:
    """Return what is known about each of the five, and what is for people to judge."""
    return Table(("", "What this report knows", "What people must judge"), tuple(
        (name, known, judged) for name, known, judged in _lines(evaluation, guarantee, context)
    ), words=3)  # fmt: skip


def _lines(
    evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext
) -> Sequence[tuple[str, str, str]]:
    facts = evaluation.tables
    budget = budget_of(guarantee)
    purpose = plain(context.purpose or "") or "No purpose was declared."
    promise = (
        f"ε = {bound(budget[0])}, δ = {exact(budget[1])} for each patient"
        if budget
        else "no guarantee"
    )
    data = (
        f"{counted(facts.synthetic_rows, 'synthetic row')} of {counted(facts.columns, 'column')}, "
        f"made from {counted(facts.train_rows, 'real row')} of "
        f"{counted(facts.train_patients, 'patient')}; {promise}."
    )
    outputs = (
        "Whatever is computed from the synthetic rows alone is covered by the same guarantee "
        "(post-processing). Figures of this report are not."
        if budget
        else "Nothing that is computed from the synthetic rows is covered by a guarantee."
    )
    return (
        ("Safe projects", purpose, "Is this a proper use, and is it of public benefit?"),
        (
            "Safe people",
            "Nothing: the report does not know who asks.",
            "Are they trained, and bound not to try to identify anybody?",
        ),
        (
            "Safe settings",
            "Nothing: the report does not know where the table goes.",
            "Open release, registered users, or inside a research environment?",
        ),
        ("Safe data", data, "Are the columns no more than the purpose needs?"),
        ("Safe outputs", outputs, "Will results be confirmed on the real records, and by whom?"),
    )
