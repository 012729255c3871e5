"""What an agent does at the helpdesk, with the official SDK's client; each step is a line of what came of it.

Usage: MCP_TOKEN=… agent.py URL
"""

import asyncio
import os
import sys

from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

CALLS = [
    ("search", {"query": "printer", "limit": 2}),
    ("search", {"query": "printer", "limit": 1000}),
    ("search", {"query": "printer", "as_user": "ida"}),
    ("delete_ticket", {"id": "t-1"}),
    ("read_ticket", {"id": "t-1"}),
    ("delete_ticket", {"id": "t-1"}),
]


async def main(url):
    headers = {"authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    async with create_mcp_http_client(headers=headers) as http, Client(streamable_http_client(url, http_client=http)) as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name} takes {', '.join(sorted(tool.input_schema['properties']))}")
        for name, arguments in CALLS:
            try:
                result = await client.call_tool(name, arguments)
                print(f"{name} {arguments}: {' '.join(block.text for block in result.content)}")
            except MCPError as error:
                print(f"{name} {arguments}: denied: {error.error.data['reason']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
