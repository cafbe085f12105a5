// The payment form comes, or comes back: every way in which Toss's script and its
// widgets were seen to fail.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { build } from './house.mjs';
import { alert, approve, buy, enter, launch, pause, phaseOf, quick, reach, says, status, twoFrames } from './visit.mjs';

let house, browser, product, visit;
before(async () => {
  [house, browser] = await Promise.all([build(), launch()]);
  product = await house.product();
});
after(async () => {
  await browser?.close();
  await house?.stop();
});
afterEach(async () => {
  await visit?.context.close();
  await house.control('POST', 'release');
  await house.control('POST', 'reset');
});

/** A visit whose faults are ordered before the page opens. */
async function visitWith(faults, options) {
  await house.faults(faults);
  visit = await enter(browser, options);
  await buy(visit, house, product);
  return visit.page;
}

const scripts = () => house.ops('script');
/** Waits until the page has put that many widgets away. */
const destroyed = (n) => house.asked('destroy', n);

const distinct = (list) => new Set(list).size === list.length;

test('from the form to the receipt, with one confirm', async () => {
  const page = await visitWith({ renderAgreement: [{ action: 'ok', ms: 800 }] });
  assert.equal(await page.locator('.hk-pay').isDisabled(), true, 'the button waits for both widgets');
  await reach(page, 'ready');
  await twoFrames(page);
  assert.equal(await page.locator('.hk-pay').isEnabled(), true);
  await page.click('.hk-pay');
  await approve(page);
  await page.waitForSelector('[data-hk-result="paid"]');
  assert.doesNotMatch(page.url(), /paymentKey|orderId/);
  const payments = await house.control('GET', 'payments');
  assert.deepEqual(payments.map((p) => p.status), ['DONE']);
  assert.equal(payments[0].orderId, visit.orders[0]);
  assert.equal((await house.calls('confirm')).length, 1);
  assert.deepEqual(visit.errors, []);
});

test('a script that is missing once is asked for again, with a new order', async () => {
  const page = await visitWith({ script: [{ action: 'status', status: 404 }] });
  await says(page, '(1/3)');
  assert.equal(await page.locator('.hk-pay').isDisabled(), true);
  await reach(page, 'ready');
  assert.equal((await scripts()).length, 2);
  assert.equal(visit.orders.length, 2);
  assert.ok(distinct(visit.orders));
  assert.deepEqual(visit.posts[0].body, { supersedes: visit.orders[0], reason: 'load', gen: 2 });
});

test('three retries a second apart, each with a new order; the buyer decides on the fourth', async () => {
  const page = await visitWith({ script: Array(4).fill({ action: 'status', status: 500 }) });
  for (const n of [1, 2, 3]) await says(page, `(${n}/3)`);
  await reach(page, 'failed');
  assert.match(await alert(page), /아직 결제되지 않았어요/);
  const seen = await scripts();
  assert.equal(seen.length, 4);
  for (let i = 1; i < 4; i++) {
    const gap = Date.parse(seen[i].at) - Date.parse(seen[i - 1].at);
    assert.ok(gap >= 1000 && gap < 4000, `retry ${i} after ${gap} ms`);
  }
  assert.equal(visit.orders.length, 4);
  assert.ok(distinct(visit.orders), visit.orders.join());
  await pause(2500);
  assert.equal((await scripts()).length, 4, 'a fourth retry by itself');
  await page.click('.hk-retry');
  await reach(page, 'ready');
  assert.equal(await alert(page), '');
  assert.equal(visit.orders.length, 5);
  assert.deepEqual(visit.telemetry.map((t) => t.code), Array(4).fill('ScriptLoadFailedError'));
});

for (const fault of [
  { action: 'reset' },
  { action: 'html' },
  { action: 'noNamespace' },
  { action: 'syntaxError' },
  { action: 'v1' },
]) {
  test('recovers when the script is: ' + fault.action, async () => {
    const page = await visitWith({ script: [fault] });
    await says(page, '(1/3)');
    await reach(page, 'ready');
    await twoFrames(page);
    assert.equal((await scripts()).length, 2);
  });
}

for (const fault of [{ action: 'hang' }, { action: 'hang', cache: true }, { action: 'hangNoHeaders' }]) {
  test('a hung script is escaped by another URL: ' + JSON.stringify(fault), async () => {
    const page = await visitWith({ script: [fault] });
    await page.waitForFunction(() => /느려요/.test(document.querySelector('[role=status]').textContent));
    await says(page, '(1/3)');
    await reach(page, 'ready');
    const [first, second] = await scripts();
    assert.equal(first.query || '', '');
    assert.match(second.query, /^hk=2-/);
    await house.control('POST', 'release'); // what hung comes late and does no harm
    await pause(500);
    assert.equal(await phaseOf(page), 'ready');
    await twoFrames(page);
    await page.click('.hk-pay');
    await approve(page);
  });
}

test('a hang that goes on leaves a button, and the button works', async () => {
  const page = await visitWith({ script: [{ action: 'hang' }, { action: 'hang' }] });
  await page.locator('.hk-again').click();
  await reach(page, 'ready');
  assert.equal(visit.posts[0].body.reason, 'manual');
});

test('a second manual retry in a row loads the page again', async () => {
  const page = await visitWith({ script: Array(2).fill({ action: 'hang' }) });
  await page.locator('.hk-again').click();
  await page.waitForFunction(() => document.querySelector('.hk-again').hidden);
  const reloaded = page.waitForEvent('framenavigated');
  await page.locator('.hk-again').click();
  await reloaded;
  await reach(page, 'ready');
  assert.equal((await scripts()).length, 3);
});

test('a rejected render, then a hung one', async () => {
  const page = await visitWith({ renderPaymentMethods: [{ action: 'reject', code: 'UNKNOWN' }, { action: 'hang' }] });
  await says(page, '(2/3)');
  await reach(page, 'ready');
  await twoFrames(page);
  assert.equal((await scripts()).length, 2, 'the first rejection keeps the script, the hang loads it again');
});

test('an agreement that fails alone leaks no payment methods', async () => {
  const page = await visitWith({ renderAgreement: [{ action: 'reject', code: 'UNKNOWN' }, { action: 'throwPlain' }] }, { cfg: { ...quick, destroy: 3000 } });
  await says(page, '(2/3)');
  await reach(page, 'ready');
  await twoFrames(page);
  await destroyed(2);
  assert.deepEqual(visit.telemetry.map((t) => t.code), ['UNKNOWN', 'Error'], 'nothing was still rendered');
});

test('a widget that comes too late puts itself away', async () => {
  const page = await visitWith({ renderPaymentMethods: [{ action: 'ok', ms: 8000 }] }, { cfg: { ...quick, destroy: 8000 } });
  await says(page, '(1/3)');
  await reach(page, 'ready');
  await destroyed(2);
  assert.equal(await phaseOf(page), 'ready');
  await twoFrames(page);
});

test('a widget that says it is still there gets its script anew', async () => {
  const page = await visitWith({ renderPaymentMethods: [{ action: 'stickyRendered', code: 'UNKNOWN' }] });
  await says(page, '(2/3)');
  await reach(page, 'ready');
  await twoFrames(page);
});

test('a rejected amount, a widget that cannot be destroyed, a frame that is missing', async () => {
  const page = await visitWith({
    setAmount: [{ action: 'reject', code: 'UNKNOWN' }],
    renderAgreement: [{ action: 'frame404' }],
    destroy: [{ action: 'hang' }],
  });
  await says(page, '(2/3)');
  await reach(page, 'ready');
  await twoFrames(page);
});

test('a configuration error is final at once, and says where to ask', async () => {
  const page = await visitWith({ script: [{ action: 'throwOnInit', code: 'INVALID_CLIENT_KEY' }] });
  await reach(page, 'fatal');
  assert.match(await alert(page), /문의 번호 [A-Z0-9]{6}/);
  assert.equal(await page.locator('.hk-pay').isVisible(), false);
  await pause(1500);
  assert.equal((await scripts()).length, 1);
  assert.deepEqual(visit.telemetry.map((t) => t.code), ['INVALID_CLIENT_KEY']);
});

test('a script that the page forbids is a configuration error', async () => {
  const page = await visitWith({}, { policy: "default-src 'self'" });
  await reach(page, 'fatal');
  assert.deepEqual(visit.telemetry.map((t) => t.code), ['CSP_BLOCKED']);
  assert.equal((await scripts()).length, 0);
});

test('an element that takes the name of the SDK is a configuration error', async () => {
  const page = await visitWith({}, { before: '<form id="TossPayments"></form>' });
  await reach(page, 'fatal');
  assert.deepEqual(visit.telemetry.map((t) => t.code), ['NAMESPACE_CLOBBERED']);
});

test('a server that cannot issue orders is a failure like any other', async () => {
  visit = await enter(browser);
  await house.faults({ script: [{ action: 'status', status: 500 }] });
  let refused = 0;
  await visit.context.route(/\/orders$/, (route) => (refused++ < 2 ? route.fulfill({ status: 503, body: '{"code":"UNAVAILABLE"}' }) : route.fallback()));
  await buy(visit, house, product);
  await says(visit.page, '(3/3)');
  await reach(visit.page, 'ready');
  assert.equal(visit.count('orders'), 3);
  assert.equal((await scripts()).length, 2, 'our own failure says nothing about the script');
  assert.match(await status(visit.page), /결제수단/);
});
