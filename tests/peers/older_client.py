"""The same as `client.py` with the SDK before (mcp 1), which speaks 2024-11-05 to 2025-11-25; the era is the version it asks for.

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


async def pages(method, member):
    found, cursor = [], None
    while True:
        page = await method(params=types.PaginatedRequestParams(cursor=cursor))
        found += [getattr(entry, "uriTemplate", None) or str(getattr(entry, "uri", entry.name)) for entry in getattr(page, member)]
        cursor = page.nextCursor
        if cursor is None:
            return found


def said(result):
    return {"is_error": bool(result.isError), "text": [block.text for block in result.content]}


async def everything(session, steps):
    await steps.take("tools", lambda: pages(session.list_tools, "tools"))
    await steps.take("prompts", lambda: pages(session.list_prompts, "prompts"))
    await steps.take("resources", lambda: pages(session.list_resources, "resources"))
    await steps.take("templates", lambda: pages(session.list_resource_templates, "resourceTemplates"))
    await call(session, steps, "search", {"query": "printer", "limit": 3})
    await call(session, steps, "read_ticket", {"id": "t-7"})
    await call(session, steps, "delete_ticket", {"id": "t-7"})
    await call(session, steps, "close_ticket", {"id": "t-8"})

    async def slow():
        told = []

        async def progress(done, total, message):
            told.append([done, total])

        result = said(await session.call_tool("slow", {}, progress_callback=progress))
        return result | {"progress": told}

    await steps.take("slow", slow)

    async def summarize():
        prompt = await session.get_prompt("summarize", {"text": "A long text."})
        return [message.content.text for message in prompt.messages]

    await steps.take("summarize", summarize)

    async def read():
        page = await session.read_resource("docs://handbook/refunds")
        return [content.text for content in page.contents]

    await steps.take("read", read)

    async def ping():
        await session.send_ping()

    await steps.take("ping", ping)


async def call(session, steps, tool, arguments):
    await steps.take(tool, lambda: use(session, tool, arguments))


async def use(session, tool, arguments):
    return said(await session.call_tool(tool, arguments))


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
                    if not calls:
                        await everything(session, steps)
                    await steps.take_calls(calls, lambda tool, arguments: use(session, tool, arguments))
    except BaseException as error:
        steps.tell(error)
    else:
        steps.tell()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
