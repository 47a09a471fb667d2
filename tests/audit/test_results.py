"""What is said of an audit: consistent only where so many trials could have refuted the claim."""

import pytest

from synthvae.audit import Audit, AuditResult, audit


@pytest.mark.parametrize(
    ("ceiling", "could"), [(35.0, True), (4.01, True), (4.0, False), (3.8, False), (0.0, False)]
)
def test_a_ceiling_that_is_not_above_the_claim_shows_nothing(
    sound: AuditResult, ceiling: float, could: bool
) -> None:
    result = sound.model_copy(update={"claimed": 4.0, "ceiling": ceiling})
    assert result.could_refute == could
    said = audit.verdict(result)
    assert said.startswith("consistent: " if could else "so few trials could not have refuted")
    assert ("consistent" in said) == could
    assert "4.00 is claimed" in said


def test_a_violation_is_one_whatever_the_ceiling(sound: AuditResult) -> None:
    broken = sound.checks[0].model_copy(update={"passed": False})
    result = sound.model_copy(update={"ceiling": 0.0, "checks": (broken,)})
    assert audit.verdict(result).startswith("VIOLATED: ")


def test_ten_fits_against_a_claim_of_4_are_not_called_consistent(
    sound: AuditResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sound.ceiling < sound.claimed
    audit.print_audit(Audit(subject="ten fits", results=(sound,)))
    said = " ".join(capsys.readouterr().out.split())
    assert "so few trials could not have refuted the claim: epsilon is at least" in said
    assert "where that is not above the claim, no lower bound could have refuted it" in said
    assert "consistent: " not in said
