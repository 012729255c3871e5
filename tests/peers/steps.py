"""What both clients tell: each step's outcome, and what was on the wire."""

import json
import os

import anyio

# What a step may take: a peer that gives no answer is told as such, and the next step is tried.
PATIENCE = 10.0


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

    async def take_calls(self, calls, call):
        """Of each `TOOL={"an": "argument"}` the outcome, under its number."""
        for number, text in enumerate(calls, 1):
            tool, _, arguments = text.partition("=")
            await self.take(f"{number} {tool}", lambda: call(tool, json.loads(arguments or "{}")))

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
