"""An agent with a session token and nothing else: it does its work, and then tries the ways round. Each step is a line of what came of it.

Usage: SESSION_TOKEN=… agent.py PROXY BROKER DATABASE      three URLs; the last two are none of its business
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

TOKEN = os.environ["SESSION_TOKEN"]
BEYOND = [
    "/shop/customers.json",
    "/shop.json?sql=select+*+from+customers",
    "/shop/-/query.json?sql=select+1",
    "/shop/orders.csv?_stream=on",
    "/shop/orders.json?_where=1",
]
# As the database makes them. Where an agent has found one does not matter: it gets nowhere with it.
FOUND = "dstok_eyJhIjoicm9vdCIsInQiOjE3OTU0MjgwMDB9.Zm91bmQgc29tZXdoZXJl"


def told(error):
    """Why not: the proxy's reason, or what the database or the broker says."""
    try:
        body = json.load(error)
    except ValueError:
        body = {}
    if "reason" in body:
        return f"denied: {body['reason']}"
    return f"{error.code}: {body.get('error', 'no reason')}"


def ask(what, url, method="GET", bearer=TOKEN, form=None):
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, body, {"authorization": f"Bearer {bearer}"}, method=method)
    try:
        rows = json.load(urllib.request.urlopen(request))["rows"]
        said = "; ".join(f"{row['what']}, {row['total']}" for row in rows)
    except urllib.error.HTTPError as error:
        said = told(error)
    print(f"{what}: {said}", flush=True)


def main(proxy, broker, database):
    orders = "/shop/orders.json"
    for path in [orders, "/shop/orders/2.json"]:
        ask(path, proxy + path)
    # Beyond one table, through the proxy. The query is the database's to judge: its token is not for SQL.
    for path in BEYOND:
        ask(path, proxy + path)
    ask("POST /shop/orders/-/insert", proxy + "/shop/orders/-/insert", method="POST")
    # Round the session.
    ask("with a database token", proxy + orders, bearer=FOUND)
    ask("at the database itself", database + orders)
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": TOKEN,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": "shop-database",
        "scope": "orders.read",
    }
    ask("at the broker", broker + "/token", method="POST", form=exchange)
    print("end the session, and press Enter", flush=True)
    sys.stdin.readline()
    ask(orders, proxy + orders)


if __name__ == "__main__":
    main(*sys.argv[1:])
