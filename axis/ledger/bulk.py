"""
Many rows in one statement whose text does not depend on how many they are.

A statement per row costs a way to the server each, and one text per number of rows a plan each. PostgreSQL takes the
columns of all rows as arrays; SQLite runs in the process, where a statement per row costs next to nothing, and takes a
list of values as one JSON text. Whatever changes rows takes their locks in the order of the keys, so that two
transactions never wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Self

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeDecorator, TypeEngine

Key = tuple[tuple[str, Any], ...]
"""Columns and values that name a row, in the order of the columns' names."""
Values = Mapping[str, Any]
"""The columns of a row with their values."""

_ARRAYS: Final = (
    (String, "text"),
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (LargeBinary, "bytea"),
    (Boolean, "boolean"),
)
"""What PostgreSQL calls the items; texts without their length, which a cast would cut off silently."""


# --- a list of values in a condition ------------------------------------------------------------------------------


class _List(TypeDecorator[Sequence[Any]]):
    """Values as one parameter: an array, or a JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = Text() if isinstance(item, String) else item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(self.item))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        if dialect.name == "postgresql" or value is None:
            return value
        return json.dumps(list(value), ensure_ascii=False)


class _Among(FunctionElement[bool]):
    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:
        """A condition as it stands: as `... = 1`, which SQLite is given otherwise, it would find no index."""
        del against
        return self


@compiles(_Among)
def _in_json(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, values = (compiler.process(one, **how) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(_Among, "postgresql")
def _in_array(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, values = (compiler.process(one, **how) for one in element.clauses)
    return f"{column} = ANY ({values})"


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether the column has one of these values: texts or whole numbers, however many."""
    return _Among(column, literal(list(values), _List(column.type)))


# --- writing ------------------------------------------------------------------------------------------------------


async def insert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Values]) -> None:
    """New rows, all with the same columns, numbered in their order where the database numbers them."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        await connection.execute(insert(table), rows)
        return
    columns = tuple(rows[0])
    await connection.exec_driver_sql(_insert_text(table, columns), _arrays(columns, rows))


async def put_rows(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Values],
    *,
    adds: str | None = None,
    returns: bool = False,
) -> list[Any]:
    """
    Rows by primary key: those that are there become as given (all key: stay), or have the number in column `adds` added.

    Every key is given once. With `returns` the rows as they are afterwards, else none.
    """
    if not rows:
        return []
    keys = tuple(column.name for column in table.primary_key.columns)
    columns = tuple(rows[0])
    ordered = sorted(rows, key=lambda row: tuple(row[key] for key in keys))
    if connection.dialect.name == "postgresql":
        text = _put_text(table, columns, keys, adds, returns=returns)
        done = await connection.exec_driver_sql(text, _arrays(columns, ordered))
        return list(done) if returns else []
    new = sqlite.insert(table)
    changes: dict[str, ColumnElement[Any]] = {
        name: new.excluded[name] for name in columns if name not in keys
    }
    if adds is not None:
        changes = {adds: table.c[adds] + new.excluded[adds]}
    statement = (
        new.on_conflict_do_update(index_elements=list(keys), set_=dict(changes.items()))
        if changes
        else new.on_conflict_do_nothing(index_elements=list(keys))
    )
    await connection.execute(statement, ordered)
    if not returns:
        return []
    # Many rows and RETURNING are a statement for each; nobody else writes meanwhile, so they are read instead.
    given = {tuple(row[key] for key in keys) for row in rows}
    query = select(table).where(*(among(table.c[key], {row[key] for row in rows}) for key in keys))
    found = (await connection.execute(query)).all()
    return [row for row in found if tuple(getattr(row, key) for key in keys) in given]


async def insert_missing(connection: AsyncConnection, table: Table, rows: Sequence[Values]) -> set[Any]:
    """Rows of a table with one key column, where there is none of that key; returns the keys that were free."""
    (key,) = (column.name for column in table.primary_key.columns)
    ordered = sorted(rows, key=lambda row: str(row[key]))
    if not ordered:
        return set()
    if connection.dialect.name == "postgresql":
        columns = tuple(rows[0])
        statement = f"{_insert_text(table, columns)} ON CONFLICT DO NOTHING RETURNING {_names([key])}"
        return set((await connection.exec_driver_sql(statement, _arrays(columns, ordered))).scalars())
    # One writer: what is free when it is looked at is free when it is written.
    query = select(table.c[key]).where(among(table.c[key], [row[key] for row in ordered]))
    taken = set((await connection.execute(query)).scalars())
    free = {row[key]: row for row in reversed(ordered) if row[key] not in taken}
    await insert_rows(connection, table, list(free.values()))
    return set(free)


async def change_rows(connection: AsyncConnection, table: Table, changes: Mapping[Key, Values]) -> None:
    """Columns of rows by their keys; a key that names no row changes nothing."""
    shapes: dict[tuple[Any, ...], list[Key]] = {}
    for key in sorted(changes):
        year = dict(key).get("year")
        shapes.setdefault((year, tuple(name for name, _ in key), tuple(sorted(changes[key]))), []).append(key)
    for (year, keys, columns), rows in shapes.items():
        given = [
            {**{f"key_{name}": value for name, value in key}}
            | {f"new_{name}": changes[key][name] for name in columns}
            for key in rows
        ]
        if connection.dialect.name == "postgresql":
            named = tuple(name for name in keys if name != "year")
            order = (*(f"key_{name}" for name in named), *(f"new_{name}" for name in columns))
            arguments = _arrays(order, given)
            await connection.exec_driver_sql(
                _change_text(table, named, columns, is_partitioned=year is not None),
                arguments if year is None else (*arguments, year),
            )
            continue
        statement = (
            update(table)
            .where(*(table.c[name] == bindparam(f"key_{name}") for name in keys))
            .values({name: bindparam(f"new_{name}") for name in columns})
        )
        await connection.execute(statement, given)


async def remove_rows(connection: AsyncConnection, table: Table, keys: Collection[Key]) -> None:
    """Rows by their keys; a key that names no row removes nothing."""
    shapes: dict[tuple[str, ...], list[Key]] = {}
    for key in sorted(keys):
        shapes.setdefault(tuple(name for name, _ in key), []).append(key)
    for names, rows in shapes.items():
        if len(names) == 1:
            column = table.c[names[0]]
            await connection.execute(delete(table).where(among(column, [key[0][1] for key in rows])))
            continue
        statement = delete(table).where(*(table.c[name] == bindparam(f"key_{name}") for name in names))
        await connection.execute(statement, [{f"key_{name}": value for name, value in key} for key in rows])


def _arrays(columns: Sequence[str], rows: Sequence[Values]) -> tuple[list[Any], ...]:
    return tuple([row[name] for row in rows] for name in columns)


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _array_type(column: Column[Any]) -> str:
    return next(name for kind, name in _ARRAYS if isinstance(column.type, kind)) + "[]"


def _defaults(table: Table, *, without: Collection[str]) -> dict[str, Any]:
    return {
        one.name: one.default.arg
        for one in table.c
        if isinstance(one.default, ScalarElementColumnDefault) and one.name not in without
    }


def _unnest(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"${place}::{_array_type(table.c[name])}" for place, name in enumerate(columns, start=1))


@lru_cache(maxsize=256)
def _insert_text(table: Table, columns: tuple[str, ...]) -> str:
    """The rows of the arrays, in their order, with the defaults of the columns that are not given."""
    unsaid = _defaults(table, without=columns)
    more = "".join(f", {_literal(value)}" for value in unsaid.values())
    return (
        f"INSERT INTO {_names([table.name])} ({_names((*columns, *unsaid))}) "
        f"SELECT {_names(columns)}{more} FROM unnest({_unnest(table, columns)}) "
        f"WITH ORDINALITY AS given ({_names(columns)}, place) ORDER BY given.place"
    )


def _literal(value: object) -> str:
    # Defaults of columns: whole numbers, truths and the empty text, as the tables say.
    if isinstance(value, bool | int):
        return str(value)
    assert value == "", "a default that is no plain value"
    return "''"


@lru_cache(maxsize=256)
def _put_text(
    table: Table, columns: tuple[str, ...], keys: tuple[str, ...], adds: str | None, *, returns: bool
) -> str:
    if adds is not None:
        changes = f'"{adds}" = "{table.name}"."{adds}" + excluded."{adds}"'
    else:
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
    returning = f" RETURNING {_names(column.name for column in table.c)}" if returns else ""
    # A row that is all key is there or is not.
    what = f"UPDATE SET {changes}" if changes else "NOTHING"
    return f"{_insert_text(table, columns)} ON CONFLICT ({_names(keys)}) DO {what}{returning}"


@lru_cache(maxsize=256)
def _change_text(
    table: Table, keys: tuple[str, ...], columns: tuple[str, ...], *, is_partitioned: bool
) -> str:
    every = (*keys, *columns)
    given = (*(f"key_{name}" for name in keys), *(f"new_{name}" for name in columns))
    same = " AND ".join(f'one."{name}" = given."key_{name}"' for name in keys)
    order = ", ".join(f'given."key_{name}"' for name in keys)
    changes = ", ".join(f'"{name}" = given."new_{name}"' for name in columns)
    year = f" AND one.year = ${len(every) + 1}" if is_partitioned else ""
    return (
        f"WITH given AS (SELECT * FROM unnest({_unnest(table, every)}) AS given ({_names(given)})), "
        f"held AS MATERIALIZED (SELECT given.* FROM {_names([table.name])} AS one, given "
        f"WHERE {same}{year} ORDER BY {order} "
        "FOR NO KEY UPDATE OF one) "
        f"UPDATE {_names([table.name])} AS one SET {changes} "
        f"FROM held AS given WHERE {same}{year}"
    )
