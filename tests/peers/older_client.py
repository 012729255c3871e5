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

    async def page(self, kind, cursor):
        of = types.PaginatedRequestParams(cursor=cursor)
        match kind:
            case "tools":
                page = await self.client.list_tools(params=of)
                names = [entry.name for entry in page.tools]
            case "prompts":
                page = await self.client.list_prompts(params=of)
                names = [entry.name for entry in page.prompts]
            case "resources":
                page = await self.client.list_resources(params=of)
                names = [str(entry.uri) for entry in page.resources]
            case "templates":
                page = await self.client.list_resource_templates(params=of)
                names = [entry.uriTemplate for entry in page.resourceTemplates]
        return names, page.nextCursor

    async def call(self, tool, arguments, **options):
        result = await self.client.call_tool(tool, arguments, **options)
        return {"is_error": bool(result.isError), "text": [block.text for block in result.content]}

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
