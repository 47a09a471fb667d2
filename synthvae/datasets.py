"""Public tables to try the tool on."""

import pandas as pd

BASELINE = ("lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp")
RECORDED_DECIMALS = {"lncoins": 2, "lpi": 1, "fmde": 1, "disea": 1}
YEARS = 5  # the experiment enrolled nobody for longer


def load_randhie() -> pd.DataFrame:
    """Return the RAND Health Insurance Experiment, one row per person and year.

    From 1974 to 1982 the experiment gave families in six places of the United States health
    insurance with coinsurance drawn at random, and counted what care they used.

    Returns
    -------
    DataFrame
        20,190 rows: the columns of statsmodels under their names (`mdvis`, the visits to a
        doctor in the year, and nine columns measured at enrolment), rounded to the decimals in
        which such variables are recorded; `person`, whose year it is; and `anyvisit`, 1 where
        `mdvis` is above 0.

    Notes
    -----
    The unit is reconstructed. The table that statsmodels gives out has no person number, so a
    person is a run of consecutive rows that are equal in all columns measured at enrolment, of at
    most 5 years (a sixth equal row starts a new person). This gives 5,810 persons, where the
    study's own numbers count 5,912: neighbours with equal answers, such as children of one
    family, are sometimes joined or divided at the wrong year.

    References
    ----------
    J. P. Newhouse and the Insurance Experiment Group, *Free for All?*, Harvard University Press,
    1993. W. G. Manning et al., "Health insurance and the demand for medical care", *American
    Economic Review* 77(3), 1987. The data come with statsmodels (`statsmodels.datasets.randhie`),
    which took them from A. C. Cameron and P. K. Trivedi, *Microeconometrics*, Cambridge University
    Press, 2005, and states that they are in the public domain.

    Examples
    --------
    >>> load_randhie()["person"].nunique()
    5810
    """
    from statsmodels.datasets import randhie

    table: pd.DataFrame = randhie.load_pandas().data
    person = _runs(table[list(BASELINE)], YEARS)
    table = table.round(RECORDED_DECIMALS)
    flags = ["physlm", "idp", "hlthg", "hlthf", "hlthp"]  # physlm has imputed shares below one half
    table[flags] = table[flags].round().astype("int64")
    return table.assign(person=person, anyvisit=(table["mdvis"] > 0).astype("int64"))


def _runs(frame: pd.DataFrame, longest: int) -> pd.Series:
    """Number the runs of consecutive equal rows from 1, none longer than `longest`."""
    run = (frame != frame.shift()).any(axis=1).cumsum()
    part = frame.groupby(run).cumcount() // longest
    starts = (run != run.shift()) | (part != part.shift())
    return starts.cumsum().astype("int64")
