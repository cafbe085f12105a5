// The checkout on other people's sites: the element, and the npm package as it
// would be published, in a React page in StrictMode.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build as bundle } from 'esbuild';
import { build } from './house.mjs';
import { enter, launch, pause, phone, reach, twoFrames } from './visit.mjs';

const run = promisify(execFile);
const web = fileURLToPath(new URL('../..', import.meta.url));

// The shops are on localhost and hookkeeper on 127.0.0.1: another site.
const pages = new Map();
let house, browser, visit, shop, stranger, folder;
const open = (server) =>
  new Promise((listening) => server.listen(0, '127.0.0.1', () => listening('http://localhost:' + server.address().port)));
const told = [];
const serve = () =>
  createServer((request, response) => {
    if (request.method === 'POST') request.on('data', (data) => told.push(String(data)));
    const [type, body] = pages.get(new URL(request.url, 'http://x').pathname) ?? ['text/html', '<!doctype html><title>thanks</title><h1>Thanks</h1>'];
    response.writeHead(200, { 'Content-Type': type + '; charset=utf-8' }).end(body);
  });
const servers = [serve(), serve()];

before(async () => {
  [shop, stranger] = await Promise.all(servers.map(open));
  [house, browser] = await Promise.all([build({ origins: [shop] }), launch()]);
  folder = await mkdtemp(join(tmpdir(), 'hk-package-'));
});
after(async () => {
  await browser?.close();
  await house?.stop();
  servers.forEach((server) => server.close());
  if (folder) await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await visit?.context.close();
  await house.control('POST', 'release');
  await house.control('POST', 'reset');
});

/** What the shop's server asks of hookkeeper's operator listener; returns the checkout's address. */
async function checkout() {
  const product = await house.product();
  const made = await house.operate('POST', '/api/v1/checkouts', { product });
  assert.ok(made.url ?? made.cid, JSON.stringify(made));
  return new URL(made.url ?? '/checkout/' + made.cid, house.url).href;
}

const html = (body, head = '') =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>${head}</head><body><h1>Our shop</h1>${body}</body></html>`;

async function element(origin, { returnUrl = origin + '/thanks', by = browser, extra = '' } = {}) {
  const src = await checkout();
  pages.set('/buy', ['text/html', html(
    `<hookkeeper-checkout src="${src}" return="${returnUrl}"></hookkeeper-checkout>`,
    `<script src="${house.url}/checkout/assets/element.js" defer></script><link rel="stylesheet" href="${house.url}/checkout/assets/checkout.css">${extra}`,
  )]);
  visit = await enter(by, { lang: 'en' });
  await visit.page.goto(origin + '/buy');
  return visit.page;
}

test('the element on an allowed site: paid, and back at the shop', async () => {
  await house.faults({ script: [{ action: 'status', status: 500 }] });
  const page = await element(shop);
  await reach(page, 'ready');
  await twoFrames(page);
  assert.equal(visit.count('orders'), 1);
  assert.equal(await page.locator('.hk-pay').textContent(), 'Pay');
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
  await page.click('#authorize');
  await page.waitForURL(shop + '/thanks**');
  assert.deepEqual((await house.control('GET', 'payments')).map((p) => p.status), ['DONE']);
  assert.deepEqual(visit.errors, []);
});

test('the element on a site that nobody allowed gets nothing', async () => {
  const page = await element(stranger);
  await page.locator('hookkeeper-checkout [role=alert]').filter({ hasText: 'could not load' }).waitFor();
  assert.equal(await page.locator('.hk-retry').isVisible(), true);
  assert.equal(visit.count('orders') + visit.count('prepare'), 0);
});

test('a return address that nobody allowed is refused', async () => {
  const page = await element(shop, { returnUrl: 'https://evil.example/' });
  await page.locator('hookkeeper-checkout [role=alert]').filter({ hasText: 'could not load' }).waitFor();
});

test('neither our page nor the element runs in a frame', async () => {
  const page = await element(shop);
  await reach(page, 'ready');
  const src = await page.locator('hookkeeper-checkout').getAttribute('src');
  pages.set('/frames', ['text/html', html(`<iframe title="a" src="/buy"></iframe><iframe title="b" src="${src}"></iframe>`)]);
  await page.goto(shop + '/frames');
  await page.frameLocator('[title=a]').locator('hookkeeper-checkout[data-phase="fatal"]').waitFor({ state: 'attached' });
  assert.equal(await page.frameLocator('[title=b]').locator('hookkeeper-checkout').count(), 0);
});

// Playwright forbids the cache and cannot see a page that comes out of it, so the
// page itself tells.
test('a real restore by the back button begins anew', async () => {
  const own = await launch({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  try {
    const tell = (what) => `navigator.sendBeacon('/told', ${what})`;
    const extra = `<script>
      addEventListener('pageshow', (e) => e.persisted && ${tell("'restored'")});
      addEventListener('hk-change', (e) => ${tell('e.detail.phase')});
    </script>`;
    const page = await element(shop, { by: own, extra });
    await reach(page, 'ready');
    await page.goto(shop + '/thanks');
    told.length = 0;
    await page.goBack({ waitUntil: 'commit', timeout: 2000 }).catch(() => {});
    for (let i = 0; i < 300 && told.at(-1) !== 'ready'; i++) await pause(100);
    assert.deepEqual(told.filter((what, i) => what !== told[i - 1]), ['restored', 'loading', 'rendering', 'ready']);
    const { orders } = await house.operate('GET', '/api/v1/orders');
    assert.equal(orders.filter((o) => o.reason === 'restored').length, 1);
  } finally {
    await visit.context.close();
    await own.close();
  }
});

/** Packs the package and installs it, as from the registry, beside the tools that are here already. */
async function install() {
  await run('npm', ['run', 'package', '--silent'], { cwd: web });
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(web, 'checkout/package') });
  const [{ filename, files }] = JSON.parse(stdout);
  const into = join(folder, 'node_modules/@hookkeeper/toss-checkout');
  await mkdir(into, { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', into]);
  for (const name of ['react', 'react-dom', 'scheduler', '@tosspayments', '@types', 'csstype']) {
    await symlink(join(web, 'node_modules', name), join(folder, 'node_modules', name)).catch((e) => {
      if (e.code !== 'EEXIST') throw e;
    });
  }
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  return files.map((file) => file.path);
}

const app = `
import { createElement as h, StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { fetchBoot, useTossCheckout, type Boot } from '@hookkeeper/toss-checkout/react';

function Pay({ boot }: { boot: Boot }) {
  const { view, form, pay, retry } = useTossCheckout(boot);
  return h('section', { id: 'pay', 'data-phase': view?.phase },
    h('p', { role: 'status' }, view?.status),
    view?.retry ? h('button', { onClick: retry }, view.retry) : null,
    h('div', { className: 'hk-form', ref: form }),
    view?.label ? h('button', { id: 'go', onClick: pay, 'aria-disabled': !view.canPay }, view.label) : null);
}

function App() {
  const [boot, setBoot] = useState<Boot | null>(null);
  const [shown, show] = useState(true);
  const query = new URLSearchParams(location.search);
  useEffect(() => { fetchBoot(query.get('src')!, location.origin + '/thanks').then(setBoot); }, []);
  return h('main', null, h('button', { id: 'toggle', onClick: () => show(!shown) }, 'toggle'), boot && shown ? h(Pay, { boot }) : null);
}
createRoot(document.getElementById('root')!).render(h(StrictMode, null, h(App)));
`;

test('the npm package in a React 19 page in StrictMode', async () => {
  const files = await install();
  assert.ok(files.includes('README.md') && files.includes('dist/index.js') && files.includes('dist/package/react.d.ts'), files.join());
  await writeFile(join(folder, 'app.ts'), app);
  const check = ['--noEmit', '--strict', '--target', 'es2020', '--module', 'nodenext', '--types', '', '--ignoreConfig', 'app.ts'];
  await run(join(web, 'node_modules/.bin/tsc'), check, { cwd: folder }).catch((e) => assert.fail(e.stdout));
  const { outputFiles } = await bundle({
    entryPoints: [join(folder, 'app.ts')],
    bundle: true,
    write: false,
    define: { 'process.env.NODE_ENV': '"development"' }, // only then StrictMode runs effects twice
  });
  pages.set('/app.js', ['text/javascript', outputFiles[0].text]);
  pages.set('/react', ['text/html', html('<div id="root"></div><script src="/app.js"></script>')]);
  visit = await enter(browser, { lang: 'en', ...phone });
  const { page } = visit;
  await page.goto(shop + '/react?src=' + encodeURIComponent(await checkout()));
  const phase = (want) => page.waitForSelector(`#pay[data-phase="${want}"]`);
  await phase('ready');
  await pause(500);
  await twoFrames(page);
  assert.equal(visit.count('orders'), 0, 'two effects issued no order');
  assert.equal((await house.ops('script')).length, 1);
  await page.click('#toggle'); // the buyer leaves this part of the app and comes back
  await page.click('#toggle');
  await phase('ready');
  await pause(500);
  await twoFrames(page);
  await page.click('#go');
  await page.waitForURL(/\/pay\//);
  await page.click('#authorize');
  await page.waitForURL(shop + '/thanks**');
  assert.deepEqual((await house.control('GET', 'payments')).map((p) => p.status), ['DONE']);
  assert.deepEqual(visit.errors, []);
});
