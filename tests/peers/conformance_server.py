"""What the public conformance suite of MCP asks a server to have: tools, prompts and resources by the names in its scenarios."""

import asyncio
import base64
import json

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

from serving import options, serve

# The smallest PNG and WAV that there are.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

server = MCPServer("conformance", version="1.0.0")


def text(words):
    return TextContent(type="text", text=words)


def image():
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri, kind, words):
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=words))


# What an answer holds, by the tool that gives it.
ANSWERS = {
    "test_simple_text": lambda: [text("This is a simple text response for testing.")],
    "test_image_content": lambda: [image()],
    "test_audio_content": lambda: [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")],
    "test_embedded_resource": lambda: [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": lambda: [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}


def answering(answer):
    def tool():
        return answer()

    return tool


for name, answer in ANSWERS.items():
    server.add_tool(answering(answer), name=name, description="An answer of a certain form.", structured_output=False)


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Tells its progress."""
    for step in (0, 50, 100):
        await ctx.report_progress(step, 100, f"Completed step {step} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    message = SamplingMessage(role="user", content=text(prompt))
    result = await ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {result.content.text}"


async def asked(ctx, message, schema):
    answer = await ctx.elicit(message, schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


class Username(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the client's user."""
    return "User response: " + await asked(ctx, message, Username)


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks with defaults."""
    return "Elicitation completed: " + await asked(ctx, "Please review your profile", Defaults)


def titled(**titles):
    return [{"const": value, "title": title} for value, title in titles.items()]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": titled(value1="First", value2="Second", value3="Third")})
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2", "option3"]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": titled(value1="First", value2="Second", value3="Third")}})


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks with choices."""
    return "Elicitation completed: " + await asked(ctx, "Please choose", Choices)


# Results that want input (2026-07-28): the questions, and whether a state goes with them.
def question(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(words):
    message = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


NAME = question("What is your name?", name={"type": "string"})
SURE = question("Please confirm", ok={"type": "boolean"})
QUESTIONS = {
    "elicitation": ({"user_name": NAME}, None),
    "sampling": ({"capital_question": sampling("What is the capital of France?")}, None),
    "list_roots": ({"client_roots": ListRootsRequest()}, None),
    "request_state": ({"confirm": SURE}, "asked"),
    "tampered_state": ({"confirm": SURE}, "asked"),
    "multiple_inputs": ({"user_name": NAME, "greeting": sampling("A greeting"), "client_roots": ListRootsRequest()}, "asked"),
}


def wanting(questions, state):
    async def tool(ctx: Context) -> str | InputRequiredResult:
        answers = ctx.input_responses or {}
        if questions.keys() <= answers.keys() and ctx.request_state == state:
            return "state-ok: " + ", ".join(f"{name} {answers[name].model_dump_json()}" for name in questions)
        return InputRequiredResult(input_requests=questions, request_state=state)

    return tool


for name, (questions, state) in QUESTIONS.items():
    server.add_tool(wanting(questions, state), name=f"test_input_required_result_{name}", description="Asks before it answers.")


@server.tool()
async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Asks twice."""
    rounds = [("step1", NAME), ("step2", question("What is your favourite colour?", color={"type": "string"}))]
    done = int(ctx.request_state or 0)
    if done and rounds[done - 1][0] not in (ctx.input_responses or {}):
        done -= 1
    if done == len(rounds):
        return "All is told."
    name, asked_for = rounds[done]
    return InputRequiredResult(input_requests={name: asked_for}, request_state=str(done + 1))


@server.tool()
async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    """Asks what the client can be asked."""
    can, requests = ctx.client_capabilities, {}
    if can is None or can.sampling is not None:
        requests["sample"] = sampling("Say hello")
    if can is None or can.elicitation is not None:
        requests["ask"] = NAME
    return InputRequiredResult(input_requests=requests, request_state="asked")


@server.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Is refused to a client that cannot be asked for a completion."""
    can = ctx.client_capabilities
    if can is None or can.sampling is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client has no sampling", data)
    return "done"


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """Without arguments."""
    return [UserMessage(text("This is a simple prompt for testing."))]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """With arguments."""
    return [UserMessage(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """With a resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(resource), UserMessage(text("Please process the embedded resource above."))]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """With an image."""
    return [UserMessage(image()), UserMessage(text("Please analyze the image above."))]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
    """Asks before it answers."""
    if "user_context" in (ctx.input_responses or {}):
        return [UserMessage(text("With the context that was given."))]
    asked_for = question("What context should the prompt use?", context={"type": "string"})
    return InputRequiredResult(input_requests={"user_context": asked_for})


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    """A text that can be watched."""
    return "Watched resource content"


@server.resource("test://template/{id}/data", mime_type="application/json")
def templated(id: str) -> str:
    """A text by its id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.completion()
async def complete(ref, argument, context) -> Completion:
    return Completion(values=["paris", "park", "party"], total=3, has_more=False)


async def nothing(ctx, params) -> EmptyResult:
    return EmptyResult()


# The SDK's server has no other way to take these.
for method, params in {
    "logging/setLevel": SetLevelRequestParams,
    "resources/subscribe": SubscribeRequestParams,
    "resources/unsubscribe": UnsubscribeRequestParams,
}.items():
    server._lowlevel_server.add_request_handler(method, params, nothing)


if __name__ == "__main__":
    given = options(__doc__).parse_args()
    serve(server.streamable_http_app(json_response=given.json, stateless_http=given.stateless), given.port)
