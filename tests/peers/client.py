"""A client of the official SDK (mcp 2): does what an agent does, and tells what came of each step as one JSON object.

Usage: client.py URL ERA [CALL...]     the token is in the variable MCP_TOKEN
ERA is `legacy`, `auto` or a version without a handshake (`2026-07-28`). A CALL is `TOOL` or `TOOL={"an": "argument"}`;
without one, everything that `server.py` has is used.
"""

import asyncio
import sys

from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import ElicitResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from steps import Steps, headers


class Peer:
    def __init__(self, client):
        self.client = client

    def cursor(self, cursor):
        return {"cursor": cursor}

    def style(self, name):
        return name

    async def last(self, steps):
        async def listen():
            async with self.client.listen(resource_subscriptions=["docs://handbook/deleted"]) as events:
                await self.client.call_tool("delete_ticket", {"id": "t-9"})
                async for event in events:
                    return event.uri

        async def ping():
            await self.client.send_ping()

        modern = self.client.protocol_version in MODERN_PROTOCOL_VERSIONS
        await (steps.take("listen", listen) if modern else steps.take("ping", ping))


async def run(url, era, calls):
    steps = Steps()

    async def confirm(context, params):
        return ElicitResult(action="accept", content={"sure": True})

    try:
        async with create_mcp_http_client(headers=headers()) as http:
            http.event_hooks = {"response": [steps.seen]}
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=era, elicitation_callback=confirm) as client:
                steps.report["version"] = client.protocol_version
                await steps.use(Peer(client), calls)
    except BaseException as error:
        steps.tell(error)
    else:
        steps.tell()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
