"""
Data that comes with the axis: the organs of level 1 as they were on 4 February 2020, and the working days of the years
that are known.

The organs are a snapshot of one day and no register: names and number have changed since (the mergers of 2025 above
all), and the codes of some are known from the rule that gave them (`alphabetical`) or not at all (`assumed`). Columns
are those of `axis.flow.organ_import.read_organs`, which reads it; an operator loads a current list over it.

Working days are read by `axis.core.calendar.read_calendar`; an operator adds a year when its days have been decided.
"""

from __future__ import annotations

from datetime import date
from importlib import resources
from typing import Final

ORGANS_AS_OF: Final = date(2020, 2, 4)
"""The day on which 95 ministries, agencies and provinces had been connected to the national axis."""
ORGANS_FILE: Final = "organs-2020-02-04.csv"
WORKING_DAYS_FILE: Final = "working-days.toml"


def organs_csv() -> bytes:
    """The list of organs, in CSV."""
    return resources.files("axis.data").joinpath(ORGANS_FILE).read_bytes()


def working_days_toml() -> str:
    """The working days, in TOML."""
    return resources.files("axis.data").joinpath(WORKING_DAYS_FILE).read_text("utf-8")
