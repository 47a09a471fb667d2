"""Text from data in a page: whatever it is, it is shown and never run."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synthvae.comparison.page import render as render_comparison
from synthvae.report import FieldSummary, RunContext, render
from tests.comparison.comparison_example import comparison
from tests.hostile.examples import evaluation, model_files
from tests.hostile.pages import Found, check_page

ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "</title></head><body onload=alert(1)>",
    "</svg><svg onload=alert(1)><use href='data:image/svg+xml;base64,x'>",
    '"><a href="javascript:alert(1)">x</a>',
    "' autofocus onfocus=alert(1) x='",
    "javascript:alert(1)",
    "{{ 7*7 }}{% for x in y %}{{ config }}",
    "]]><!--",
    "--><script>",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "&lt;script&gt;&#60;script&#62;",
    "@import url(//evil); } * { background: url(http://evil)",
    "\u202eevil\u202c\u2066x",
    "$\\input{/etc/passwd}$ \\write18{ls}",
    "\x00\x08\x1b[2J",
    "=cmd|' /C calc'!A0",
)


def page(text: str) -> str:
    from synthvae.privacy.guarantee import Guarantee

    promise = Guarantee.model_validate_json(model_files()["guarantee.json"])
    promise = promise.model_copy(
        update={
            "why_void": text,
            "unit": text,
            "accountant": text,
            "public_inputs": (text,),
            "not_covered": (text,),
            "software": {text: text},
        }
    )
    context = RunContext(
        title=text,
        purpose=text,
        description=text,
        created=text,
        software={text: text},
        settings={text: text},
        fields=(FieldSummary(name=text, type=text, rule=text, role=text),),
    )
    return render(evaluation(text), promise, None, context)


@pytest.fixture(scope="module")
def plain() -> Found:
    return check_page(page("plain"))


def names(found: Found) -> set[str]:
    return {name for name, _ in found.attributes}


def safe(html: str, plain: Found) -> None:
    found = check_page(html)
    assert found.elements == plain.elements
    assert names(found) == names(plain)
    assert found.styles == plain.styles
    assert found.scripts == plain.scripts


@pytest.mark.parametrize("text", ["\n".join(ATTACKS), *ATTACKS[:3]])
def test_text_from_data_never_becomes_an_element(plain: Found, text: str) -> None:
    html = page(text)
    safe(html, plain)
    assert "49" not in html or "7*7" not in text or "{{ 7*7 }}" in html


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(
        st.sampled_from("<>\"'&/=;:()[]{}%#!-\\$ \n\0\u202eaé") | st.characters(codec="utf-8")
    )
)
@example(text="<svg/onload=x>")
def test_nor_does_any_other_text(plain: Found, text: str) -> None:
    safe(page(f"x{text}"), plain)


def test_so_in_a_comparison() -> None:
    text = "\n".join(ATTACKS)
    usual = check_page(render_comparison(comparison()))
    changed = comparison().model_copy(
        update={"name": text, "title": text, "advice": (text,), "software": {text: text}}
    )
    found = check_page(render_comparison(changed))
    assert found.elements <= usual.elements | {"ul", "li"}
    assert found.styles == usual.styles
