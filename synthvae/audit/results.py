"""What an audit finds, as plain values: what was claimed, what was shown, and what could be."""

from pathlib import Path
from typing import Literal

from synthvae._files import write_whole
from synthvae._frozen import Frozen

Kind = Literal["two-worlds-white", "two-worlds-black", "one-run"]


class Component(Frozen):
    """What one score shows about one part of what leaves.

    Attributes
    ----------
    claimed
        Epsilon that the account gives this part, at the audit's delta.
    lower
        Lower bound on its epsilon; refutes the claim where it is larger.
    ceiling
        What so many trials could show at most, with an observer who never errs.
    confidence
        Of this bound alone; those of all components hold together at the audit's.
    false_alarms, misses
        Errors of the observer, of `trials` without the record and with it. In one run, `misses` are
        wrong guesses and there are no false alarms.
    """

    name: str
    sees: str
    claimed: float
    lower: float
    ceiling: float
    confidence: float
    method: str
    threshold: str
    false_alarms: int
    misses: int
    trials: tuple[int, int]
    violated: bool


class Check(Frozen):
    """Something that must hold in every fit, whatever chance does."""

    name: str
    passed: bool
    detail: str


class AuditResult(Frozen):
    """One audit: a lower bound on epsilon beside the claim and beside what could have been shown.

    `lower` and `ceiling` are those of the first component, which looks at everything together.
    """

    version: int = 1
    kind: Kind
    threat_model: str
    claimed: float
    delta: float
    confidence: float
    lower: float
    ceiling: float
    patients: int
    sampling_rate: float
    steps: int
    trials: tuple[int, int]
    trials_asked: int
    interrupted: bool
    components: tuple[Component, ...]
    checks: tuple[Check, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing refutes a claim and every check holds."""
        return not self.violations

    @property
    def could_refute(self) -> bool:
        """Whether so many trials could have refuted the claim, with an observer who never errs."""
        return self.ceiling > self.claimed

    @property
    def violations(self) -> tuple[str, ...]:
        """What refutes a claim, in words."""
        found = [
            f"{one.name}: at least {one.lower:.3g} is shown, {one.claimed:.3g} is claimed"
            for one in self.components
            if one.violated
        ]
        return (*found, *(f"{one.name}: {one.detail}" for one in self.checks if not one.passed))

    def component(self, name: str) -> Component:
        """Return the component of a name."""
        return next(one for one in self.components if one.name == name)


class Audit(Frozen):
    """Several audits of one configuration."""

    version: int = 1
    subject: str
    results: tuple[AuditResult, ...]

    @property
    def passed(self) -> bool:
        """Whether all of them passed."""
        return all(result.passed for result in self.results)

    @property
    def interrupted(self) -> bool:
        """Whether one of them was stopped before its last trial."""
        return any(result.interrupted for result in self.results)

    def save(self, path: Path) -> None:
        """Write the audit as JSON."""
        write_whole(path, self.model_dump_json(indent=2) + "\n")
