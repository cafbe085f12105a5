// From the click to the money: what the buyer, the server and Toss can do to a
// payment, and that none of it is paid twice or for nothing.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { build } from './house.mjs';
import { approve, buy, enter, launch, pause, phaseOf, quick, reach, says, status, twoFrames } from './visit.mjs';

let house, browser, visit;
before(async () => {
  [house, browser] = await Promise.all([build(), launch()]);
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

/** A visit whose form is ready. */
async function ready(options, product) {
  visit = await enter(browser, options);
  await buy(visit, house, product ?? (await house.product()));
  await reach(visit.page, 'ready');
  return visit.page;
}

const confirms = async () => (await house.calls('confirm')).length;
const result = (page, want) => page.waitForSelector(`main[data-hk-result="${want}"]`);

/** Answers one call of the page in the server's place. */
const answerOnce = (path, status, body) =>
  visit.context.route(path, (route) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) }), { times: 1 });

test('three clicks are one payment', async () => {
  const page = await ready();
  await page.evaluate(() => {
    for (let i = 0; i < 3; i++) document.querySelector('.hk-pay').click();
  });
  await page.waitForURL(/\/pay\//);
  assert.equal(visit.count('prepare'), 1);
  assert.equal((await house.ops('requestPayment')).length, 1);
  assert.equal((await house.control('GET', 'payments')).length, 1);
});

test('a cancelled window keeps form and order, and says that nothing was charged once the server has said so', async () => {
  const page = await ready();
  const [first] = visit.orders;
  await house.faults({ requestPayment: [{ action: 'reject', code: 'USER_CANCEL' }] });
  await page.click('.hk-pay');
  await page.waitForFunction(() => /결제된 금액은 없어요/.test(document.querySelector('[role=status]').textContent));
  await twoFrames(page);
  assert.equal(await page.evaluate(() => document.activeElement.className), 'hk-button hk-pay', 'the focus stays');
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
  assert.deepEqual((await house.control('GET', 'payments')).map((p) => p.orderId), [first]);
  assert.equal(visit.orders.length, 1);
});

test('what nobody could ask is not claimed', async () => {
  const page = await ready();
  await visit.context.route(/\/state$/, (route) => route.abort());
  await house.faults({ requestPayment: [{ action: 'reject', code: 'USER_CANCEL' }] });
  await page.click('.hk-pay');
  await page.waitForFunction(() => document.querySelector('[role=status]').textContent === '결제를 취소했어요.');
  await pause(500);
  assert.doesNotMatch(await status(page), /금액은 없어요/);
});

test('terms that were not accepted', async () => {
  const page = await ready();
  await page.frameLocator('.hk-form iframe >> nth=1').locator('#agree').uncheck();
  await page.click('.hk-pay');
  await page.waitForFunction(() => /필수 약관/.test(document.querySelector('[role=status]').textContent));
  await page.frameLocator('.hk-form iframe >> nth=1').locator('#agree').check();
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
});

test('a rejected request builds the form anew and never opens the window by itself', async () => {
  const page = await ready();
  const [first] = visit.orders;
  await house.faults({ requestPayment: [{ action: 'reject', code: 'UNKNOWN' }] });
  await page.click('.hk-pay');
  await says(page, '(1/3)');
  await reach(page, 'ready');
  await twoFrames(page);
  assert.deepEqual(visit.posts.find((p) => p.kind === 'orders').body, { supersedes: first, reason: 'request', gen: 2 });
  await pause(1500);
  assert.equal(await phaseOf(page), 'ready');
  assert.equal((await house.ops('requestPayment')).length, 1);
  await page.click('.hk-pay');
  await approve(page);
  await result(page, 'paid');
});

test('a window that never opens: a quiet link leads out', async () => {
  const page = await ready();
  await house.faults({ requestPayment: [{ action: 'hang' }] });
  await page.click('.hk-pay');
  await page.locator('.hk-again').click();
  await reach(page, 'ready');
  assert.deepEqual(visit.posts.filter((p) => p.kind === 'orders').map((p) => p.body.reason), ['manual']);
  await twoFrames(page);
});

test('a request that resolves without leaving stays in payment', async () => {
  const page = await ready();
  await house.faults({ requestPayment: [{ action: 'resolveNoNav' }] });
  await page.click('.hk-pay');
  await reach(page, 'paying');
  await page.locator('.hk-again').waitFor();
  assert.equal(await page.locator('.hk-pay').getAttribute('aria-busy'), 'true');
});

test('sold out is said before the payment window opens', async () => {
  const product = await house.product({ seats: 1 });
  const page = await ready({}, product);
  const other = await enter(browser);
  await buy(other, house, product);
  await reach(other.page, 'ready');
  await other.page.click('.hk-pay');
  await other.page.waitForURL(/\/pay\//);
  await page.click('.hk-pay');
  await reach(page, 'blocked');
  assert.equal(await status(page), '남은 좌석이 없어요.');
  assert.equal(await page.locator('.hk-pay').isVisible(), false);
  assert.equal((await house.ops('requestPayment')).length, 1);
  await other.context.close();
});

test('a price that changed is shown, not paid', async () => {
  const page = await ready();
  await answerOnce(/\/prepare$/, 409, { code: 'PRICE_CHANGED', message: '', amount: 16000 });
  await page.click('.hk-pay');
  await reach(page, 'blocked');
  assert.equal(await status(page), '금액이 15,000원에서 16,000원로 바뀌었어요. 다시 확인해 주세요.');
  await page.click('.hk-way');
  await reach(page, 'ready');
});

test('another amount than the one shown is shown first', async () => {
  const page = await ready();
  const [orderId] = visit.orders;
  await answerOnce(/\/prepare$/, 200, { orderId, amount: 16000, holdExpiresAt: '2030-01-01T00:00:00Z' });
  await page.click('.hk-pay');
  await page.waitForFunction(() => document.querySelector('[data-hk-amount]').textContent === '16,000원');
  await reach(page, 'ready');
  await house.asked('setAmount', 2);
  assert.equal((await house.ops('requestPayment')).length, 0);
});

test('a superseded order is replaced, and the buyer presses again', async () => {
  const page = await ready({ cfg: { ...quick, destroy: 5000 } });
  await house.faults({ destroy: [{ action: 'ok', ms: 700 }, { action: 'ok', ms: 700 }] });
  await page.evaluate(async () => {
    const { base, order } = JSON.parse(document.getElementById('hk-boot').textContent);
    const body = JSON.stringify({ supersedes: order.orderId, reason: 'manual', gen: 9 });
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': 'another:9:tab' };
    await fetch(base + '/orders', { method: 'POST', headers, body });
  });
  await page.click('.hk-pay');
  await page.waitForFunction(() => document.querySelectorAll('#hk-pm-2').length === 1);
  await reach(page, 'ready');
  assert.deepEqual(visit.telemetry, [], 'the new form came before the old one was gone');
  assert.equal((await house.ops('requestPayment')).length, 0);
  await page.click('.hk-pay');
  await approve(page);
  await result(page, 'paid');
});

test('a server that is away at the click costs nothing', async () => {
  const page = await ready();
  await visit.context.route(/\/prepare$/, (route) => route.abort(), { times: 1 });
  await page.click('.hk-pay');
  await page.waitForFunction(() => /문제가 생겼어요/.test(document.querySelector('[role=status]').textContent));
  assert.equal(await phaseOf(page), 'ready');
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
});

for (const [name, edit] of [
  ['amount', (u) => u.searchParams.set('amount', '100')],
  ['order id', (u) => u.searchParams.set('orderId', 'hk_' + 'a'.repeat(26))],
]) {
  test(`an edited ${name} in the success URL is refused before any confirm`, async () => {
    const page = await ready();
    await page.click('.hk-pay');
    await page.waitForURL(/\/pay\//);
    const key = /\/pay\/([^/?]+)/.exec(page.url())[1];
    const { successUrl } = await house.control('POST', `payments/${key}/authorize`);
    const url = new URL(successUrl);
    edit(url);
    const answer = await page.goto(url.href);
    assert.ok(answer.status() === 400 || answer.status() === 404, String(answer.status()));
    if (name === 'amount') assert.match(await page.locator('main').textContent(), /금액이 일치하지 않아요/);
    await pause(500);
    assert.equal(await confirms(), 0);
  });
}

test('the success page again, and again without cookies', async () => {
  const page = await ready();
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
  const key = /\/pay\/([^/?]+)/.exec(page.url())[1];
  const { successUrl } = await house.control('POST', `payments/${key}/authorize`);
  await page.goto(successUrl);
  await result(page, 'paid');
  await page.reload();
  await result(page, 'paid');
  await page.goto(successUrl);
  await result(page, 'paid');
  const stranger = await enter(browser);
  await stranger.page.goto(successUrl);
  await result(stranger.page, 'paid');
  assert.equal(await confirms(), 1);
  await stranger.context.close();
});

test('a payment without any cookie', async () => {
  const page = await ready();
  await visit.context.clearCookies();
  await page.click('.hk-pay');
  await page.waitForURL(/\/pay\//);
  await visit.context.clearCookies();
  await page.click('#authorize');
  await result(page, 'paid');
  assert.equal(await confirms(), 1);
});

for (const [how, text] of [
  ['cancel', /결제에 실패했어요|결제를 취소했어요/],
  ['reject', /결제에 실패했어요/],
  ['abort', /결제에 실패했어요/],
]) {
  test(`the fail page after ${how}: the buyer can pay again`, async () => {
    const page = await ready();
    await page.click('.hk-pay');
    await page.waitForURL(/\/pay\//);
    await page.click('#' + how);
    await page.waitForURL(/\/fail/);
    if (how === 'cancel') assert.doesNotMatch(page.url(), /orderId/);
    assert.match(await page.locator('main').textContent(), text);
    await page.click('a.hk-button');
    await reach(page, 'ready');
    await page.click('.hk-pay');
    await approve(page);
    await result(page, 'paid');
    assert.equal(await confirms(), 1);
  });
}

test('a confirm whose answer is lost', async () => {
  const page = await ready();
  await house.faults({ confirm: [{ action: 'resetAfterCommit' }] });
  await page.click('.hk-pay');
  await approve(page);
  await result(page, 'paid');
  assert.equal((await house.control('GET', 'payments'))[0].status, 'DONE');
});

test('a confirm that Toss refuses is no charge, and the buyer can try again', async () => {
  const page = await ready();
  await house.faults({ confirm: [{ action: 'refuse', code: 'REJECT_CARD_PAYMENT' }] });
  await page.click('.hk-pay');
  await approve(page);
  await result(page, 'not_charged');
  assert.match(await page.locator('main').textContent(), /청구되지 않았어요/);
});

test('a virtual account: a deposit later, which the bank then takes back', async () => {
  const page = await ready();
  await page.frameLocator('.hk-form iframe >> nth=0').locator('input[value=VIRTUAL_ACCOUNT]').check();
  await page.click('.hk-pay');
  await approve(page);
  const receipt = page.url();
  await page.getByText(/입금/).first().waitFor();
  const [payment] = await house.control('GET', 'payments');
  assert.equal(payment.status, 'WAITING_FOR_DEPOSIT');
  await house.control('POST', `payments/${payment.paymentKey}/deposit`);
  const becomes = (want) =>
    page.waitForFunction(async ([url, text]) => (await (await fetch(url)).text()).includes(text), [receipt, `data-hk-result="${want}"`], { timeout: 20000, polling: 500 });
  await becomes('paid');
  await house.control('POST', `payments/${payment.paymentKey}/depositError`);
  await becomes('processing');
  await page.goto(receipt);
  await page.getByText(payment.virtualAccount.accountNumber).waitFor();
});

test('awaiting a deposit, then paying another way', async () => {
  const page = await ready();
  const url = page.url();
  await page.frameLocator('.hk-form iframe >> nth=0').locator('input[value=VIRTUAL_ACCOUNT]').check();
  await page.click('.hk-pay');
  await approve(page);
  await page.goto(url);
  await reach(page, 'blocked');
  assert.match(await status(page), /까지 입금해 주세요/);
  await page.click('.hk-way');
  await reach(page, 'ready');
  await page.click('.hk-pay');
  await approve(page);
  await result(page, 'paid');
  const payments = await house.control('GET', 'payments');
  assert.deepEqual(payments.map((p) => p.status).sort(), ['CANCELED', 'DONE']);
});
