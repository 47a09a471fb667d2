import re
from pathlib import Path
from typing import Any

import pytest

from synthvae.errors import ConfigError, PolicyError
from synthvae.report.disclosure_rules import find_profile
from synthvae.report.document import Policy, Report, custodian_report
from tests.report import report_example as example


def report(**changes: Any) -> Report:
    return custodian_report(example.evaluation(4), example.guarantee(**changes))


def test_a_policy_says_which_claim_fails() -> None:
    Policy(largest_epsilon=1, largest_delta=1e-5).check(report())
    with pytest.raises(PolicyError, match=r"epsilon is 0.998, above the 0.5 allowed"):
        Policy(largest_epsilon=0.5).check(report())
    with pytest.raises(PolicyError, match="delta is 10⁻⁵, above the 10⁻⁶ allowed"):
        Policy(largest_delta=1e-6).check(report())
    with pytest.raises(PolicyError, match="'The table resembles the population' is amber"):
        Policy(claims={"fidelity": "green"}).check(report())
    with pytest.raises(PolicyError, match=r"'The privacy guarantee holds.*' is red: The seed"):
        Policy().check(report(valid=False, why_void="The seed is fixed."))


def test_amber_passes_unless_the_policy_says_otherwise() -> None:
    assert Policy().failures(report()) == ()
    strict = Policy(fail_on="amber").failures(report())
    assert len(strict) == 5
    assert len(Policy(fail_on="amber", claims={"groups": "any"}).failures(report())) == 4
    assert Policy(claims={"fidelity": "amber"}).failures(report()) == ()


def test_what_nothing_shows_does_not_pass_where_it_is_asked_for() -> None:
    bare = custodian_report(example.evaluation(3, groups=()), example.guarantee())
    assert Policy().failures(bare) == ()
    assert "is open" in Policy(claims={"groups": "amber"}).failures(bare)[0]


def test_without_a_guarantee_no_budget_is_met() -> None:
    found = Policy(largest_epsilon=5, claims={"guarantee": "any"}).failures(
        custodian_report(example.evaluation(3))
    )
    assert found == ("No epsilon holds, where 5 is the most allowed.",)


def test_the_files_of_the_documents_are_ones(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "report.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^<!-- file: (.+?) -->\n```yaml\n(.*?)^```$", page, re.M | re.S))
    for name, text in blocks.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert Policy.load(tmp_path / "policy.yaml").claims["groups"] == "any"
    assert find_profile(str(tmp_path / "house.yaml")).smallest_cell == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("largest_epsilon: 0\n", "largest_epsilon.*greater than 0"),
        ("claims: {fidelty: green}\n", "claims"),
        ("fail_on: never\n", "fail_on"),
        ("epsilon: 1\n", "unknown key 'epsilon'"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Policy.load(file)
    with pytest.raises(ConfigError, match="There is no policy"):
        Policy.load(tmp_path / "none.yaml")
