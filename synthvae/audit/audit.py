"""The whole job of `synthvae audit`: which cases, which observers, how many trials, and the verdict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthvae._runtime import Progress, steps_of
from synthvae._text import printable, say
from synthvae.audit.canaries import audit_one_run, canary_case, check_one_run
from synthvae.audit.case import Case, tiny_case
from synthvae.audit.results import Audit, AuditResult, Kind
from synthvae.audit.worlds import audit_worlds, check_size
from synthvae.config import RunConfig
from synthvae.errors import AuditError, ConfigError
from synthvae.pipeline import load_schema, plan_fit

KINDS: tuple[Kind, ...] = ("two-worlds-white", "two-worlds-black", "one-run")
TITLES: dict[Kind, str] = {
    "two-worlds-white": "two worlds, seen from inside",
    "two-worlds-black": "two worlds, seen from outside",
    "one-run": "one run with canaries",
}
TRIALS: dict[Kind, int] = {"two-worlds-white": 100, "two-worlds-black": 100, "one-run": 500}
DEEP: dict[Kind, int] = {"two-worlds-white": 1000, "two-worlds-black": 1000, "one-run": 2000}
TINY = "the code itself, on tiny simulated tables that are worst for the mechanisms as described"
WIDTH = 110  # of tables that go to no terminal


def kinds_of(name: str) -> tuple[Kind, ...]:
    """Return the audit of that kind, or all of them; `ConfigError` for an unknown kind."""
    kinds = tuple(kind for kind in KINDS if name in (kind, "all"))
    if not kinds:
        raise ConfigError(
            f"kind is {name!r}; it must be all, {', '.join(KINDS[:-1])} or {KINDS[-1]}."
        )
    return kinds


def case_of(config: Path, epsilon: float | None, patients: int) -> Case:
    """Return the case of a run's config: its schema, budget and settings. The table is not read.

    Raises
    ------
    ConfigError
        Neither the config nor `epsilon` gives a privacy budget.
    """
    settings = RunConfig.load(config)
    if epsilon is not None:
        settings = settings.model_copy(update={"epsilon": epsilon})
    if settings.epsilon is None:
        raise ConfigError(
            f"In {config}: epsilon is none, so there is nothing to audit: give --epsilon."
        )
    planned = plan_fit(settings, load_schema(settings))
    schema = planned.schema
    if schema.orderBy is not None:  # of visits in time, rules shape what is drawn, and no release
        schema = schema.replace(rules=[])
    elif schema.rule_set.unique:  # the record has its values in all of its rows
        schema = schema.replace(rules=[r.to_plain() for r in schema.rules if not r.unique])
    return Case(schema, planned.settings, settings.epsilon, settings.delta, patients)


def run_audits(
    kinds: tuple[Kind, ...],
    *,
    case: Case | None = None,
    epsilon: float = 4.0,
    patients: int = 50,
    trials: int | None = None,
    deep: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
    workers: int = 1,
    progress: Progress,
) -> Audit:
    """Audit a case, or the simulated ones, in the way of each kind.

    Each audit gets an equal part of the error that `confidence` allows, so that all of them hold
    jointly. An interrupt ends the present audit, which says so, and those after it.

    Parameters
    ----------
    trials
        Fits of each world, or canaries in one run; by default a quick number of them, or with
        `deep` a large one.

    Raises
    ------
    ConfigError
        One of the audits cannot be made of this: raised before the first fit of any.
    """
    results: list[AuditResult] = []
    confidence = 1 - (1 - confidence) / len(kinds)
    canaries = replace(case, patients=1) if case else canary_case(epsilon)
    worlds = case or tiny_case(epsilon, patients)
    numbers = {kind: trials or (DEEP if deep else TRIALS)[kind] for kind in kinds}
    common: dict[str, Any] = {"confidence": confidence, "seed": seed}
    for kind, number in numbers.items():
        check_size(number, confidence, workers)
        if kind == "one-run":
            check_one_run(canaries, number, confidence)
    for kind, number in numbers.items():
        common["progress"] = steps_of(progress, TITLES[kind])
        try:
            if kind == "one-run":
                result = audit_one_run(canaries, number, **common)
            else:
                inside = kind == "two-worlds-white"
                result = audit_worlds(worlds, number, inside=inside, workers=workers, **common)
        except KeyboardInterrupt:
            if not results:
                raise
            break
        results.append(result)
        if result.interrupted:
            break
    subject = TINY if case is None else f"the schema '{case.schema.name}'"
    return Audit(subject=subject, results=tuple(results))


def check_passed(audit: Audit) -> None:
    """Raise `AuditError` where something that is claimed was refuted."""
    violations = [violation for result in audit.results for violation in result.violations]
    if violations:
        raise AuditError(
            f"The audit refutes what is claimed: {'; '.join(violations)}. Release nothing that this "
            "code has made, and report it to its maintainers with this audit."
        )


def print_audit(audit: Audit) -> None:
    """Print each result as a table, with its verdict."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    say(f"Audit of {audit.subject}.")
    for result in audit.results:
        console.print(_table(result))
        say(result.threat_model)
        say(verdict(result))
    say(
        "A lower bound that stays below the claim is consistent with it, and no proof. No audit of so "
        "many trials can show more than the ceiling: where that is not above the claim, no lower bound "
        "could have refuted it."
    )


def verdict(result: AuditResult) -> str:
    """Return in a sentence whether a result refutes its claim, or could have."""
    stopped = ""
    if result.interrupted:
        stopped = (
            f" Interrupted after {sum(result.trials):,} of {2 * result.trials_asked:,} trials."
        )
    if not result.passed:
        return f"VIOLATED: {'; '.join(result.violations)}.{stopped}"
    figures = (
        f"epsilon is at least {result.lower:.2f} at {result.confidence:.0%} confidence, "
        f"{result.claimed:.2f} is claimed at delta {result.delta:g}, and {result.ceiling:.2f} is the "
        "ceiling"
    )
    if not result.could_refute:
        return f"so few trials could not have refuted the claim: {figures}.{stopped}"
    return f"consistent: {figures}.{stopped}"


def _table(result: AuditResult) -> Table:
    title = f"{TITLES[result.kind]}: {result.trials[0]:,} "
    if result.kind == "one-run":
        title += "canaries in one fit"
    else:
        n = result.patients
        title += f"and {result.trials[1]:,} fits, of {n} and {n + 1} patients"
    table = Table(title=Text(printable(title)), title_justify="left")
    table.add_column("what the score looks at", overflow="fold")
    for name in ("claimed ε", "at least", "ceiling", "errors", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in result.components:
        table.add_row(
            Text(printable(one.name)),
            f"{one.claimed:.2f}",
            f"{one.lower:.2f}",
            f"{one.ceiling:.2f}",
            f"{one.false_alarms + one.misses:,}",
            f"{one.trials[0] if result.kind == 'one-run' else sum(one.trials):,}",
            "VIOLATED" if one.violated else "",
        )
    for check in result.checks:
        mark = "holds" if check.passed else "VIOLATED"
        table.add_row(Text(printable(f"{check.name}: {check.detail}")), "", "", "", "", "", mark)
    return table
