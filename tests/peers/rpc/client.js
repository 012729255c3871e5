// Has clients make calls, all clients at once and each its own one after the other; then prints what came of them as JSON.
//
// Usage: client.js URL PLAN     PLAN: {CLIENT: [[STEP, METHOD, TOKEN]...]}, with a client as `clients.js` names it
//
// What came of a call is {"ok": what the messages say}, or by the library's own error {"code", "message", "audit"}: whether it has the
// field with the record's id. Each stream prints a line `open` when its first message is there.
"use strict";

const client = require("./clients.js");
const { Users } = require("./service.js");

async function take(peer, method, token) {
  const values = [];
  const seen = (value) => {
    if (values.push(value) === 1) console.log("open");
  };
  try {
    if (Users.method[method].methodKind === "unary") return { ok: await peer.unary(method, token) };
    await peer.stream(method, token, seen);
    return { ok: values };
  } catch (error) {
    return peer.error(error);
  }
}

async function hold(name, url, calls) {
  const peer = client(name, url);
  const report = {};
  for (const [step, method, token] of calls) report[step] = await take(peer, method, token);
  return [name, report];
}

const [url, plan] = process.argv.slice(2);
const conversations = Object.entries(JSON.parse(plan)).map(([name, calls]) => hold(name, url, calls));
Promise.all(conversations).then((reports) => {
  // Connections that are kept open would keep the process.
  process.stdout.write(`${JSON.stringify(Object.fromEntries(reports))}\n`, () => process.exit());
});
