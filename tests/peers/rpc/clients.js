// The clients, each by its name: how it makes a call, and what its own error says.
"use strict";

const { createClient, ConnectError } = require("@connectrpc/connect");
const { codeToString } = require("@connectrpc/connect/protocol-connect");
const node = require("@connectrpc/connect-node");
const web = require("@connectrpc/connect-web");
const grpc = require("@grpc/grpc-js");
require("./page.js");
const grpcWeb = require("grpc-web");
const { Users, message, encode, decode } = require("./service.js");

// No call waits for longer; it is told to the server, too, as real calls do.
const PATIENCE = 60_000;

const bearer = (token) => (token ? { authorization: `Bearer ${token}` } : {});

const isTwoWay = (method) => Users.method[method].methodKind === "bidi_streaming";
const WORDS = ["one", "two"];

async function* words() {
  for (const word of WORDS) yield message(word);
}

// Those of connectrpc.com, with any of its transports.
function ofConnect(transport) {
  const client = createClient(Users, transport);
  return {
    async unary(method, token) {
      return (await client[method](message("7"), { headers: bearer(token), timeoutMs: PATIENCE })).value;
    },
    async stream(method, token, seen) {
      const input = isTwoWay(method) ? words() : message("7");
      for await (const { value } of client[method](input, { headers: bearer(token), timeoutMs: PATIENCE })) seen(value);
    },
    error(thrown) {
      const error = thrown instanceof ConnectError ? thrown : null;
      if (!error) return { thrown: String(thrown) };
      return { code: codeToString(error.code), message: error.rawMessage, audit: error.metadata.has("x-chaperone-audit-id") };
    },
  };
}

const path = (method) => `/users.v1.Users/${Users.method[method].name}`;

// Google's for the browser.
function ofGoogle(url, format) {
  const client = new grpcWeb.GrpcWebClientBase({ format });
  const described = (method, kind) => new grpcWeb.MethodDescriptor(path(method), kind, Object, Object, encode, decode);
  const head = (token) => ({ ...bearer(token), deadline: String(Date.now() + PATIENCE) });
  return {
    unary(method, token) {
      return client.unaryCall(url + path(method), "7", head(token), described(method, "unary"));
    },
    stream(method, token, seen) {
      const call = client.serverStreaming(url + path(method), "7", head(token), described(method, "server_streaming"));
      return new Promise((resolve, reject) => call.on("data", seen).on("error", reject).on("end", resolve));
    },
    error(thrown) {
      if (!(thrown instanceof grpcWeb.RpcError)) return { thrown: String(thrown) };
      return { code: codeToString(thrown.code), message: thrown.message, audit: "x-chaperone-audit-id" in thrown.metadata };
    },
  };
}

// gRPC's own for Node.
function ofGrpc(url) {
  const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure());
  const head = (token) => {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(bearer(token))) metadata.set(name, value);
    return [metadata, { deadline: Date.now() + PATIENCE }];
  };
  const coded = [(value) => Buffer.from(encode(value)), decode];
  return {
    unary(method, token) {
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(path(method), ...coded, "7", ...head(token), (error, value) => (error ? reject(error) : resolve(value)));
      });
    },
    stream(method, token, seen) {
      const call = isTwoWay(method)
        ? client.makeBidiStreamRequest(path(method), ...coded, ...head(token))
        : client.makeServerStreamRequest(path(method), ...coded, "7", ...head(token));
      if (isTwoWay(method)) {
        for (const word of WORDS) call.write(word);
        call.end();
      }
      return new Promise((resolve, reject) => call.on("data", seen).on("error", reject).on("end", resolve));
    },
    error(thrown) {
      if (!(thrown instanceof Error) || thrown.code === undefined) return { thrown: String(thrown) };
      const audit = thrown.metadata.get("x-chaperone-audit-id").length > 0;
      return { code: codeToString(thrown.code), message: thrown.details, audit };
    },
  };
}

const gzip = { sendCompression: node.compressionGzip, compressMinBytes: 0 };

// A transport of connect-node and of connect-web, by what its name says: `connect-node 2 json get`, `grpc-web-fetch`.
module.exports = function client(name, url) {
  const [library, ...words] = name.split(" ");
  const has = (word) => words.includes(word);
  const options = {
    baseUrl: url,
    httpVersion: has("2") ? "2" : "1.1",
    useBinaryFormat: !has("json"),
    useHttpGet: has("get"),
    ...(has("gzip") ? gzip : {}),
  };
  switch (library) {
    case "connect-node":
      return ofConnect(node.createConnectTransport(options));
    case "connect-web":
      return ofConnect(web.createConnectTransport(options));
    case "grpc-web-node":
      return ofConnect(node.createGrpcWebTransport(options));
    case "grpc-web-fetch":
      return ofConnect(web.createGrpcWebTransport(options));
    case "grpc-node":
      return ofConnect(node.createGrpcTransport(options));
    case "google":
      return ofGoogle(url, has("text") ? "text" : "binary");
    case "grpc-js":
      return ofGrpc(url);
    default:
      throw new Error(`no client ${name}`);
  }
};
