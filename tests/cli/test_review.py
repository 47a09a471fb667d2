"""`synthvae schema review` with lines on stdin, as somebody at the terminal types them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from synthvae.console import Stopped
from synthvae.review_terminal import parse_changes
from synthvae.schema import Schema
from tests.cli.in_process import Ended, Run

DRAFT = """\
name: clinic
fields:
  # REVIEW: the bounds are the least and largest value
  - name: score
    type: integer
    constraints: {minimum: 0, maximum: 7}
    review: true
  # REVIEW: the bounds are the least and largest value
  - name: days
    type: integer
    constraints: {minimum: 0, maximum: 90}
    review: true
  # REVIEW: these are the categories that stand in the data
  - name: ward
    constraints: {enum: [A, B]}
    review: true
"""
Typed = Callable[..., Ended]


@pytest.fixture
def typed(answer: Typed) -> Typed:
    """Review this file's draft."""
    Path("draft.yaml").write_text(DRAFT)
    Path("t.csv").write_text("score,days,ward\n1,90,A\n3,,B\n3,4,B\n")
    return answer


def sources() -> list[str | None]:
    bases = [field.basis for field in Schema.load("draft.yaml").fields]
    return [None if basis is None else basis.source for basis in bases]


def test_each_field_is_asked_for_once_and_written_down(typed: Typed) -> None:
    ended = typed("Ann", "400", "1 §5.2", "=", "Smith, Lancet 2019", words=("t.csv",))
    assert ended.code == 0, ended.err
    assert "why       the bounds are the least and largest value" in ended.out
    assert "records   (from private rows: shown here, written nowhere)" in ended.out
    assert "3 rows, 1 missing, 2 different values" in ended.out
    assert ended.out.endswith("Nothing in draft.yaml awaits review.\n")
    assert sources() == ["study protocol: §5.2", "study protocol: §5.2", "Smith, Lancet 2019"]
    schema = Schema.load("draft.yaml")
    assert (schema.patients, schema["ward"].basis and schema["ward"].basis.by) == (400, "Ann")


def test_one_source_may_cover_all_of_a_kind(typed: Typed) -> None:
    ended = typed("Ann", "s", "a 2", "n", "a 2", "y", "o")
    assert "accept all 2 bounds of numbers" in ended.out
    assert sources() == ["data dictionary or case report form"] * 2 + [None]
    assert Schema.load("draft.yaml")["ward"].role == "omit"


def test_a_field_with_a_question_of_its_own_is_not_accepted_with_others(typed: Typed) -> None:
    more = "# REVIEW: `special` has a number that very many rows hold: is it so?"
    Path("draft.yaml").write_text(DRAFT.replace("  - name: days", f"  {more}\n  - name: days"))
    ended = typed("Ann", "40", "q")
    assert "accept all" not in ended.out
    Path("draft.yaml").write_text(DRAFT.replace("the bounds are", "wide bounds", 1))
    assert "accept all" not in typed("Ann", "40", "q").out  # of a dictionary, and of the data
    Path("draft.yaml").write_text(DRAFT)
    listed = typed("Ann", "40", "a 2", "n", "q").out
    assert "days: integer; 0 to 90  (the bounds are the least and largest value)" in listed


def test_bad_input_is_said_and_asked_again(typed: Typed) -> None:
    ended = typed(
        *(
            "Ann",
            "many",
            "40",
            "",
            "7",
            "x",
            "e",
            "min 9",
            "minimun 0",
            "categories a,,b",
            "missing",
        ),
        *("decimals 1", "min 0; max 10; missing yes", "", "1", "q"),
    )
    for message in (
        "patients is 'many'; it must be a whole number of at least 1.",
        "Type where this is publicly known",
        "'score': minimum 9 is above maximum 7",
        "'minimun' is no setting of a field (did you mean 'minimum'?)",
        "'a,,b' has an empty value between commas",
        "missing needs a value",
        "decimals goes with `type: number`",
    ):
        assert message in ended.out
    field = Schema.load("draft.yaml")["score"]
    assert (field.constraints.minimum, field.constraints.maximum, field.nullable) == (0, 10, True)
    assert ended.out.endswith(
        "2 fields in draft.yaml still to review; the same command goes on there.\n"
    )


def test_who_goes_back_may_answer_anew_and_a_skipped_field_stays_open(typed: Typed) -> None:
    typed("Ann", "s", "1", "s", "b", "b", "3", "s", "4")
    assert sources() == ["published paper or report", None, "physical or biological limit"]


def test_what_only_the_records_show_is_marked_so(typed: Typed) -> None:
    ended = typed("Ann", "40", "d", "q")
    basis = Schema.load("draft.yaml")["score"].basis
    assert basis is not None
    assert basis.fromData
    assert "as the guarantee will say: score." in ended.out


@pytest.mark.parametrize("lines", [(), ("Ann",), ("Ann", "40"), ("Ann", "40", "e", "max 8")])
def test_the_input_may_end_anywhere(typed: Typed, lines: tuple[str, ...]) -> None:
    ended = typed(*lines)
    assert (ended.code, ended.err) == (0, "")
    assert len(Schema.load("draft.yaml").to_review) == 3


@pytest.mark.parametrize(
    "lines",
    [
        ("quit",),
        ("help", "yes", "ok", "no", "QUIT"),
        ("skip", "exit"),
        ("= again", "o really", "s now", "9 page 3", "quit now", "q"),
        ("a quit",),
        ("e", "quit"),
        ("minimum one; max 300", "n", "q"),
        ("min 0; max 300", "y", "", "q"),
        ("protocol", "q"),
    ],
)
def test_no_command_is_taken_for_a_source(typed: Typed, lines: tuple[str, ...]) -> None:
    ended = typed("Ann", "40", *lines)
    assert (ended.code, ended.err) == (0, "")
    assert sources() == [None] * 3
    if lines[0] == "min 0; max 300":
        assert Schema.load("draft.yaml")["score"].constraints.maximum == 300


def test_words_act_as_the_letters_do_and_a_letter_may_have_a_text(typed: Typed) -> None:
    ended = typed("Ann", "40", "d seen in 3,000 rows", "e max 80", "back", "4, an hour", "omit")
    fields = Schema.load("draft.yaml").fields
    bases = [field.basis for field in fields]
    assert bases[0] is not None
    assert (bases[0].source, bases[0].fromData) == ("the data themselves: seen in 3,000 rows", True)
    assert fields[1].constraints.maximum == 80
    assert sources()[1] == "physical or biological limit: an hour"
    assert fields[2].role == "omit"
    assert "the guarantee will say: score" in ended.out


@pytest.mark.parametrize("lines", [("protocol", "protocol"), ("NCT01234567",), ("10.1056/NEJM1",)])
def test_a_single_word_is_a_source_if_it_is_a_code_or_typed_twice(
    typed: Typed, lines: tuple[str, ...]
) -> None:
    typed("Ann", "40", *lines, "q")
    assert sources() == [lines[0], None, None]


def test_a_stop_leaves_every_answer_in_the_file(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["Ann", "40", "1"])

    def type_or_stop(prompt: str) -> str:
        for line in lines:
            return line
        raise Stopped("Interrupted; what was there before is untouched.")

    monkeypatch.setattr("builtins.input", type_or_stop)
    ended = typed()
    assert ended.code == 130
    assert ended.message == "Interrupted; every answer so far is in draft.yaml."
    assert Schema.load("draft.yaml").to_review == ("days", "ward")


def test_a_named_steward_may_accept_everything_at_once(typed: Typed) -> None:
    ended = typed(words=("--source", "protocol 7", "--by", "Ann", "--yes"))
    assert ended.code == 0
    assert "No number of patients is declared" in ended.out
    assert sources() == ["protocol 7"] * 3
    assert "maxRows" not in ended.out
    assert typed("40", words=("--by", "Ann")).code == 0
    assert Schema.load("draft.yaml").patients == 40


def test_accepting_everything_says_that_a_drafted_number_of_rows_stands(typed: Typed) -> None:
    head = "patientKey: id\n# Rows kept per patient, more or less.\nmaxRows: 5\nfields:\n  - name: id\n"
    Path("draft.yaml").write_text(DRAFT.replace("fields:\n", head))
    ended = typed(words=("--source", "protocol 7", "--by", "Ann", "--yes"))
    assert "maxRows stands as drafted, 5: declare a public number" in ended.out


@pytest.mark.parametrize("words", [("--yes",), ("--yes", "--source", "x"), ("--yes", "--by", "A")])
def test_nobody_accepts_everything_without_a_name_and_a_source(
    typed: Typed, words: tuple[str, ...]
) -> None:
    ended = typed(words=words)
    assert ended.code == 3
    assert "give `--source`" in ended.message
    assert Path("draft.yaml").read_text() == DRAFT


def test_a_line_may_change_several_settings() -> None:
    assert parse_changes("min -1.5; special 0, 999; perPatient yes; step none; enum a b, c") == {
        "minimum": -1.5,
        "special": [0, 999],
        "perPatient": True,
        "step": None,
        "enum": ["a b", "c"],
    }


def test_refusals_point_to_the_review(run: Run, typed: Typed) -> None:
    ended = run("fit", "t.csv", "--schema", "draft.yaml", "--epsilon", "1", "--out", "m")
    assert "`synthvae schema review`" in ended.message
