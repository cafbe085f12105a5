// The page is left and comes back: the network goes, the back button, another tab,
// a framework that moves the element.
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

test('offline and back spends no retry', async () => {
  await house.faults({ script: [{ action: 'status', status: 500 }, { action: 'hang' }] });
  visit = await enter(browser, { cfg: { ...quick, watchdogLoading: 60000 } });
  await buy(visit, house, product);
  await says(visit.page, '(1/3)');
  await pause(1300); // the first retry is hanging now
  await visit.context.setOffline(true);
  await reach(visit.page, 'offline');
  assert.match(await status(visit.page), /인터넷 연결이 끊겼어요/);
  await pause(1500);
  assert.equal(await phaseOf(visit.page), 'offline');
  await visit.context.setOffline(false);
  await reach(visit.page, 'ready');
  assert.match((await house.ops('script')).at(-1).query, /^hk=/);
  assert.equal(await visit.page.locator('.hk-pay').textContent(), '결제하기');
});

test('offline after the last retry: back online is a new beginning', async () => {
  await house.faults({ script: Array(4).fill({ action: 'status', status: 500 }) });
  visit = await enter(browser);
  await buy(visit, house, product);
  await reach(visit.page, 'failed');
  await visit.context.setOffline(true);
  await reach(visit.page, 'offline');
  assert.equal(await alert(visit.page), '');
  await visit.context.setOffline(false);
  await reach(visit.page, 'ready');
});

test('a page from the back button has dead frames, so it begins anew', async () => {
  visit = await enter(browser);
  await buy(visit, house, product);
  await reach(visit.page, 'ready');
  await visit.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await visit.page.waitForSelector('#hk-pm-2 iframe');
  await reach(visit.page, 'ready');
  await twoFrames(visit.page);
  assert.deepEqual(visit.posts.map((p) => p.body.reason), ['restored']);
  await visit.page.click('.hk-pay');
  await approve(visit.page);
});

test('a server that does not say how the checkout stands holds nobody up', async () => {
  visit = await enter(browser);
  await buy(visit, house, product);
  await reach(visit.page, 'ready');
  await visit.context.route(/\/state$/, () => {}); // never answered
  await visit.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await visit.page.waitForSelector('#hk-pm-2 iframe');
  await reach(visit.page, 'ready');
  assert.equal(visit.count('orders'), 1);
});

test('a page that was paid for elsewhere in the meantime goes to its receipt', async () => {
  visit = await enter(browser, { cfg: { ...quick, slow: 20000, watchdogLoading: 30000 } });
  const url = await buy(visit, house, product);
  await reach(visit.page, 'ready');
  const other = await enter(browser); // another browser: no channel between them
  await other.page.goto(url);
  await reach(other.page, 'ready');
  await other.page.click('.hk-pay');
  await approve(other.page);
  await other.context.close();
  await visit.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await visit.page.waitForURL(/\/receipt/);
  assert.equal(visit.count('orders'), 0, 'the server is asked first');
  assert.equal((await house.calls('confirm')).length, 1);
});

test('two tabs: the second waits while the first pays, and goes on when it is free', async () => {
  visit = await enter(browser);
  const url = await buy(visit, house, product);
  await reach(visit.page, 'ready');
  const second = await visit.context.newPage();
  await second.goto(url);
  await reach(second, 'ready');
  await house.faults({ requestPayment: [{ action: 'hang' }] });
  await visit.page.click('.hk-pay');
  await reach(visit.page, 'paying');
  await reach(second, 'elsewhere');
  assert.equal(await status(second), '다른 탭에서 결제가 진행 중이에요.');
  assert.equal(await second.locator('.hk-pay').isDisabled(), true);
  await visit.page.locator('.hk-again').click();
  await reach(second, 'ready');
});

test('two tabs race to pay: one of them opens the window', async () => {
  visit = await enter(browser);
  const url = await buy(visit, house, product);
  const second = await visit.context.newPage();
  await second.goto(url);
  await Promise.all([reach(visit.page, 'ready'), reach(second, 'ready')]);
  await house.faults({ requestPayment: [{ action: 'hang' }, { action: 'hang' }] });
  await Promise.all([visit.page, second].map((page) => page.evaluate(() => document.querySelector('.hk-pay').click())));
  await Promise.any([
    Promise.all([reach(visit.page, 'elsewhere'), reach(second, 'paying')]),
    Promise.all([reach(visit.page, 'paying'), reach(second, 'elsewhere')]),
  ]);
  const phases = await Promise.all([phaseOf(visit.page), phaseOf(second)]);
  assert.deepEqual([...phases].sort(), ['elsewhere', 'paying']);
  assert.equal((await house.ops('requestPayment')).length, 1);
});

test('two tabs: what one of them paid, the other shows', async () => {
  visit = await enter(browser);
  const url = await buy(visit, house, product);
  const second = await visit.context.newPage();
  await second.goto(url);
  await Promise.all([reach(visit.page, 'ready'), reach(second, 'ready')]);
  await visit.page.click('.hk-pay');
  await approve(visit.page);
  await second.waitForURL(/\/receipt/);
  assert.equal((await house.calls('confirm')).length, 1);
});

test('a second tab while the script of the first one hangs', async () => {
  await house.faults({ script: [{ action: 'hang' }] });
  visit = await enter(browser, { cfg: { ...quick, watchdogLoading: 60000 } });
  const url = await buy(visit, house, product);
  await pause(300);
  const second = await visit.context.newPage();
  await second.goto(url, { waitUntil: 'domcontentloaded' });
  await reach(second, 'ready', 15000);
});

test('an element that is moved, taken away and put back keeps one form', async () => {
  visit = await enter(browser);
  await buy(visit, house, product);
  await reach(visit.page, 'ready');
  await visit.page.evaluate(async () => {
    const element = document.querySelector('hookkeeper-checkout');
    const { parentNode: parent, nextSibling: next } = element;
    element.remove();
    await new Promise((later) => setTimeout(later, 100));
    parent.insertBefore(element, next);
    parent.insertBefore(element, next);
  });
  await visit.page.waitForFunction(() => document.querySelectorAll('.hk-form iframe').length === 2);
  await reach(visit.page, 'ready');
  await pause(500);
  await twoFrames(visit.page);
  await visit.page.click('.hk-pay');
  await approve(visit.page);
});

test('a window that outlived its order: paid elsewhere meanwhile, it is not charged', async () => {
  visit = await enter(browser);
  const url = await buy(visit, house, product);
  await reach(visit.page, 'ready');
  await visit.page.click('.hk-pay');
  await visit.page.waitForURL(/\/pay\//);
  const second = await visit.context.newPage();
  await second.goto(url);
  await reach(second, 'ready');
  await second.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await second.waitForSelector('#hk-pm-2 iframe'); // a new order: the open window's is superseded
  await reach(second, 'ready');
  await second.click('.hk-pay');
  await approve(second);
  await second.waitForSelector('[data-hk-result="paid"]');
  await approve(visit.page);
  await visit.page.waitForSelector('[data-hk-result="paid"]'); // the checkout's receipt: one of the two was charged
  assert.equal((await house.calls('confirm')).length, 1);
  const states = (await house.control('GET', 'payments')).map((p) => p.status);
  assert.deepEqual(states.sort(), ['DONE', 'IN_PROGRESS']);
});
