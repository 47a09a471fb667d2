"""Ten simulated health tables with three to twelve rules each, of every kind that a schema may have."""

from tests.rules.study_tables import STUDY_TABLES
from tests.rules.ward_tables import WARD_TABLES

TEN_TABLES = (*WARD_TABLES, *STUDY_TABLES)
