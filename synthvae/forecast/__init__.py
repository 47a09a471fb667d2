"""What a fit will leave of a table, from public numbers alone: noise, expected errors, cost, remedies.

    plan + patients -> `Prospect` (errors of columns and pairs) -> `find_remedies` -> `Forecast`

It sees the schema, the declared patients, the budget and the settings, never a row: before anything is
read or spent, anybody may see it.
"""

from synthvae.forecast.forecast import Forecast, make_forecast, warnings_of
from synthvae.forecast.prospect import ColumnForecast

__all__ = ["ColumnForecast", "Forecast", "make_forecast", "warnings_of"]
