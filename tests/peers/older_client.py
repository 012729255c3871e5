"""The same as `client.py` with the SDK before (mcp 1), which speaks versions up to 2025-11-25; the era is the version it asks for.

Usage: older_client.py URL ERA [CALL...]     the token is in the variable MCP_TOKEN
"""

import asyncio
import sys

import anyio
import mcp.types as types
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from steps import PATIENCE, Steps, headers


class Peer:
    def __init__(self, client):
        self.client = client

    def cursor(self, cursor):
        return {"params": types.PaginatedRequestParams(cursor=cursor)}

    def style(self, name):
        first, *others = name.split("_")
        return first + "".join(word.capitalize() for word in others)

    async def last(self, steps):
        async def ping():
            await self.client.send_ping()

        await steps.take("ping", ping)


async def run(url, era, calls):
    steps = Steps()
    types.LATEST_PROTOCOL_VERSION = era

    async def confirm(context, params):
        return types.ElicitResult(action="accept", content={"sure": True})

    try:
        async with create_mcp_http_client(headers=headers()) as http:
            http.event_hooks = {"response": [steps.seen]}
            async with streamable_http_client(url, http_client=http) as (read, write, _):
                async with ClientSession(read, write, elicitation_callback=confirm) as session:
                    with anyio.fail_after(PATIENCE):
                        steps.report["version"] = (await session.initialize()).protocolVersion
                    await steps.use(Peer(session), calls)
    except BaseException as error:
        steps.tell(error)
    else:
        steps.tell()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
