"""A real database behind HTTP: Datasette over SQLite. Nobody reads anything in it without a token that was made with its secret.

Usage: DATASETTE_SECRET=… database.py PORT      on loopback; port 0 is any free one
"""

import os
import socket
import sqlite3
import sys
import tempfile

import uvicorn
from datasette.app import Datasette

SHOP = """
create table customers (id integer primary key, name text, email text);
create table orders (id integer primary key, customer integer references customers (id), what text, total integer);
insert into customers values (1, 'Ada', 'ada@shop.example'), (2, 'Grace', 'grace@shop.example');
insert into orders values (1, 1, 'a lamp', 40), (2, 2, 'two chairs', 90), (3, 1, 'a table', 150);
"""
# Who has any token may read anything and write SQL, but for what his token is restricted to: as its own people use it.
CONFIG = {"allow": {"id": "*"}}
# No token is good for longer, whatever it says.
SETTINGS = {"max_signed_tokens_ttl": 60}


def main(port):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "shop.db")
        shop = sqlite3.connect(path)
        shop.executescript(SHOP)
        shop.close()
        app = Datasette([path], config=CONFIG, settings=SETTINGS, secret=os.environ["DATASETTE_SECRET"]).app()
        listening = socket.create_server(("127.0.0.1", port))
        print(f"ready {listening.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
