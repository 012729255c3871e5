"""How the servers here are served: on loopback, at a port that is printed, until standard input ends or SIGTERM comes."""

import argparse
import logging
import socket
import sys
import threading

import uvicorn


def options(description):
    """The flags that the servers here share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0: the kernel chooses")
    parser.add_argument("--json", action="store_true", help="answers are JSON; otherwise they are event streams")
    parser.add_argument("--stateless", action="store_true", help="no MCP session in the eras that have one")
    return parser


def serve(app, port):
    """Prints `ready PORT` as soon as connections are taken; gives when it has ended."""
    listener = socket.create_server(("127.0.0.1", port))
    # A stream that is open must not keep the server from ending.
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))

    def end_with_stdin():
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end_with_stdin, daemon=True).start()
    logging.getLogger("mcp").setLevel(logging.WARNING)
    # Connections wait in the listener's queue from here on.
    print(f"ready {listener.getsockname()[1]}", flush=True)
    server.run(sockets=[listener])
