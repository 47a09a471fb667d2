"""`synthvae audit`: what it prints and writes, and how it ends."""

import json
from pathlib import Path

import pytest

from synthvae.audit import Audit, AuditResult, audit
from synthvae.audit.results import Component
from synthvae.errors import AuditError, ConfigError
from tests.audit.small_audit import small_audit
from tests.cli.in_process import Run
from tests.simulated import simulate_fewer


@pytest.fixture
def sound() -> AuditResult:
    return small_audit()


@pytest.fixture
def refuted(sound: AuditResult) -> AuditResult:
    first, *rest = sound.components
    broken: Component = first.model_copy(update={"lower": 5.0, "violated": True})
    return sound.model_copy(update={"components": (broken, *rest), "lower": 5.0})


def test_it_prints_claim_bound_and_ceiling_and_writes_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate_fewer(monkeypatch)
    out = tmp_path / "audit.json"
    words = ("--kind", "two-worlds-black", "--trials", 10, "--workers", 1, "--out", out)
    ended = run("audit", *map(str, words))
    assert ended.code == 0, ended.err
    assert "claimed ε" in ended.out
    # Ten fits cannot show 4, so they are not called consistent with it.
    assert "so few trials could not have refuted the claim: epsilon is at least" in ended.out
    assert "no proof" in ended.out
    written = Audit.model_validate(json.loads(out.read_text("utf-8")))
    assert written.results[0].trials == (10, 10)
    assert run("audit", "--out", str(out)).code == 8


def test_a_refuted_claim_is_named_and_has_its_exit_code(
    run: Run, refuted: AuditResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "audit_worlds", lambda *_, **__: refuted)
    ended = run("audit", "--kind", "two-worlds-black")
    assert ended.code == AuditError.exit_code == 13
    assert "VIOLATED" in ended.out
    assert "records: at least 5 is shown, 4 is claimed" in ended.message


def test_an_interrupted_audit_says_how_far_it_came(sound: AuditResult) -> None:
    stopped = sound.model_copy(update={"interrupted": True, "trials_asked": 100})
    assert "Interrupted after 20 of 200 trials" in audit.verdict(stopped)
    check = sound.checks[0].model_copy(
        update={"name": "fresh noise", "detail": "twice", "passed": False}
    )
    broken = Audit(subject="x", results=(sound.model_copy(update={"checks": (check,)}),))
    with pytest.raises(AuditError, match="The audit refutes what is claimed: fresh noise: twice"):
        audit.check_passed(broken)


def test_a_config_gives_its_public_facts_and_its_table_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "patients: 100\nfields:\n- {name: sex, constraints: {enum: [female, male]}}\n"
    )
    config = tmp_path / "c.yaml"
    lines = "name: c\ndata: {path: there-is-no-such-file.csv}\nschema: s.yaml\nepsilon: "
    config.write_text(lines + "2\n")
    case = audit.case_of(config, None, 5)
    assert (case.epsilon, case.patients, case.schema.patients) == (2.0, 5, 80)
    config.write_text(lines + "none\n")
    with pytest.raises(ConfigError, match="epsilon is none, so there is nothing to audit"):
        audit.case_of(config, None, 5)
    assert audit.case_of(config, 1.0, 5).epsilon == 1.0


def test_an_unknown_kind_is_refused(run: Run) -> None:
    ended = run("audit", "--kind", "three-worlds")
    assert ended.code == 3
    assert "kind is 'three-worlds'; it must be all, two-worlds-white" in ended.message
