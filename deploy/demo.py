"""
The demonstration on the servers of docker-compose.yml, in a virtual host and a database of its own.

Makes both anew, so that it can be run again and again, and then is `axis demo` with the arguments it was given. A
broker's users are common to all its virtual hosts, and the demonstration's stations bear the codes of real agencies: on
a broker that already serves stations it refuses to start, or their passwords would become the demonstration's.
Passwords come from the files the services have; none stands in a command.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

VHOST = "demo"


def secret(name: str) -> str:
    """The password in the file that `<name>_FILE` names."""
    return Path(os.environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()


def empty_vhost() -> None:
    """Remove the demonstration's virtual host with all it holds, and make it anew."""
    url, user = os.environ["DEMO_MANAGEMENT"], "axis"
    credentials = base64.b64encode(f"{user}:{secret('AXIS_BROKER_PASSWORD')}".encode()).decode()
    context = ssl.create_default_context(cafile=os.environ["AXIS_BROKER_CA"])

    def call(method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - an https address from the compose file
            f"{url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310 - as above
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if method != "DELETE" or error.code != 404:
                raise
            return b""

    rights = json.loads(call("GET", "permissions"))
    served = sorted({one["user"] for one in rights if one["vhost"] != VHOST and one["user"] != user})
    if served:
        sys.exit(
            f"Máy chủ đã phục vụ các trạm thật ({', '.join(served[:5])}); hãy chạy minh họa trên máy chủ khác.\n"
            f"This broker already serves stations ({', '.join(served[:5])}); run the demonstration on other servers."
        )
    call("DELETE", f"vhosts/{VHOST}")
    call("PUT", f"vhosts/{VHOST}", {})
    call("PUT", f"permissions/{VHOST}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})


async def empty_database() -> None:
    """Remove every table of the demonstration's database."""
    parts = urlsplit(os.environ["DEMO_DATABASE"])
    where = parts._replace(
        netloc=f"axis:{quote(secret('AXIS_DATABASE_PASSWORD'), safe='')}@{parts.netloc.rpartition('@')[2]}"
    )
    connection = await asyncpg.connect(where.geturl(), timeout=30)
    try:
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
    finally:
        await connection.close()


def main(arguments: list[str]) -> None:
    empty_vhost()
    asyncio.run(empty_database())
    broker, database = os.environ["DEMO_BROKER"], os.environ["DEMO_DATABASE"]
    servers = ["--broker", broker, "--management", os.environ["DEMO_MANAGEMENT"], "--database", database]
    os.execvp("axis", ["axis", "demo", *servers, *arguments])  # noqa: S606, S607 - becomes the command itself


if __name__ == "__main__":
    main(sys.argv[1:])
