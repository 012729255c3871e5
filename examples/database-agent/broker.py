"""A broker: it opens sessions for agents, and gives the proxy, and nobody else, a database token for a session's own (RFC 8693).

Usage: broker.py KEY open SUBJECT SESSION      prints a session token
       DATASETTE_SECRET=… BROKER_CLIENT_SECRET=… broker.py KEY serve PORT      on loopback; port 0 is any free one

KEY is a private JWK of `policy-host token keygen`. DATASETTE_SECRET is what database tokens are made with: it is here and in the
database. BROKER_CLIENT_SECRET is how the proxy shows that it is the proxy: it is here and there.
"""

import asyncio
import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus

import jwt
from datasette.app import Datasette
from datasette.tokens import TokenRestrictions

ISSUER, AUDIENCE, CLIENT = "https://broker.example", "shop", "chaperone"
SESSION_LIVES, DATABASE_TOKEN_LIVES = 900, 60
# What there is to be had, for which audience and scope: one table to read, and no SQL.
RIGHTS = {("shop-database", "orders.read"): ("shop", "orders", "view-table")}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE, ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:access_token"

with open(sys.argv[1]) as file:
    KEY = jwt.PyJWK(json.load(file))


class Refused(Exception):
    """An error of RFC 6749 §5.2, and its status."""

    def __init__(self, error, status=400):
        super().__init__(error)
        self.error, self.status = error, status


def opened(subject, session):
    """A session's token: all that an agent ever holds."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "sid": session, "iat": now, "exp": now + SESSION_LIVES}
    return jwt.encode(claims, KEY.key, algorithm="ES256", headers={"kid": KEY.key_id, "typ": "session+jwt"})


def published():
    """The key's public half, which the proxy verifies sessions with."""
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.key.public_key()))
    return {"keys": [{**public, "kid": KEY.key_id, "alg": "ES256", "use": "sig"}]}


def only_the_proxy(header):
    """`client_secret_basic`: a session's token is no use here without it, so that no agent gets what the proxy gets."""
    try:
        scheme, _, pair = header.partition(" ")
        name, _, secret = base64.b64decode(pair, validate=True).decode().partition(":")
    except ValueError as error:
        raise Refused("invalid_client", 401) from error
    shown, wanted = (unquote_plus(name), unquote_plus(secret)), (CLIENT, os.environ["BROKER_CLIENT_SECRET"])
    if scheme.lower() != "basic" or not all(hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(shown, wanted)):
        raise Refused("invalid_client", 401)


def exchanged(form):
    """A database token for a session's: in the session's name, for one scope, and never for longer than the session."""
    if form.get("grant_type") != EXCHANGE:
        raise Refused("unsupported_grant_type")
    if form.get("subject_token_type") != JWT_TYPE:
        raise Refused("invalid_request")
    rights = RIGHTS.get((form.get("audience"), form.get("scope")))
    if rights is None:
        raise Refused("invalid_scope")
    try:
        session = jwt.decode(form.get("subject_token", ""), KEY.key.public_key(), algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.InvalidTokenError as error:
        raise Refused("invalid_request") from error
    lives = min(DATABASE_TOKEN_LIVES, session["exp"] - int(time.time()))
    if lives < 1:
        raise Refused("invalid_request")
    restrictions = TokenRestrictions().allow_resource(*rights)
    token = asyncio.run(DATABASE.create_token(session["sub"], expires_after=lives, restrictions=restrictions))
    print(f"{form['scope']} for {session['sub']} in {session['sid']}, for {lives} seconds", flush=True)
    return {"access_token": token, "issued_token_type": ACCESS_TOKEN_TYPE, "token_type": "Bearer", "expires_in": lives, "scope": form["scope"]}


class Broker(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(*((200, published()) if self.path == "/jwks.json" else (404, {})))

    def do_POST(self):
        try:
            if self.path != "/token":
                raise Refused("invalid_request", 404)
            only_the_proxy(self.headers.get("authorization", ""))
            form = parse_qs(self.rfile.read(int(self.headers.get("content-length", 0))).decode(), strict_parsing=True)
            if any(len(values) != 1 for values in form.values()):
                raise Refused("invalid_request")
            self.answer(200, exchanged({name: value for name, [value] in form.items()}))
        except Refused as refused:
            self.answer(refused.status, {"error": refused.error})
        except ValueError:
            self.answer(400, {"error": "invalid_request"})

    def answer(self, status, body):
        self.send_response(status)
        if status == 401:
            self.send_header("www-authenticate", "Basic")
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    match sys.argv[2:]:
        case ["open", subject, session]:
            print(opened(subject, session))
        case ["serve", port]:
            # Not to serve anything: as the library that makes the database's tokens.
            DATABASE = Datasette(secret=os.environ["DATASETTE_SECRET"])
            asyncio.run(DATABASE.invoke_startup())
            server = ThreadingHTTPServer(("127.0.0.1", int(port)), Broker)
            print(f"ready {server.server_address[1]}", flush=True)
            server.serve_forever()
        case _:
            sys.exit(__doc__)
