"""Whether some record can keep the rules of a schema, and whether some visit can follow another."""

from collections.abc import Sequence
from dataclasses import replace

from synthvae._text import brief
from synthvae.rules.compiled import RuleSet, compiled_rule
from synthvae.rules.domains import Domain
from synthvae.rules.setting import Rule
from synthvae.rules.solver import clashing
from synthvae.rules.steps import before_fields, own_places, turned_back, visit_rules
from synthvae.rules.values import MISSING, Columns


def check_rules(rules: RuleSet) -> None:
    """Raise `ValueError` where rules clash, or a perPatient column is derived from one that varies."""
    if not rules.drawn:
        raise ValueError("every field is derived from others; there is nothing to model")
    fields = rules.columns.fields
    for derivation in rules.derivations:
        inputs = [fields[place] for place in derivation.value.places]
        varying = [field.name for field in inputs if not field.perPatient]
        if derivation.field.perPatient and varying:
            raise ValueError(
                f"field {derivation.field.name!r} is perPatient, but derived from "
                f"{brief(varying[0])}, which is not"
            )
    domains = [Domain.whole(values) for values in rules.columns.meanings]
    _refuse_clash(rules, domains, "record can keep")


def check_steps(rules: Sequence[Rule], columns: Columns, drawn: int, keys: frozenset[str]) -> None:
    """Raise `ValueError` where rules clash so that no visit can follow another.

    Of the columns, all but the `drawn` first are derived.
    """
    modelled, derived = columns.fields[:drawn], columns.fields[drawn:]
    fields = (*before_fields(modelled), *modelled, *derived, *before_fields(derived))
    compiled = visit_rules(rules, replace(columns, fields=fields), derived, keys)
    own, turned = own_places(compiled.columns), turned_back(compiled.columns)
    rows = [rule for rule in compiled.declared if not rule.places & own.keys()]
    of_before = [
        compiled_rule(rule.setting, turned, f"the rule {brief(rule.title)}")
        for rule in rows
        if rule.setting and not rule.setting.derive
    ]
    compiled = replace(compiled, declared=(*compiled.declared, *of_before))
    domains = [Domain.whole(values) for values in compiled.columns.meanings]
    for place, now in own.items():
        if not fields[now].nullable:  # and so it is there, at a visit that another follows
            others = tuple(code for code in domains[place].others if code != MISSING)
            domains[place] = replace(domains[place], others=others)
    _refuse_clash(compiled, domains, "visit that follows another can keep")


def _refuse_clash(rules: RuleSet, domains: Sequence[Domain], who: str) -> None:
    clash = clashing(rules.columns, domains, rules.sampled)
    if clash:
        titles = rules.titles(clash)
        listed = "; ".join(map(brief, titles))
        clashes = f"the rules clash, so that no {who} them:"
        kept = clashes if len(titles) > 1 else f"no {who} the rule"
        raise ValueError(f"{kept} {listed}; change one of them, or bounds and categories")
