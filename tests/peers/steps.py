"""What both clients tell: each step's outcome, and what was on the wire."""

import json
import os

import anyio

# What a step may take: a peer that gives no answer is told as such, and the next step is tried.
PATIENCE = 10.0


LISTS = {
    "tools": ("list_tools", "tools", "name"),
    "prompts": ("list_prompts", "prompts", "name"),
    "resources": ("list_resources", "resources", "uri"),
    "templates": ("list_resource_templates", "resource_templates", "uri_template"),
}

CALLS = [
    ("search", {"query": "printer", "limit": 3}),
    ("read_ticket", {"id": "t-7"}),
    ("delete_ticket", {"id": "t-7"}),
    ("close_ticket", {"id": "t-8"}),
]


async def pages(peer, method, member, named):
    """All names of a list; `peer.cursor` makes a cursor into arguments, and `peer.style` a name into that of the SDK."""
    found, cursor = [], None
    while True:
        page = await getattr(peer.client, method)(**peer.cursor(cursor))
        found += [str(getattr(entry, peer.style(named))) for entry in getattr(page, peer.style(member))]
        cursor = getattr(page, peer.style("next_cursor"))
        if cursor is None:
            return found


async def called(peer, tool, arguments, **options):
    result = await peer.client.call_tool(tool, arguments, **options)
    return {"is_error": bool(getattr(result, peer.style("is_error"))), "text": [block.text for block in result.content]}


class Steps:
    def __init__(self):
        self.report = {"wire": []}

    async def take(self, name, step):
        try:
            with anyio.fail_after(PATIENCE):
                self.report[name] = {"ok": await step()}
        except Exception as error:  # whatever the SDK raises is what is asked for
            said = getattr(error, "error", None)
            told = {"code": getattr(said, "code", None), "message": str(error), "data": getattr(said, "data", None)}
            self.report[name] = {"error": type(error).__name__} | told

    async def seen(self, response):
        """Each request and its status, as it was on the wire: the streams among them, of which a client says nothing itself."""
        self.report["wire"].append([response.request.method, response.status_code, response.headers.get("content-type")])

    async def use(self, peer, calls):
        """Each call, `TOOL={"an": "argument"}`, under its number; without one, everything that `server.py` has."""
        for number, text in enumerate(calls, 1):
            tool, _, arguments = text.partition("=")
            await self.take(f"{number} {tool}", lambda: called(peer, tool, json.loads(arguments or "{}")))
        if not calls:
            await self.everything(peer)

    async def everything(self, peer):
        for kind, list_of in LISTS.items():
            await self.take(kind, lambda: pages(peer, *list_of))
        for tool, arguments in CALLS:
            await self.take(tool, lambda: called(peer, tool, arguments))

        async def slow():
            told = []

            async def progress(done, total, message):
                told.append([done, total])

            return await called(peer, "slow", {}, progress_callback=progress) | {"progress": told}

        async def summarize():
            prompt = await peer.client.get_prompt("summarize", {"text": "A long text."})
            return [message.content.text for message in prompt.messages]

        async def read():
            page = await peer.client.read_resource("docs://handbook/refunds")
            return [content.text for content in page.contents]

        await self.take("slow", slow)
        await self.take("summarize", summarize)
        await self.take("read", read)
        await peer.last(self)

    def tell(self, ended=None):
        """Prints the report; a group of one error is that one."""
        while isinstance(ended, BaseExceptionGroup) and len(ended.exceptions) == 1:
            ended = ended.exceptions[0]
        if ended is not None:
            self.report["ended"] = f"{type(ended).__name__}: {ended}"
        print(json.dumps(self.report))


def headers():
    token = os.environ.get("MCP_TOKEN")
    return {"authorization": f"Bearer {token}"} if token else {}
