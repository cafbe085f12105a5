// The route against the real forward: node --test test/route.test.mjs, with
// HOOKKEEPER naming the program (default ../../bin/hookkeeper). A build with the
// tag hktest records the event with a clock that is six hours behind, so that it
// is forwarded six hours after it was signed.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import Stripe from "stripe";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const hookkeeper = resolve(process.env.HOOKKEEPER ?? join(here, "../../../bin/hookkeeper"));
const behind = { ...process.env, HK_CLOCK_OFFSET: "-6h" };
const call = (args, env = process.env) => promisify(execFile)(hookkeeper, args, { env });

async function loadRoute() {
  const source = readFileSync(join(here, "../app/api/webhooks/stripe/route.ts"), "utf8");
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const compiled = join(here, "route.compiled.mjs"); // beside node_modules, so that stripe is found
  writeFileSync(compiled, ts.transpileModule(source, { compilerOptions: options }).outputText);
  try {
    return await import(compiled);
  } finally {
    rmSync(compiled);
  }
}

// serve answers with the route's POST, as Next.js calls it.
async function serve(route, seen) {
  const server = createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const request = new Request("http://localhost" + req.url, { method: "POST", headers: req.headers, body: Buffer.concat(chunks) });
    const response = await route.POST(request);
    seen.push({ status: response.status, headers: req.headers, body: Buffer.concat(chunks) });
    res.writeHead(response.status).end(await response.text());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

// deliver signs an event with Stripe's own SDK, that many seconds ago.
async function deliver(receiver, type, age) {
  const event = { id: `evt_${type}`, object: "event", api_version: Stripe.API_VERSION, livemode: false, type, data: { object: { id: "in_1", note: "ä\u2028 <&>" } } };
  const payload = JSON.stringify(event, null, 2) + "\n";
  const timestamp = Math.floor(Date.now() / 1000) - age;
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret: process.env.STRIPE_WEBHOOK_SECRET, timestamp });
  const headers = { "stripe-signature": header, "content-type": "application/json; charset=utf-8" };
  return (await fetch(receiver + "/hooks/stripe", { method: "POST", headers, body: payload })).status;
}

test("Stripe's own SDK accepts what forward sends, hours after the event", async (t) => {
  const dir = mkdtempSync(join(here, "dev-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const dev = spawn(hookkeeper, ["dev", "--quiet", "--dir", dir, "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"], { env: behind });
  t.after(async () => {
    if (dev.exitCode === null && dev.kill("SIGINT")) await once(dev, "exit");
  });
  let said = "";
  for await (const chunk of dev.stdout) {
    said += chunk;
    if (said.includes("Look, and see")) break;
  }
  process.env.STRIPE_WEBHOOK_SECRET = /^ *STRIPE_WEBHOOK_SECRET=(\S+)$/m.exec(said)[1];

  const route = await loadRoute();
  const seen = [];
  const server = await serve(route, seen);
  t.after(() => server.close());
  const to = `http://localhost:${server.address().port}/api/webhooks/stripe`;

  const types = ["invoice.paid", "checkout.session.completed", "customer.subscription.updated"];
  const receiver = /receives +(\S+)\/hooks/.exec(said)[1];
  // Only a build with the tag hktest has a clock that takes a time of six hours ago.
  const old = (await deliver(receiver, "probe", 6 * 3600)) === 200 ? 6 * 3600 : 0;
  for (const type of types) assert.equal(await deliver(receiver, type, old), 200);
  const forward = (...more) => call(["forward", "--dir", dir, "--to", to, "--since", "24h", "--type", types.join(","), "--once", "--json", ...more]);
  const { stdout } = await forward();
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((l) => [l.type, l.outcome, l.status]), types.map((type) => [type, "forwarded", 200]));
  assert.deepEqual(seen.map((s) => JSON.parse(s.body).type), types);
  for (const s of seen) assert.match(s.headers["idempotency-key"], /^hk_[0-9a-f]{64}$/);
  assert.equal((await forward()).stdout, "", "nothing comes twice");

  // The same events as they came are refused once they are older than Stripe's tolerance.
  seen.length = 0;
  await forward("--name", "original", "--sign", "original", "--attempts", "1");
  assert.equal(seen.length, types.length);
  for (const s of seen) {
    const signedAt = Number(/t=(\d+)/.exec(s.headers["stripe-signature"])[1]);
    assert.equal(s.status, old ? 400 : 200);
    t.diagnostic(`signed ${Math.round(Date.now() / 1000 - signedAt)} s ago, as it came: ${s.status}; signed anew: 200`);
  }

  // A body that somebody parsed and wrote again does not verify.
  const pretty = JSON.stringify(JSON.parse(seen[0].body), null, 3);
  const changed = new Request("http://localhost/", { method: "POST", headers: seen[0].headers, body: pretty });
  assert.equal((await route.POST(changed)).status, 400);
  delete process.env.STRIPE_WEBHOOK_SECRET;
  assert.equal((await route.POST(new Request("http://localhost/", { method: "POST", body: "{}" }))).status, 500);
});
