"""The exceptions that synthvae raises, each kind with its own exit code on the command line.

An error of no kind below has exit code 1; 2 is the command line's own (wrong options), 130 is Ctrl-C.
"""


class SynthvaeError(Exception):
    """Base of every error that synthvae raises on purpose; its text is one readable sentence."""

    exit_code = 1

    def __init_subclass__(cls, exit_code: int | None = None) -> None:
        cls.exit_code = exit_code or cls.exit_code


class ConfigError(SynthvaeError, exit_code=3):
    """A setting of a run, or an argument of a call: unknown, of the wrong type, or out of its range."""


class SchemaError(SynthvaeError, exit_code=4):
    """A schema file that is malformed or contradicts itself."""


class InputFileError(SynthvaeError, exit_code=5):
    """A file that does not exist, is empty, or cannot be read as a table."""


class DataError(SynthvaeError, exit_code=6):
    """A table that does not fit its schema; the text lists every problem found."""


class BudgetError(SynthvaeError, exit_code=7):
    """A privacy budget that is not valid or cannot be met."""


class OutputExistsError(SynthvaeError, exit_code=8):
    """An output that exists already and would be overwritten."""


class ArtefactError(SynthvaeError, exit_code=9):
    """A saved artefact that is incomplete, altered, or written by another version."""


class StorageError(SynthvaeError, exit_code=10):
    """Output that could not be written: the disk is full, or the folder is read-only."""


class EvaluationError(SynthvaeError, exit_code=11):
    """Tables that cannot be scored against each other."""


class PolicyError(SynthvaeError, exit_code=12):
    """A result that was written, and does not meet the steward's policy."""


class AuditError(SynthvaeError, exit_code=13):
    """An audit that was made, and shows more than the guarantee allows."""


class DefectError(SynthvaeError, exit_code=14):
    """A model that was read, and whose version is known to have kept less than it promised."""


class ReadingWarning(UserWarning):
    """What was rounded, merged or left out in reading a table, or is odd about its patients.

    It is computed from real rows: it is for whoever prepares the table, and belongs into no log.
    """


class UnlikelyConditionWarning(UserWarning):
    """Conditions on synthetic records that a model holds together nearly impossible."""


class RedrawnWarning(UserWarning):
    """Many synthetic records ran into a dead end of the rules, and were drawn again."""


def check_positive_integer(name: str, value: object) -> int:
    """Return `value` as a whole number of at least 1, or raise `ConfigError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1.")
    return value
