// A server of connect-node: Connect, gRPC and gRPC-Web on one port, over HTTP/1.1 and HTTP/2; with `--grpc` gRPC alone.
//
// Listens on loopback at a port of the kernel's choice, prints `ready PORT`, and ends with its standard input.
"use strict";

const http = require("node:http");
const http2 = require("node:http2");
const net = require("node:net");
const { setTimeout: pause } = require("node:timers/promises");
const { connectNodeAdapter } = require("@connectrpc/connect-node");
const { Users, forms, message } = require("./service.js");

const routes = (router) =>
  router.service(Users, {
    get: ({ value }) => message(`user ${value}`),
    ...Object.fromEntries(forms.map((name) => [name[0].toLowerCase() + name.slice(1), ({ value }) => message(`${name} ${value}`)])),
    async wait(_, { signal }) {
      console.error("waiting");
      await pause(60_000, null, { signal });
    },
    delete: ({ value }) => message(`deleted ${value}`),
    async *list({ value }) {
      for (const number of [1, 2, 3]) yield message(`${value} ${number}`);
    },
    async *watch(_, { signal }) {
      for (let number = 1; ; number += 1) {
        yield message(`change ${number}`);
        await pause(50, null, { signal });
      }
    },
    async *spy() {
      yield message("spied");
    },
    async *talk(said) {
      for await (const { value } of said) yield message(`heard ${value}`);
    },
    async *shout(said) {
      for await (const { value } of said) yield message(value.toUpperCase());
    },
  });

const grpcOnly = process.argv.includes("--grpc");
const handler = connectNodeAdapter({ routes, connect: !grpcOnly, grpcWeb: !grpcOnly });
const servers = { one: http.createServer(handler), two: http2.createServer(handler) };

// Without TLS nothing is negotiated: the first bytes tell the version ("PRI * HTTP/2.0", RFC 9113 §3.4).
const port = net.createServer((socket) => {
  socket.once("data", (bytes) => {
    socket.pause();
    socket.unshift(bytes);
    servers[bytes.toString("latin1").startsWith("PRI ") ? "two" : "one"].emit("connection", socket);
    process.nextTick(() => socket.resume());
  });
  socket.on("error", () => {});
});

process.stdin.resume().on("end", () => process.exit());
port.listen(0, "127.0.0.1", () => console.log(`ready ${port.address().port}`));
