"""A token endpoint of Authlib, a kept library of OAuth: it authenticates the client (client_secret_basic, private_key_jwt) and takes
assertions (RFC 7523). What it has no grant for, an exchange of tokens (RFC 8693), is one of the kind that it lets others add.

    token_endpoint.py KEYS PORT     KEYS: a file with the JWKs of the broker and of the client, {"broker": {...}, "client": {...}}

It writes `ready PORT`, and then a line of JSON for each token that it gives."""

import json
import os
import secrets
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # behind loopback; in a network the cluster brings TLS

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import BaseGrant, InvalidGrantError, InvalidRequestError, TokenEndpointMixin
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

AUDIENCE = "https://sts.example/token"
SECRET_OR_KEY = ["client_secret_basic", JWTBearerClientAssertion.CLIENT_AUTH_METHOD]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

with open(sys.argv[1]) as file:
    KEYS = {name: ECKey.import_key(key) for name, key in json.load(file).items()}
SEEN = set()


class Client:
    """With the secret of the environment, or with its key."""

    def __init__(self, client_id):
        self.client_id = client_id

    def check_client_secret(self, secret):
        return secrets.compare_digest(secret, os.environ["CLIENT_SECRET"])

    def check_endpoint_auth_method(self, method, endpoint):
        by_key = self.client_id == "with-key"
        return endpoint == "token" and method == SECRET_OR_KEY[by_key]

    def check_grant_type(self, grant_type):
        return grant_type in (EXCHANGE, JWTBearerGrant.GRANT_TYPE)

    def get_allowed_scope(self, scope):
        return " ".join(word for word in scope.split() if word.startswith("orders."))


class Assertions(JWTBearerClientAssertion):
    def get_audiences(self):
        return [AUDIENCE]

    def validate_jti(self, claims, jti):
        fresh = jti not in SEEN
        SEEN.add(jti)
        return fresh

    def resolve_client_public_key(self, client):
        return KEYS["client"]


class Bearer(JWTBearerGrant):
    """The session's token as an assertion of the broker's, by a client that shows who it is."""

    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_OR_KEY

    def get_audiences(self):
        return [AUDIENCE]

    def validate_token_request(self):
        client = self.authenticate_token_endpoint_client()
        super().validate_token_request()
        self.request.client = client

    def resolve_issuer_client(self, issuer):
        if issuer != "https://broker.example":
            raise InvalidGrantError()
        return Client("of-the-broker")

    def resolve_client_public_key(self, client):
        return KEYS["broker"]

    def authenticate_user(self, subject):
        return subject

    def has_granted_permission(self, client, user):
        return user.startswith("agent-")


class Exchange(BaseGrant, TokenEndpointMixin):
    GRANT_TYPE = EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = SECRET_OR_KEY

    def validate_token_request(self):
        self.request.client = self.authenticate_token_endpoint_client()
        form = self.request.form
        if form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" or not form.get("audience"):
            raise InvalidRequestError()
        try:
            subject = jwt.decode(form["subject_token"], KEYS["broker"], algorithms=["ES256"]).claims
            jwt.JWTClaimsRegistry(iss={"essential": True, "value": "https://broker.example"}, exp={"essential": True}).validate(subject)
        except Exception as error:
            raise InvalidGrantError() from error
        self.request.user = subject["sub"]

    def create_token_response(self):
        token = self.generate_token(user=self.request.user, scope=self.request.form.get("scope"), include_refresh_token=False)
        self.save_token(token)
        return 200, token | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}, self.TOKEN_RESPONSE_HEADER


def save(token, request):
    told = {"client": request.client.client_id, "grant": request.form["grant_type"], "subject": request.user, "token": token["access_token"]}
    print(json.dumps(told | {"scope": token.get("scope"), "audience": request.form.get("audience")}), flush=True)


app = Flask("token-endpoint")
server = AuthorizationServer(app, query_client=lambda name: Client(name) if name in ("with-secret", "with-key") else None, save_token=save)
server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, Assertions())
server.register_token_generator(
    "default", BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32), expires_generator=lambda *_: 300)
)
server.register_grant(Bearer)
server.register_grant(Exchange)


@app.post("/token")
def token():
    return server.create_token_response()


listening = make_server("127.0.0.1", int(sys.argv[2]), app, threaded=True)
print(f"ready {listening.server_port}", flush=True)
listening.serve_forever()
