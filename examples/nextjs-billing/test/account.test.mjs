// The built page against the real hookkeeper and a real PostgreSQL. It needs a
// database of its own in TEST_DATABASE_URL, as a user who may create roles, and
// the program in HOOKKEEPER (default ../../bin/hookkeeper). npm test builds first.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import pg from "pg";

const here = dirname(fileURLToPath(import.meta.url));
const project = join(here, "..");
const hookkeeper = resolve(process.env.HOOKKEEPER ?? join(here, "../../../bin/hookkeeper"));
const database = process.env.TEST_DATABASE_URL;
const secret = "whsec_" + randomBytes(24).toString("hex");
const env = {
  PATH: process.env.PATH,
  STRIPE_WEBHOOK_SECRET: secret,
  HOOKKEEPER_BILLING: "on",
  HOOKKEEPER_DATABASE: database,
  HOOKKEEPER_OPERATOR_TOKEN: randomBytes(24).toString("hex"),
};

// start runs a program until the test ends and returns what a pattern finds in
// its output.
async function start(t, pattern, command, args, options) {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  t.after(async () => {
    if (child.exitCode === null && child.kill("SIGTERM")) await once(child, "exit");
  });
  let said = "";
  return new Promise((done, fail) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        said += chunk;
        const found = pattern.exec(said);
        if (found) done(found);
      });
    }
    child.on("exit", (code) => fail(new Error(`${command} ended with ${code}: ${said}`)));
  });
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

test("the page shows who may come in, from PostgreSQL", { skip: database ? false : "TEST_DATABASE_URL is not set" }, async (t) => {
  const listen = ["--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"];
  const [, address] = await start(t, /msg=serving public=(\S+)/, hookkeeper, ["serve", ...listen], { env });

  // What the README has one do once, for a role of this test.
  const role = "app_" + randomBytes(4).toString("hex");
  const password = randomBytes(12).toString("hex");
  const owner = new pg.Client({ connectionString: database });
  await owner.connect();
  t.after(async () => {
    await owner.query(`DROP OWNED BY ${role}`);
    await owner.query(`DROP ROLE ${role}`);
    await owner.end();
  });
  await owner.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
  await owner.query(`GRANT USAGE ON SCHEMA hookkeeper TO ${role}`);
  await owner.query(`GRANT SELECT ON hookkeeper.access, hookkeeper.notifications TO ${role}`);
  const url = new URL(database);
  url.username = role;
  url.password = password;

  const app = new pg.Client({ connectionString: url.href });
  await app.connect();
  await assert.rejects(app.query("SELECT * FROM hookkeeper.events"), { code: "42501" }, "the role reads what it was not given");
  await app.end();

  const port = await freePort();
  const next = join(project, "node_modules/next/dist/bin/next");
  await start(t, /Ready in/, process.execPath, [next, "start", "-p", String(port), "-H", "127.0.0.1"], {
    cwd: project,
    env: { PATH: process.env.PATH, DATABASE_URL: url.href, NEXT_TELEMETRY_DISABLED: "1" },
  });
  const page = async (user) => {
    const response = await fetch(`http://127.0.0.1:${port}/account?user=${user}`);
    assert.equal(response.status, 200);
    return (await response.text()).replaceAll("<!-- -->", "");
  };
  const shows = async (user, text) => {
    const until = Date.now() + 10_000;
    let html = await page(user);
    while (!html.includes(text)) {
      assert.ok(Date.now() < until, `${user} never sees ${text}: ${html}`);
      html = await page(user);
    }
    return html;
  };
  const send = (type, ...sets) => {
    const args = ["send", "stripe", type, "--to", `http://${address}`, "--secret", secret];
    return promisify(execFile)(hookkeeper, [...args, ...sets.flatMap((s) => ["--set", s])], { env });
  };

  await shows("usr_1001", "이용 중인 구독이 없습니다");
  const end = Math.floor(Date.now() / 1000) + 30 * 24 * 3600;
  await send("customer.subscription.created", `data.object.items.data.0.current_period_end=${end}`);
  const open = await shows("usr_1001", "이용하실 수 있습니다");
  assert.match(open, /pro_monthly: \d{4}-\d{2}-\d{2}까지/);
  await shows("usr_1001", "<li>");
  await shows("usr_nobody", "이용 중인 구독이 없습니다");

  await send("customer.subscription.deleted", `data.object.ended_at=${Math.floor(Date.now() / 1000)}`);
  await shows("usr_1001", "이용 중인 구독이 없습니다");
});
