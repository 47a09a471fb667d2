"""The whole job of `synthvae audit`: which cases, which observers, how many trials."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from synthvae._runtime import Progress, steps_of
from synthvae.audit.canaries import audit_one_run, canary_case, check_case
from synthvae.audit.tiny import Case, tiny_case
from synthvae.audit.values import Audit, AuditResult, Kind
from synthvae.audit.worlds import audit_worlds, check_asked
from synthvae.config import RunConfig
from synthvae.errors import AuditError, ConfigError
from synthvae.pipeline import load_schema, plan_fit

Asked = Literal["one-run", "two-worlds-white", "two-worlds-black", "all"]
KINDS: tuple[Kind, ...] = ("two-worlds-white", "two-worlds-black", "one-run")
TITLES: dict[Kind, str] = {
    "two-worlds-white": "two worlds, seen from inside",
    "two-worlds-black": "two worlds, seen from outside",
    "one-run": "one run with canaries",
}
TRIALS: dict[Kind, int] = {"two-worlds-white": 100, "two-worlds-black": 100, "one-run": 500}
DEEP: dict[Kind, int] = {"two-worlds-white": 1000, "two-worlds-black": 1000, "one-run": 2000}
TINY = "the code itself, on tiny simulated tables that are worst for the mechanisms as described"


def kinds_of(asked: str) -> tuple[Kind, ...]:
    """Return the audits that a word asks for.

    Raises
    ------
    ConfigError
        There is no such audit.
    """
    found = tuple(kind for kind in KINDS if asked in (kind, "all"))
    if not found:
        raise ConfigError(
            f"kind is {asked!r}; it must be all, {', '.join(KINDS[:-1])} or {KINDS[-1]}."
        )
    return found


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
    return Case(planned.schema, planned.settings, settings.epsilon, settings.delta, patients)


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
    """Audit a case, or the tiny ones, in each of the ways that are asked for.

    Each audit gets an equal part of the error that `confidence` allows, so that all of them together
    hold with it. An interrupt ends the present audit, which says so, and those after it.

    Parameters
    ----------
    trials
        Fits of each world, or canaries in one run; by default a quick number of them, or with
        `deep` ten times as many.

    Raises
    ------
    ConfigError
        One of the audits cannot be made of this: said before the first fit of any.
    """
    results: list[AuditResult] = []
    confidence = 1 - (1 - confidence) / len(kinds)
    canaries = replace(case, patients=1) if case else canary_case(epsilon)
    worlds = case or tiny_case(epsilon, patients)
    numbers = {kind: trials or (DEEP if deep else TRIALS)[kind] for kind in kinds}
    for kind, number in numbers.items():
        check_asked(number, confidence, workers)
        if kind == "one-run":
            check_case(canaries, number)
    for kind, number in numbers.items():
        shown = steps_of(progress, TITLES[kind])
        try:
            if kind == "one-run":
                result = audit_one_run(
                    canaries, number, confidence=confidence, seed=seed, progress=shown
                )
            else:
                result = audit_worlds(
                    worlds,
                    number,
                    inside=kind == "two-worlds-white",
                    confidence=confidence,
                    seed=seed,
                    workers=workers,
                    progress=shown,
                )
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
    found = [violation for result in audit.results for violation in result.violations]
    if found:
        raise AuditError(
            f"The audit refutes what is claimed: {'; '.join(found)}. Release nothing that this code "
            "has made, and report it to its maintainers with this audit."
        )
