"""The private PostgreSQL servers do what the tests that rely on them believe."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services.postgres import Database, PostgresNode
from tests.services.processes import lives


async def _rows(url: str, *statements: str) -> list[object]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements[:-1]:
                await connection.execute(text(statement))
            return list((await connection.execute(text(statements[-1]))).scalars())
    finally:
        await engine.dispose()


async def test_a_test_has_a_database_of_its_own(database_url: str, empty_database_url: str) -> None:
    """What one database holds, another of the same server does not."""
    await _rows(database_url, "CREATE TABLE mine (n int)", "SELECT 1")

    found = await _rows(empty_database_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'")

    assert found == [0]


def test_a_database_is_copied_from_a_template(database: Database) -> None:
    """A copy holds the template's tables, and dropping it leaves the template alone."""
    template = database.create()
    database.query("CREATE TABLE shape (n int)", database=template)

    copy = database.create(template=template)

    assert database.query("SELECT count(*) AS n FROM shape", database=copy) == [{"n": 0}]
    database.drop(copy)
    assert database.query("SELECT count(*) AS n FROM shape", database=template) == [{"n": 0}]
    database.drop(template)


async def test_a_killed_server_comes_back_with_what_was_committed(postgres_node: PostgresNode) -> None:
    """A committed row outlives SIGKILL of the server."""
    url = postgres_node.database.url
    await _rows(url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")

    await asyncio.to_thread(postgres_node.kill)
    await asyncio.to_thread(postgres_node.start)

    assert await _rows(url, "SELECT n FROM kept") == [7]


async def test_a_frozen_server_answers_again_when_thawed(postgres_node: PostgresNode) -> None:
    """SIGSTOP reaches the backends of open connections too; SIGCONT undoes it."""
    engine = create_async_engine(postgres_node.database.url)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        postgres_node.freeze()
        question = asyncio.create_task(connection.execute(text("SELECT 2")))
        answered_while_frozen, _ = await asyncio.wait([question], timeout=0.5)

        postgres_node.thaw()

        assert answered_while_frozen == set()
        assert (await question).scalar() == 2
    await engine.dispose()


def test_commits_are_synchronous(database: Database) -> None:
    """The tests' server answers a commit only after writing it, as production must."""
    assert database.query("SHOW synchronous_commit") == [{"synchronous_commit": "on"}]


def test_nothing_of_a_removed_server_is_left(postgres_node: PostgresNode) -> None:
    """Server and folder are gone once it is removed."""
    pids = [postgres_node.pid, *postgres_node.leash_pids]

    postgres_node.remove()

    assert [lives(pid) for pid in pids] == [False, False]
    assert not postgres_node.folder.exists()


def test_a_wrong_password_is_refused(database: Database) -> None:
    """The private server does not trust whoever reaches its port."""
    with pytest.raises(Exception, match="password"):
        Database(url=database.url.replace("axis:", "axis:x", 1)).query("SELECT 1")
