"""The exceptions that synthvae raises, each kind with its own exit code on the command line.

    SynthvaeError            1   anything below
    ├── ConfigError          3   a run's settings, or an argument of a call
    ├── SchemaError          4   the schema file
    ├── InputFileError       5   a file that cannot be read as a table
    ├── DataError            6   a table that does not fit its schema
    ├── BudgetError          7   an epsilon or delta that cannot be met
    ├── OutputExistsError    8   something stands where the output should go
    ├── ArtefactError        9   a model that is damaged, or of another version
    ├── StorageError        10   a disk that is full, a folder that cannot be written
    ├── EvaluationError     11   tables that cannot be scored
    ├── PolicyError         12   a result that does not meet the steward's policy
    ├── AuditError          13   an audit that refutes what is claimed
    └── DefectError         14   a model of a version with known defects

Exit code 2 is the command line's own (wrong options), 130 is Ctrl-C.
"""


class SynthvaeError(Exception):
    """Base of every error that synthvae raises on purpose; its text is one readable sentence."""

    exit_code = 1


class ConfigError(SynthvaeError):
    """A setting that is unknown, of the wrong type, or out of its range."""

    exit_code = 3


class SchemaError(SynthvaeError):
    """A schema file that is malformed or contradicts itself."""

    exit_code = 4


class InputFileError(SynthvaeError):
    """A file that does not exist, is empty, or cannot be read as a table."""

    exit_code = 5


class DataError(SynthvaeError):
    """A table that does not fit its schema; the text lists every problem found."""

    exit_code = 6


class BudgetError(SynthvaeError):
    """A privacy budget that is not valid or cannot be met."""

    exit_code = 7


class OutputExistsError(SynthvaeError):
    """An output that exists already and would be overwritten."""

    exit_code = 8


class ArtefactError(SynthvaeError):
    """A saved artefact that is incomplete, altered, or written by another version."""

    exit_code = 9


class StorageError(SynthvaeError):
    """Output that could not be written: the disk is full, or the folder is read-only."""

    exit_code = 10


class EvaluationError(SynthvaeError):
    """Tables that cannot be scored against each other."""

    exit_code = 11


class PolicyError(SynthvaeError):
    """A result that was written, and does not meet the policy that it was held against."""

    exit_code = 12


class AuditError(SynthvaeError):
    """An audit that was made, and shows more than the guarantee allows."""

    exit_code = 13


class DefectError(SynthvaeError):
    """A model that was read, and whose version is known to have kept less than it promised."""

    exit_code = 14


def check_positive_integer(name: str, value: object) -> int:
    """Return `value` as a whole number of at least 1, or raise `ConfigError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1.")
    return value
