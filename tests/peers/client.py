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


async def pages(method, member):
    found, cursor = [], None
    while True:
        page = await method(cursor=cursor)
        found += [getattr(entry, "uri_template", None) or str(getattr(entry, "uri", entry.name)) for entry in getattr(page, member)]
        cursor = page.next_cursor
        if cursor is None:
            return found


def said(result):
    return {"is_error": bool(result.is_error), "text": [block.text for block in result.content]}


async def everything(client, steps):
    await steps.take("tools", lambda: pages(client.list_tools, "tools"))
    await steps.take("prompts", lambda: pages(client.list_prompts, "prompts"))
    await steps.take("resources", lambda: pages(client.list_resources, "resources"))
    await steps.take("templates", lambda: pages(client.list_resource_templates, "resource_templates"))
    await call(client, steps, "search", {"query": "printer", "limit": 3})
    await call(client, steps, "read_ticket", {"id": "t-7"})
    await call(client, steps, "delete_ticket", {"id": "t-7"})
    await call(client, steps, "close_ticket", {"id": "t-8"})

    async def slow():
        told = []

        async def progress(done, total, message):
            told.append([done, total])

        result = said(await client.call_tool("slow", {}, progress_callback=progress))
        return result | {"progress": told}

    await steps.take("slow", slow)

    async def summarize():
        prompt = await client.get_prompt("summarize", {"text": "A long text."})
        return [message.content.text for message in prompt.messages]

    await steps.take("summarize", summarize)

    async def read():
        page = await client.read_resource("docs://handbook/refunds")
        return [content.text for content in page.contents]

    await steps.take("read", read)
    if client.protocol_version in MODERN_PROTOCOL_VERSIONS:

        async def listen():
            async with client.listen(resource_subscriptions=["docs://handbook/deleted"]) as events:
                await client.call_tool("delete_ticket", {"id": "t-9"})
                async for event in events:
                    return event.uri

        await steps.take("listen", listen)
    else:
        await steps.take("ping", lambda: ignored(client.send_ping()))


async def ignored(awaitable):
    await awaitable


async def call(client, steps, tool, arguments):
    await steps.take(tool, lambda: use(client, tool, arguments))


async def use(client, tool, arguments):
    return said(await client.call_tool(tool, arguments))


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
                if not calls:
                    await everything(client, steps)
                await steps.take_calls(calls, lambda tool, arguments: use(client, tool, arguments))
    except BaseException as error:
        steps.tell(error)
    else:
        steps.tell()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
