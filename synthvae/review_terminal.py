"""The review of a schema on the terminal: a question for each open field, and what may be answered."""

import contextlib
import getpass
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from synthvae._text import brief, counted, epsilon_text, nearest, say
from synthvae.drafting import review
from synthvae.errors import ConfigError, SchemaError, check_positive_integer
from synthvae.rules.setting import Rule

HELP = """\
  1-5 [details]   accept; the source is the one of that number: 1 NCT01234567, section 5.2
  any text        accept; the text is where this is publicly known (a paper, a manual, a law);
                  a single word is taken when it is typed twice
  =               accept with the same source as before
  a 1, a text     accept every open field of this kind with one source
  d [remark]      accept because the records show it, and nothing public does: the guarantee names it
  e [change]      edit: bounds, categories, decimals, step, special values, missing, perPatient
  o               omit the column from the model and the output
  s, b            skip for now; go back
  q               quit: every answer so far is in the file, and the same command goes on from there"""
PATIENTS_QUESTION = """
How many patients does the table cover? A public number, such as the published size of the study;
nothing is counted here. (s: skip, and a fit takes a noisy count; q: quit)"""
ROWS_QUESTION = """
At most how many rows of one patient are used? Noise grows with that number, and further rows are
dropped: a public number that few patients exceed. Where nobody knows one, `synthvae schema rows` buys
it with a part of the budget. (s: skip; q: quit)"""
RULE_QUESTION = """\
  Nearly every record keeps this rule. Does it hold for every patient, and where is that publicly known?
  1-5 or the source   a accept all open rules with one: a 2   = as before   d only the records show it
  x take the rule out   s skip   q quit"""
EDITS = """\
  minimum 0; maximum 110     bounds (a date as 2000-12-31)
  categories a, b, c         in place of those there are
  decimals 1                 step 0.5                special 0, 999
  missing yes|no             perPatient yes|no       unit mg/dL
  type, invalid, format ...  any other setting of a field; `none` takes one away"""
SAME = {"min": "minimum", "max": "maximum", "categories": "enum", "missing": "required"}
LISTS = ("enum", "special", "censored", "trueValues", "falseValues", "codes")
FLAGS = ("required", "perPatient", "bareNumber")
SETTINGS = (
    *("type", "unit", "title", "description", "format", "decimals", "step", "decimalChar"),
    *("groupChar", "timezone", "invalid", "role", *review.IN_CONSTRAINTS, *FLAGS, *LISTS),
)


# Words that mean the same as a letter: none of them is a source.
WORDS = {"quit": "q", "exit": "q", "skip": "s", "back": "b", "omit": "o", "edit": "e", "help": "?"}
WORDS |= {"h": "?", "again": "=", "same": "="}
YES, NO = ("y", "yes"), ("n", "no")
ALONE = ("s", "b", "q", "o", "?", "=")
SINGLE = re.compile(r"\w.*[\d/.].*\w")  # of one word: a number of a study, a DOI, an address
POSSIBLE = (
    "Type where this is publicly known in a few words (a paper, a manual, a law), or a number from 1 "
    f"to {len(review.SOURCES)} with details if any; d, e, o, s, b and q stand for themselves, ? is help."
)


class _Quit(Exception):
    """The steward goes; every answer is in the file."""


@dataclass
class _Session:
    """One sitting: the review, the table to look at if any, and what was answered last."""

    review: review.SchemaReview
    frame: pd.DataFrame | None = None
    source: str | None = None
    seen: list[str] = field(default_factory=list)
    doubted: str = ""  # a single word that was typed as a source, and is one if typed again

    def ask_table(self) -> None:
        """Ask for what the table declares: its patients, and the rows of each."""
        schema = self.review.schema
        if schema.patients is None:
            say(PATIENTS_QUESTION)
            self._ask_number("patients", self.review.declare_patients)
        if self.review.row_remarks:
            say(ROWS_QUESTION)
            say(f"  drafted   {schema.maxRows}")
            say(f"  why       {self.review.row_remarks}")
            self._ask_number("maxRows", self.review.declare_rows)

    def _ask_number(self, name: str, declare: Callable[[int], None]) -> None:
        while _letter_of(answer := _ask(f"{name}> ")) != ("s", ""):
            _quit_at(answer)
            try:
                number = answer.replace(",", "").replace("_", "")
                declare(check_positive_integer(name, int(number) if number.isdecimal() else answer))
                return
            except (ConfigError, SchemaError) as error:
                say(f"  {error}")

    def ask_fields(self) -> None:
        """Go through the open fields in order, back and forth."""
        waiting = list(self.review.open)
        place = 0
        while place < len(waiting):
            name = waiting[place]
            if name not in self.review.open and name not in self.seen:
                place += 1  # accepted with others of its kind
                continue
            self._show(name)
            step = self._ask_field(name)
            if step > 0 and name not in self.seen:
                self.seen.append(name)
            if step < 0:  # to the one that was last looked at
                earlier = [i for i in range(place) if waiting[i] in self.seen]
                step = (earlier[-1] if earlier else 0) - place
            place += step

    def ask_rules(self) -> None:
        """Go through the open rules in order."""
        for rule in self.review.open_rules:
            left = self.review.open_rules
            if rule not in left:
                continue  # accepted with others
            say(f"\n{rule.statement}  ({counted(len(left), 'open rule')})\n{RULE_QUESTION}")
            while not self._is_answered(rule, _ask("> ")):
                pass

    def _is_answered(self, rule: Rule, answer: str) -> bool:
        """Do what is answered of a rule; return whether it is dealt with."""
        letter, rest = _letter_of(answer)
        rules = self.review.open_rules if letter == "a" and rest else (rule,)
        if letter in ("s", "x") and not rest:
            self.review.drop_rules((rule,) if letter == "x" else ())
            return True
        if letter in ("?", "a") and not rest:
            say(RULE_QUESTION)
            return False
        source = self._source_of(rest if letter == "a" else answer)
        if source is None:
            return False
        self.review.accept_rules(rules, source)
        self.source = source
        return True

    def _show(self, name: str) -> None:
        declared = self.review.field(name)
        left = len(self.review.open)
        say(f"\n{name}  ({counted(left, 'open field')})" + (f"  {declared.title or ''}".rstrip()))
        say(f"  drafted   {review.facts(declared)}")
        for remark in self.review.remarks(name):
            say(f"  why       {remark}")
        if declared.basis is not None and not declared.review:
            say(f"  accepted  {declared.basis.source}")
        if self.frame is not None and list(self.frame.columns).count(name) == 1:
            missing = self.review.schema.missingValues
            say("  records   (from private rows: shown here, written nowhere)")
            for line in review.evidence(self.frame[name], declared, missing):
                say(f"            {line}")
        say("Where is this publicly known?")
        say("  " + "   ".join(f"{i} {text}" for i, text in enumerate(review.SOURCES, 1)))
        alike = len(self.review.alike(name)) if declared.review else 0
        same = f"   a accept all {alike} {review.kind_of(declared)}" if alike > 1 else ""
        same += f"   = {self.source}" if self.source else ""
        say(f"  or type the source{same}")
        say("  d only the records show it   e edit   o omit   s skip   b back   q quit   ? help")

    def _ask_field(self, name: str) -> int:
        """Take answers until the field is dealt with; return where to go: 1 on, 0 again, -1 back."""
        while True:
            answer = _ask("> ")
            try:
                step = self._answered(name, answer)
            except (ConfigError, SchemaError) as error:
                say(f"  {error}")
            else:
                if step is not None:
                    return step

    def _answered(self, name: str, answer: str) -> int | None:
        """Do what an answer asks for; return where to go, None where it is to be asked again."""
        letter, rest = _letter_of(answer)
        step: int | None = None
        if rest and letter in ALONE:
            say(f"  `{letter}` stands alone. {POSSIBLE}")
        elif letter in ("s", "b"):
            step = 1 if letter == "s" else -1
        elif letter == "?":
            say(HELP)
        elif letter == "e" or (_is_change(answer) and _is_wanted(answer)):
            self._edit(name, rest if letter == "e" else answer)
            step = 0
        elif _is_change(answer):
            say("  Nothing is changed; begin a source with another word than that of a setting.")
        elif letter == "o":
            self.review.omit(name)
            say(f"  {name} is left out of the model and of the output.")
            step = 1
        elif letter == "a":
            step = 1 if self._accept_alike(name, rest) else None
        elif (source := self._source_of(answer)) is not None:
            self._accept((name,), source)
            step = 1
        return step

    def _source_of(self, answer: str) -> str | None:
        """Return the source that an answer names; None, with a word, where it names none."""
        letter, rest = _letter_of(answer)
        if letter == "q" and not rest:
            raise _Quit
        if letter == "d":
            return f"{review.FROM_DATA}: {rest}" if rest else review.FROM_DATA
        if letter == "=" and not rest and self.source:
            return self.source
        first, _, details = answer.partition(" ")
        number = first.rstrip(".,:;)")
        if number.isdecimal() and 1 <= int(number) <= len(review.SOURCES):
            usual = review.SOURCES[int(number) - 1]
            return f"{usual}: {details.strip()}" if details.strip() else usual
        return answer if self._is_source(answer) else None

    def _is_source(self, answer: str) -> bool:
        """Whether a text looks like a source; says what is possible where it does not."""
        letter, first = _letter_of(answer)[0], answer.partition(" ")[0]
        is_word = letter in (*ALONE, "a", "e") or first.casefold() in (*YES, *NO, "ok", "okay")
        if first.rstrip(".,:;)").isdecimal():
            say(f"  {brief(first)} is no number of the list. {POSSIBLE}")
            return False
        if is_word or _is_change(answer) or not re.search(r"[^\W\d_]{2}", answer):
            say(f"  {POSSIBLE}")
            return False
        if len(answer.split()) < 2 and not SINGLE.fullmatch(answer) and answer != self.doubted:
            self.doubted = answer
            say(
                f"  {brief(answer)} is a single word: say more, or type it again to have it as source."
            )
            return False
        return True

    def _accept(self, names: tuple[str, ...], source: str) -> None:
        from_data = review.is_from_data(source)
        self.review.accept(names, source, from_data=from_data)
        self.source, self.doubted = source, ""
        if from_data:
            say("  The guarantee will say that this was declared because the records show it.")

    def _accept_alike(self, name: str, answer: str) -> bool:
        names = self.review.alike(name)
        for each in names:
            why = "".join(f"  ({remark})" for remark in self.review.remarks(each)[:1])
            say(f"  {each}: {review.facts(self.review.field(each))}{why}")
        answer = answer or _ask(f"one source for these {len(names)} (nothing: back)> ")
        source = None if answer in ("", "b", "back") else self._source_of(answer)
        if source is None:
            return False
        sure = _ask(f"accept all {len(names)} with the source {brief(source)}? y/n> ")
        if sure.casefold() not in YES:
            _quit_at(sure)
            return False
        self._accept(names, source)
        return True

    def _edit(self, name: str, answer: str = "") -> None:
        say(EDITS)
        while answer := answer or _ask("change (nothing: done)> "):
            letter = _letter_of(answer)
            if letter == ("b", ""):
                return
            _quit_at(answer)
            try:
                self.review.change(name, parse_changes(answer))
            except (ConfigError, SchemaError) as error:
                say(f"  {error}")
            else:
                say(f"  now       {review.facts(self.review.field(name))}")
            answer = ""


def _letter_of(answer: str) -> tuple[str, str]:
    """Return the letter of what an answer asks for, or its first word, and the rest of it."""
    word, _, rest = answer.partition(" ")
    folded = word.casefold()
    letter = WORDS.get(folded, folded if not rest else word)
    return letter, rest.strip()


def _is_wanted(answer: str) -> bool:
    sure = _ask(f"edit the field with {brief(answer)}? y/n> ")
    _quit_at(sure)
    return sure.casefold() in YES


def _quit_at(answer: str) -> None:
    if _letter_of(answer) == ("q", ""):
        raise _Quit


def _is_change(answer: str) -> bool:
    """Whether an answer begins as a change of a setting does."""
    return re.split(r"[\s=:]+", answer, maxsplit=1)[0].casefold() in {
        *SAME,
        *map(str.lower, SETTINGS),
    }


def _ask(prompt: str) -> str:
    """Return one line; an end of the input is the wish to quit."""
    try:
        return input(prompt).strip()
    except EOFError:
        raise _Quit from None


def parse_changes(text: str) -> dict[str, Any]:
    """Return the settings that one line changes, such as `minimum 0; maximum 110`.

    Examples
    --------
    >>> parse_changes("min 0; categories A, B")
    {'minimum': 0, 'enum': ['A', 'B']}
    """
    changes = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        setting, *rest = re.split(r"[\s=:]+", part, maxsplit=1)
        key = SAME.get(setting, setting)
        if key not in SETTINGS:
            known = nearest(setting, (*SAME, *SETTINGS))
            raise ConfigError(f"{brief(setting)} is no setting of a field{known}.")
        words = rest[0].strip() if rest else ""
        if not words:
            raise ConfigError(f"{setting} needs a value; `{setting} none` takes it away.")
        value = None if words == "none" else _value_of(key, words)
        changes[key] = not value if setting == "missing" else value
    return changes


def _value_of(key: str, words: str) -> Any:
    if key in LISTS:
        items = [item.strip() for item in words.split(",")]
        if "" in items:
            raise ConfigError(f"{brief(words)} has an empty value between commas; leave it out.")
        return [_plain(item) for item in items] if key in ("special", "codes") else items
    if key in FLAGS:
        if words not in ("yes", "no", "true", "false"):
            raise ConfigError(f"{brief(words)} must be yes or no.")
        return words in ("yes", "true")
    numbers = ("minimum", "maximum", "decimals", "step")
    return _plain(words) if key in numbers else words


def _plain(text: str) -> Any:
    """Return a number where text is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def review_schema(
    path: Path,
    frame: pd.DataFrame | None,
    *,
    source: str | None,
    by: str | None,
    accept_all: bool,
) -> None:
    """Review a schema file with whoever sits at the terminal, or accept what is open in a name.

    Raises
    ------
    ConfigError
        Everything is to be accepted, and the source or the steward's name is missing.
    SchemaError
        The file is not valid.
    KeyboardInterrupt
        It was stopped; every answer so far is in the file.
    """
    if accept_all and not ((source or "").strip() and (by or "").strip()):
        raise ConfigError(
            "`--yes` accepts every open field in somebody's name: give `--source`, where the bounds "
            "and categories are publicly known, and `--by`, who says so."
        )
    session = _Session(review.SchemaReview(path, by or "", date.today()), frame, source)
    reviewed = session.review
    if accept_all:
        if reviewed.open:
            reviewed.accept(reviewed.open, (source or "").strip())
        reviewed.accept_rules(reviewed.open_rules, (source or "").strip())
        if reviewed.row_remarks:
            say(
                f"maxRows stands as drafted, {reviewed.schema.maxRows}: declare a public number, go "
                "through the review without `--yes`, or pay for one with `synthvae schema rows`."
            )
    else:
        try:
            _hold(session)
        except KeyboardInterrupt as stop:
            what = str(stop).partition(";")[0] or "Interrupted"
            stop.args = (f"{what}; every answer so far is in {path}.",)
            raise
    _say_rest(path, reviewed)


def _hold(session: _Session) -> None:
    reviewed = session.review
    marked = reviewed.open or reviewed.open_rules or reviewed.row_remarks
    if not marked and reviewed.schema.patients is not None:
        return
    try:
        user = "the steward"
        if not reviewed.by:
            with contextlib.suppress(OSError, KeyError):  # a system without names of users
                user = getpass.getuser()
            answer = _ask(f"Who reviews? (nothing: {user}; q: quit)> ")
            _quit_at(answer)
            reviewed.by = answer or user
        session.ask_table()
        session.ask_fields()
        session.ask_rules()
    except _Quit:
        return


def _say_rest(path: Path, reviewed: review.SchemaReview) -> None:
    schema = reviewed.schema
    left = {"field": len(reviewed.open), "rule": len(reviewed.open_rules)}
    waiting = " and ".join(counted(number, what) for what, number in left.items() if number)
    if (paid := reviewed.paid_rows) is not None:
        say(
            f"maxRows {paid.maxRows} was paid for with epsilon {epsilon_text(paid.epsilon)} on "
            f"{paid.on}: it needs no public source."
        )
    shown = [each.name for each in schema.fields if each.basis and each.basis.fromData]
    shown += [rule.title for rule in schema.rules if rule.basis and rule.basis.fromData]
    if shown:
        say(
            f"\nDeclared because the records show it, as the guarantee will say: {', '.join(shown)}."
        )
    if schema.patients is None:
        say("No number of patients is declared: `patients: 500`, say, where it is public.")
    if waiting:
        say(f"{waiting} in {path} still to review; the same command goes on there.")
    else:
        say(f"Nothing in {path} awaits review.")
