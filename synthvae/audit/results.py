"""What an audit finds, as values: what was claimed, what was shown, and what could have been."""

from pathlib import Path
from typing import Literal

from synthvae._files import write_whole
from synthvae._frozen import Frozen

Kind = Literal["two-worlds-white", "two-worlds-black", "one-run"]


class Component(Frozen):
    """What one score shows about one part of what is released.

    In one run, `misses` are wrong guesses and there are no false alarms.
    """

    name: str
    sees: str
    claimed: float  # epsilon that the account gives this part, at the audit's delta
    lower: float  # bound on its epsilon; refutes the claim where it is larger
    ceiling: float  # the most that the trials could show, with an observer who never errs
    confidence: float  # of this bound alone; those of all components hold jointly at the audit's
    method: str
    threshold: str
    false_alarms: int  # errors of the observer without the record
    misses: int  # errors with it
    trials: tuple[int, int]  # without the record and with it
    violated: bool


class Check(Frozen):
    """A condition that must hold in every fit, whatever the draws."""

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
        """Whether the trials could have refuted the claim, with an observer who never errs."""
        return self.ceiling > self.claimed

    @property
    def violations(self) -> tuple[str, ...]:
        """What refutes a claim, and which checks fail."""
        refuted = (
            f"{one.name}: at least {one.lower:.3g} is shown, {one.claimed:.3g} is claimed"
            for one in self.components
            if one.violated
        )
        return (*refuted, *(f"{one.name}: {one.detail}" for one in self.checks if not one.passed))


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
