// A buyer's visit: a browser context, the checkout page in it, and what passed
// between them.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

/** Times that make a test short, and still long enough for a busy machine; the pause between retries stays the real one. */
export const quick = { jitter: 0, watchdogLoading: 5000, watchdogRendering: 5000, slow: 400, reload: 1000, window: 1000, destroy: 300 };

export const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

export const launch = (options = {}) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...options,
  });

/** Runs in the page when it is parsed, before its deferred script: nothing of the page is routed, its own headers stay. */
function change({ cfg, boot, before, policy }) {
  if (window.top !== window) return;
  document.addEventListener('readystatechange', () => {
    const data = document.getElementById('hk-boot');
    if (document.readyState !== 'interactive' || !data) return;
    const given = JSON.parse(data.textContent);
    data.textContent = JSON.stringify({ ...given, ...boot, cfg: { ...given.cfg, ...cfg } });
    document.body.insertAdjacentHTML('afterbegin', before);
    if (!policy) return;
    const meta = document.createElement('meta');
    meta.httpEquiv = 'Content-Security-Policy';
    meta.content = policy;
    document.head.append(meta);
  });
}

/** A context that gives the checkout page our times, and notes the calls to our server. */
export async function enter(browser, { cfg = quick, lang = 'ko', boot = {}, before = '', policy = '', ...options } = {}) {
  const context = await browser.newContext({ locale: lang === 'ko' ? 'ko-KR' : 'en-US', ...options });
  await context.addInitScript(change, { cfg, boot, before, policy });
  const visit = { context, posts: [], orders: [], errors: [], telemetry: [] };
  context.on('request', (request) => {
    const { pathname } = new URL(request.url());
    const what = request.method() === 'POST' && /^\/checkout\/[^/]+\/(.*)/.exec(pathname);
    if (!what) return;
    const kind = what[1].replace(/^orders\/.*\//, '');
    if (kind === 'telemetry') visit.telemetry.push(request.postDataJSON());
    else visit.posts.push({ kind, at: Date.now(), body: request.postDataJSON() });
  });
  context.on('response', async (response) => {
    if (response.request().isNavigationRequest()) {
      const [, json] = /id="hk-boot">([\s\S]*?)<\/script>/.exec(await response.text().catch(() => '')) || [];
      const order = json && JSON.parse(json).order;
      if (order) visit.orders.unshift(order.orderId);
    }
    if (response.request().method() !== 'POST' || !/\/checkout\/[^/]+\/orders$/.test(response.url()) || response.status() !== 201) return;
    const said = await response.json().catch(() => null);
    if (said) visit.orders.push(said.orderId);
  });
  context.on('weberror', (error) => visit.errors.push(String(error.error())));
  context.setDefaultTimeout(60000);
  visit.page = await context.newPage();
  visit.count = (kind) => visit.posts.filter((post) => post.kind === kind).length;
  return visit;
}

/** Opens a product's checkout; a hung script would block the event "load". */
export async function buy(visit, house, product, page = visit.page) {
  await page.goto(house.url + '/checkout/p/' + product, { waitUntil: 'domcontentloaded' });
  return page.url();
}

export const phaseOf = (page) => page.locator('hookkeeper-checkout').getAttribute('data-phase');

export async function reach(page, phase, timeout = 60000) {
  await page.waitForSelector(`hookkeeper-checkout[data-phase="${phase}"]`, { timeout, state: 'attached' }).catch(async (error) => {
    throw new Error(`waited for ${phase}, was in ${await phaseOf(page).catch(() => page.url())}: ${error.message}`);
  });
}

/** Waits until the pay button says so. */
export const says = (page, text, timeout = 60000) =>
  page.waitForFunction((want) => document.querySelector('.hk-pay').textContent.includes(want), text, { timeout });

export const status = (page) => page.locator('hookkeeper-checkout [role=status]').textContent();
export const alert = (page) => page.locator('hookkeeper-checkout [role=alert]').textContent();

/** Both widgets are there, once. */
export async function twoFrames(page) {
  assert.equal(await page.locator('.hk-form iframe').count(), 2, 'frames in the form');
}

/** Approves in the payment window and waits for the receipt. */
export async function approve(page) {
  await page.waitForURL(/\/pay\//).catch(async (error) => {
    throw new Error(`no payment window; the page says: ${await page.locator('body').innerText()}: ${error.message}`);
  });
  await page.click('#authorize');
  await page.waitForURL(/\/receipt/);
}

export const pause = (ms) => new Promise((over) => setTimeout(over, ms));
