// A whole house to test in: the built hookkeeper, its Toss sandbox beside it, and
// Chromium. The page is on 127.0.0.1 and Toss on localhost, so they are different
// sites, as in the world.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pause } from './visit.mjs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));

export const clientKey = 'test_gck_browser';
export const secretKey = 'test_gsk_browser5e73c2e7';
const operatorToken = 'browser-tests-operator-token-0123456789';

/** Ports that are free now; they are asked for all at once, so that they differ. */
async function freePorts(n) {
  const doors = await Promise.all(
    Array.from({ length: n }, () => new Promise((open, fail) => {
      const door = createServer().once('error', fail).listen(0, '127.0.0.1', () => open(door));
    })),
  );
  const ports = doors.map((door) => door.address().port);
  await Promise.all(doors.map((door) => new Promise((closed) => door.close(closed))));
  return ports;
}

/** Asks until the answer is yes, for twenty seconds. */
export async function until(what, ask) {
  for (let tries = 0; tries < 200; tries++) {
    if (await ask().catch(() => false)) return;
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error('gave up waiting for ' + what);
}

/** Starts everything. `origins` may show the element; a seat is kept for as long as `hold`. */
export async function build({ origins = [], hold = '10m' } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'hk-browser-'));
  const binary = process.env.HOOKKEEPER_BINARY || join(folder, 'hookkeeper');
  if (!process.env.HOOKKEEPER_BINARY) await run('go', ['build', '-o', binary, './cmd/hookkeeper'], { cwd: root });
  const [publicPort, operatorPort, tossPort] = await freePorts(3);
  const url = 'http://127.0.0.1:' + publicPort;
  const operator = 'http://127.0.0.1:' + operatorPort;
  const sim = 'http://127.0.0.1:' + tossPort;
  const checkout = { public_url: url, shop: '가을 서점', support: 'help@shop.example', origins, hold };
  await writeFile(join(folder, 'hookkeeper.yaml'), JSON.stringify({ checkout }));
  const said = [];
  const start = (args, env = {}) => {
    const child = spawn(binary, args, { cwd: folder, env: { ...process.env, ...env } });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => said.push(String(data)));
    return child;
  };
  const children = [
    start(['sandbox', 'toss', '--listen', '127.0.0.1:' + tossPort, '--webhook', url + '/hooks/toss', '--secret-key', secretKey]),
    start(['serve', '--config', 'hookkeeper.yaml'], {
      HOOKKEEPER_LISTEN: '127.0.0.1:' + publicPort,
      HOOKKEEPER_OPERATOR_LISTEN: '127.0.0.1:' + operatorPort,
      HOOKKEEPER_OPERATOR_TOKEN: operatorToken,
      HOOKKEEPER_DATABASE: 'sqlite:' + join(folder, 'shop.db'),
      TOSS_CLIENT_KEY: clientKey,
      TOSS_SECRET_KEY: secretKey,
      TOSS_API_BASE: sim,
      TOSS_SDK_URL: 'http://localhost:' + tossPort + '/v2/standard',
    }),
  ];
  const house = {
    url,
    operator,
    toss: 'http://localhost:' + tossPort,
    said,
    /** A product with a name that no other test has; returns its id. */
    async product(options = {}) {
      const id = 'p' + Math.random().toString(36).slice(2, 10);
      const args = Object.entries({ name: '가을 독서 모임', price: 15000, ...options }).map(([k, v]) => `--${k}=${v}`);
      await run(binary, ['products', 'add', id, ...args, '--operator', operator, '--token', operatorToken]);
      return id;
    },
    async operate(method, path, body) {
      const answer = await fetch(operator + path, {
        method,
        headers: { Authorization: 'Bearer ' + operatorToken, 'Content-Type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      return answer.json();
    },
    /** The sandbox's control API. */
    async control(method, path, body) {
      const answer = await fetch(sim + '/__sim/' + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
      const said = await answer.json();
      if (!answer.ok) throw new Error(`${method} ${path}: ${said.message}`);
      return said;
    },
    faults: (all) => house.control('PUT', 'faults', all),
    async ops(name) {
      return (await house.control('GET', 'faults')).ops.filter((op) => op.op === name);
    },
    /** Waits until the widgets have been asked for that n times: the page does not wait for it. */
    async asked(name, n) {
      for (let tries = 0; tries < 200 && (await house.ops(name)).length < n; tries++) await pause(100);
      assert.equal((await house.ops(name)).length, n, 'widgets asked to ' + name);
    },
    async calls(name) {
      return (await house.control('GET', 'faults')).calls.filter((call) => JSON.stringify(call).includes(name));
    },
    async stop() {
      await Promise.all(
        children.map((child) => new Promise((gone) => {
          if (child.exitCode !== null) return gone();
          child.once('exit', gone);
          child.kill('SIGTERM');
        })),
      );
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await until('the sandbox', async () => (await fetch(sim + '/__sim/clock')).ok);
    await until('hookkeeper', async () => (await fetch(url + '/readyz')).ok);
  } catch (error) {
    await house.stop();
    throw new Error(error.message + '\n' + said.join(''));
  }
  return house;
}
