"""An MCP server with the official SDK, as a team would write one: tickets, a handbook, a prompt. It speaks every era that the SDK does."""

import asyncio

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListToolsResult,
    ToolAnnotations,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from serving import options, serve

TICKETS = {f"t-{number}": f"Ticket {number}: the printer is on fire" for number in range(1, 21)}
QUESTION = "Close this ticket?"


class Answer(BaseModel):
    """What `close_ticket` asks of whoever sits before the client."""

    sure: bool


class Paged(MCPServer):
    """The SDK's own server lists everything at once."""

    page = 0

    async def _handle_list_tools(self, ctx, params):
        tools = await self.list_tools()
        if not self.page:
            return ListToolsResult(tools=tools)
        begin = int(params.cursor) if params and params.cursor else 0
        end = begin + self.page
        return ListToolsResult(tools=tools[begin:end], next_cursor=str(end) if end < len(tools) else None)


server = Paged("tickets", version="1.0.0")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def search(query: str, limit: int = 10) -> list[str]:
    """Searches the tickets."""
    return [name for name, text in TICKETS.items() if query in text][:limit]


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read_ticket(id: str) -> str:
    """Reads a ticket."""
    return TICKETS[id]


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
async def delete_ticket(id: str, ctx: Context) -> str:
    """Deletes a ticket."""
    await ctx.notify_resource_updated("docs://handbook/deleted")
    return f"{id} is deleted"


@server.tool()
async def close_ticket(id: str, ctx: Context) -> str | InputRequiredResult:
    """Closes a ticket, after it has asked: by an elicitation, or from 2026-07-28 on with a result that wants input."""
    if ctx.request_context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        answer = await ctx.elicit(QUESTION, Answer)
        sure = answer.action == "accept" and answer.data.sure
    elif ctx.input_responses and ctx.request_state == f"close {id}":
        sure = ctx.input_responses["sure"].content["sure"]
    else:
        question = ElicitRequestFormParams(message=QUESTION, requested_schema=Answer.model_json_schema())
        return InputRequiredResult(input_requests={"sure": ElicitRequest(params=question)}, request_state=f"close {id}")
    return f"{id} is closed" if sure else f"{id} stays open"


@server.tool()
async def slow(ctx: Context, steps: int = 3, pause: float = 0.05) -> str:
    """Tells how far it has come: `steps` times, with `pause` seconds before each."""
    for step in range(1, steps + 1):
        await asyncio.sleep(pause)
        await ctx.report_progress(step, steps, f"step {step}")
    return "done"


@server.prompt()
def summarize(text: str) -> str:
    """Asks for a summary."""
    return f"Summarize this:\n{text}"


@server.resource("docs://handbook/welcome", name="welcome")
def welcome() -> str:
    """The handbook's first page."""
    return "Welcome."


@server.resource("docs://handbook/{page}", name="handbook")
def handbook(page: str) -> str:
    """Any other page of it."""
    return f"This is the page {page}."


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--page", type=int, default=0, help="so many tools a page of tools/list; 0: all")
    given = parser.parse_args()
    Paged.page = given.page
    serve(server.streamable_http_app(json_response=given.json, stateless_http=given.stateless), given.port)
