"""A helpdesk's MCP server with the official SDK: tickets, a handbook, a prompt. It does what it is asked by whoever shows its credential.

Usage: TICKETS_TOKEN=… server.py PORT     on loopback; port 0 is any free one
"""

import os
import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from starlette.responses import PlainTextResponse

TICKETS = {f"t-{number}": f"Ticket {number}: the printer is on fire" for number in range(1, 21)}

server = MCPServer("tickets", version="1.0.0")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def search(query: str, limit: int = 10, as_user: str = "") -> list[str]:
    """Searches the tickets, as another user where one is named."""
    return [name for name, text in TICKETS.items() if query in text][:limit]


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read_ticket(id: str) -> str:
    """Reads a ticket."""
    return TICKETS[id]


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def delete_ticket(id: str) -> str:
    """Deletes a ticket."""
    return f"{id} is deleted" if TICKETS.pop(id, None) else f"there is no {id}"


@server.prompt()
def summarize(text: str) -> str:
    """Asks for a summary."""
    return f"Summarize this:\n{text}"


@server.resource("docs://handbook/{page}", name="handbook")
def handbook(page: str) -> str:
    """A page of the handbook."""
    return f"This is the page {page}."


def guarded(app, credential):
    """Nobody is served without the credential."""

    async def guard(scope, receive, send):
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != f"Bearer {credential}".encode():
            return await PlainTextResponse("this server wants its credential\n", status_code=401)(scope, receive, send)
        return await app(scope, receive, send)

    return guard


if __name__ == "__main__":
    app = guarded(server.streamable_http_app(), os.environ["TICKETS_TOKEN"])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(f"ready {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
