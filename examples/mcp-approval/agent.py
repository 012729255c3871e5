"""An agent that asks for what it may not do yet, with the official SDK's client; each step is a line of what came of it.

Usage: MCP_TOKEN=… agent.py URL BROKER
"""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request

from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

CALLS = [("read_ticket", {"id": "t-1"}), ("delete_ticket", {"id": "t-1"}), ("delete_ticket", {"id": "t-2"})]
TOKEN = os.environ["MCP_TOKEN"]


def ask(broker, details, arguments):
    """The broker's answer for exactly what was denied: another token, or `None` and why not. It takes as long as a person takes."""
    body = json.dumps({"authorization_details": details, "arguments": arguments}).encode()
    request = urllib.request.Request(broker, body, {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"})
    try:
        return json.load(urllib.request.urlopen(request))["access_token"], "a person said yes"
    except urllib.error.HTTPError as error:
        return None, json.load(error)["error_description"]


async def call(client, name, arguments):
    """What came of it, and what would have to be in the token where it was denied."""
    try:
        result = await client.call_tool(name, arguments)
        print(f"{name} {arguments}: {' '.join(block.text for block in result.content)}")
    except MCPError as error:
        print(f"{name} {arguments}: denied: {error.error.data['reason']}")
        return error.error.data.get("authorization_details")


async def main(url, broker):
    async with create_mcp_http_client(headers={"authorization": f"Bearer {TOKEN}"}) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            for name, arguments in CALLS:
                missing = await call(client, name, arguments)
                if missing is None:
                    continue
                token, said = await asyncio.to_thread(ask, broker, missing, arguments)
                print(f"  asked for {missing[0]['actions'][0]} with arguments_sha256 {missing[0]['arguments_sha256'][:8]}…: {said}")
                if token is not None:
                    http.headers["authorization"] = f"Bearer {token}"
                    await call(client, name, arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
