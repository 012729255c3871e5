"""A broker that asks a person: for a session's token and a call that was denied it gives a token that is good for that call.

Usage: broker.py KEY PORT      KEY: a private JWK of `policy-host token keygen`; on loopback, port 0 is any free one

The person sits at its terminal: whoever can write there can agree, and no agent can.
"""

import hashlib
import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

ISSUER, AUDIENCE = "https://broker.example", "tickets"
# What a person may be asked about at all, and for how many seconds a yes is good.
ASKABLE, GOOD_FOR = {"tickets.delete"}, 120

with open(sys.argv[1]) as file:
    KEY = jwt.PyJWK(json.load(file))
PUBLIC = KEY.key.public_key()
TERMINAL = threading.Lock()


class Refused(Exception):
    pass


def session_of(header):
    """Whose session asks: only a token of our own says so."""
    try:
        return jwt.decode(header.removeprefix("Bearer "), PUBLIC, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.InvalidTokenError as error:
        raise Refused(f"the session's token is not good: {error}") from error


def call_of(body):
    """What was denied: the details of the denial, and the arguments in the clear. Nobody agrees to a digest; so it is taken here
    again, over what the person is going to see. Where Python writes a value otherwise than RFC 8785 nothing is agreed to."""
    match body:
        case {"authorization_details": [{"type": "chaperone", "actions": [str(command)], "arguments_sha256": digest, **more}], "arguments": dict(arguments)} if not more:
            pass
        case _:
            raise Refused("ask with the authorization_details of the denial, and the arguments of the call")
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if hashlib.sha256(canonical.encode()).hexdigest() != digest:
        raise Refused("these are not the arguments that were denied")
    if command not in ASKABLE:
        raise Refused(f"nobody can agree to {command}")
    return command, arguments, body["authorization_details"][0]


def agreed(session, command, arguments):
    """A person's yes. What the agent wrote is shown as ASCII: nothing in it moves the cursor."""
    with TERMINAL:
        print(f"{session['sub']} in {session['sid']} wants {command} with {json.dumps(arguments)}. Type yes or no:", flush=True)
        return sys.stdin.readline().strip() == "yes"


def token(session, detail):
    """What the session had, and this one call; in the session as before, so that everything counts and ends as for it."""
    now = int(time.time())
    claims = {**session, "iat": now, "exp": min(now + GOOD_FOR, session["exp"]), "jti": str(uuid.uuid4())}
    claims["authorization_details"] = [*session.get("authorization_details", []), detail]
    return jwt.encode(claims, KEY.key, algorithm="ES256", headers={"kid": KEY.key_id, "typ": "session+jwt"})


class Broker(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            session = session_of(self.headers.get("authorization", ""))
            command, arguments, detail = call_of(json.loads(self.rfile.read(int(self.headers.get("content-length", 0)))))
            if not agreed(session, command, arguments):
                raise Refused("a person said no")
            self.answer(200, {"access_token": token(session, detail), "token_type": "Bearer", "expires_in": GOOD_FOR})
        except (Refused, ValueError) as error:
            self.answer(403, {"error": "access_denied", "error_description": str(error)})

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Broker)
    print(f"ready {server.server_address[1]}", flush=True)
    server.serve_forever()
