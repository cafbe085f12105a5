// What people and screen readers meet in each phase, in both languages, on a phone
// with a slow network and on a desktop; and what is served at all.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build, secretKey } from './house.mjs';
import { approve, buy, enter, launch, phone, quick, reach, says } from './visit.mjs';

const axe = readFileSync(fileURLToPath(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');
const shots = process.env.HK_SHOTS; // a folder to look at the pages in

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

/** No violation of impact serious or critical, on the page as it stands. */
async function sound(page, name) {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
  await page.evaluate((source) => (window.axe ? undefined : (0, eval)(source)), axe);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { iframes: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  const bad = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  assert.deepEqual(bad.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`), [], name);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('hookkeeper-checkout button:not([hidden]), .hk-button')].filter((b) => b.offsetHeight < 44 && b.offsetHeight > 0).length,
  );
  assert.equal(small, 0, name + ': a target under 44 px');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(wide, false, name + ': wider than the screen');
}

/** Each phase, how to get there, and what it says in both languages. */
const phases = [
  { name: 'loading', faults: { script: [{ action: 'hang' }] }, cfg: { watchdogLoading: 20000, slow: 20000, reload: 20000 }, ko: '불러오는 중이에요', en: 'Loading the payment form' },
  { name: 'loading', as: 'slow', faults: { script: [{ action: 'hang' }] }, cfg: { watchdogLoading: 20000 }, wait: '.hk-again:not([hidden])', ko: '네트워크가 느려요', en: 'The network is slow' },
  { name: 'rendering', faults: { renderAgreement: [{ action: 'hang' }] }, cfg: { watchdogRendering: 20000, slow: 20000 }, ko: '불러오는 중이에요', en: 'Loading the payment form' },
  { name: 'retryWait', faults: { script: [{ action: 'status', status: 500 }] }, cfg: { retryDelay: 20000 }, ko: '위젯을 다시 로딩 중이에요. (1/3)', en: 'Reloading the payment form. (1 of 3)' },
  { name: 'ready', ko: '결제수단을 선택한 뒤', en: 'Choose a payment method' },
  { name: 'preparing', click: true, hold: /\/prepare$/, ko: '좌석과 주문을 확인하고', en: 'Checking seats and your order' },
  { name: 'paying', click: true, faults: { requestPayment: [{ action: 'hang' }] }, wait: '.hk-again:not([hidden])', ko: '결제창에서 결제를', en: 'Continue in the payment window' },
  { name: 'ready', as: 'cancelled', click: true, faults: { requestPayment: [{ action: 'reject', code: 'USER_CANCEL' }] }, wait: '[data-warn]', ko: '결제를 취소했어요. 결제된 금액은 없어요', en: 'Payment cancelled. You have not been charged' },
  { name: 'failed', faults: { script: Array(4).fill({ action: 'status', status: 500 }) }, cfg: { retryDelay: 50 }, ko: '아직 결제되지 않았어요', en: 'You have not been charged' },
  { name: 'offline', offline: true, faults: { script: [{ action: 'hang' }] }, cfg: { watchdogLoading: 20000 }, ko: '인터넷 연결이 끊겼어요', en: 'You are offline' },
  { name: 'blocked', click: true, answer: [/\/prepare$/, { code: 'SOLD_OUT', message: '' }], ko: '남은 좌석이 없어요', en: 'No seats left' },
  { name: 'fatal', faults: { script: [{ action: 'throwOnInit', code: 'INVALID_CLIENT_KEY' }] }, ko: '지금은 결제할 수 없어요. 문의 번호', en: 'Payment is unavailable. Reference' },
];

async function inPhase(want, lang, options) {
  const product = await house.product();
  await house.faults(want.faults ?? {});
  visit = await enter(browser, { lang, cfg: { ...quick, ...want.cfg }, ...options });
  if (want.hold) await visit.context.route(want.hold, () => {});
  if (want.answer) await visit.context.route(want.answer[0], (route) => route.fulfill({ status: 409, contentType: 'application/json', body: JSON.stringify(want.answer[1]) }));
  await buy(visit, house, product);
  if (want.click) {
    await reach(visit.page, 'ready');
    await visit.page.click('.hk-pay');
  }
  if (want.offline) {
    await reach(visit.page, 'loading');
    await visit.context.setOffline(true);
  }
  await reach(visit.page, want.name);
  await visit.page.waitForFunction(
    (text) => document.querySelector('hookkeeper-checkout').textContent.includes(text),
    want[lang],
  );
  if (want.wait) await visit.page.waitForSelector(want.wait);
}

const looks = [
  ['ko', 'phone', { ...phone, colorScheme: 'light' }],
  ['en', 'desktop-dark', { viewport: { width: 1100, height: 800 }, colorScheme: 'dark' }],
];
for (const want of phases) {
  for (const [lang, name, options] of looks) {
    test(`${want.as ?? want.name} in ${lang} (${name}) says what it should and has no violation`, async () => {
      await inPhase(want, lang, options);
      await sound(visit.page, `${lang}-${name}-${want.as ?? want.name}`);
    });
  }
}

test('elsewhere, in both languages', async () => {
  for (const [lang, name, options] of looks) {
    visit = await enter(browser, { lang, ...options });
    const url = await buy(visit, house, await house.product());
    const second = await visit.context.newPage();
    await second.goto(url);
    await Promise.all([reach(visit.page, 'ready'), reach(second, 'ready')]);
    await house.faults({ requestPayment: [{ action: 'hang' }] });
    await visit.page.click('.hk-pay');
    await reach(second, 'elsewhere');
    await second.bringToFront();
    await sound(second, `${lang}-${name}-elsewhere`);
    if (lang === 'ko') await visit.context.close();
  }
});

for (const [lang, name, options] of looks) {
  test(`receipt, fail and error pages in ${lang} (${name})`, async () => {
    visit = await enter(browser, { lang, ...options });
    const { page } = visit;
    const url = await buy(visit, house, await house.product());
    await reach(page, 'ready');
    await page.click('.hk-pay');
    await page.waitForURL(/\/pay\//);
    await page.click('#reject');
    await page.waitForURL(/\/fail/);
    await sound(page, `${lang}-${name}-fail`);
    await page.click('a.hk-button');
    await reach(page, 'ready');
    await page.click('.hk-pay');
    await approve(page);
    await page.waitForSelector('[data-hk-result="paid"]');
    assert.equal(await page.locator('html').getAttribute('lang'), lang);
    await sound(page, `${lang}-${name}-paid`);
    await page.goto(url.replace(/\/checkout\/.*/, '/checkout/ck_nobody'));
    await sound(page, `${lang}-${name}-unknown`);
  });
}

test('the live region says each change of phase once', async () => {
  await house.faults({ script: [{ action: 'status', status: 500 }, { action: 'status', status: 500 }] });
  visit = await enter(browser, { cfg: { ...quick, slow: 60000 } }); // a busy machine is no slow network
  await visit.context.addInitScript(() => {
    window.heard = [];
    document.addEventListener('readystatechange', () => {
      const region = document.querySelector('[role=status]');
      if (document.readyState !== 'interactive' || !region) return;
      new MutationObserver(() => window.heard.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    });
  });
  await buy(visit, house, await house.product());
  await reach(visit.page, 'ready');
  const heard = await visit.page.evaluate(() => window.heard);
  assert.deepEqual(heard, ['위젯을 다시 로딩 중이에요. (1/3)', '위젯을 다시 로딩 중이에요. (2/3)', '결제수단을 선택한 뒤 결제하기를 눌러 주세요.']);
});

test('a phone on a slow network, through to the receipt', async () => {
  visit = await enter(browser, { cfg: {}, ...phone });
  const { page, context } = visit;
  const wire = await context.newCDPSession(page);
  await wire.send('Network.enable');
  await wire.send('Network.emulateNetworkConditions', { offline: false, latency: 400, downloadThroughput: 50000, uploadThroughput: 50000 });
  await house.faults({ script: [{ action: 'reset' }] });
  await buy(visit, house, await house.product());
  await says(page, '(1/3)');
  await reach(page, 'ready');
  await page.locator('.hk-pay').tap();
  await page.waitForURL(/\/pay\//);
  await page.locator('#authorize').tap();
  await page.waitForSelector('[data-hk-result="paid"]');
  assert.equal(visit.count('orders'), 1);
  assert.equal((await house.calls('confirm')).length, 1);
});

test('no secret in any served byte', async () => {
  visit = await enter(browser);
  const bodies = [];
  visit.context.on('response', (response) => {
    if (response.url().startsWith(house.url)) bodies.push(response.body().catch(() => Buffer.alloc(0)));
  });
  await buy(visit, house, await house.product());
  await reach(visit.page, 'ready');
  await visit.page.click('.hk-pay');
  await approve(visit.page);
  for (const path of ['checkout.js', 'element.js', 'receipt.js', 'checkout.css']) {
    bodies.push(fetch(house.url + '/checkout/assets/' + path).then(async (a) => Buffer.from(await a.arrayBuffer())));
  }
  const all = Buffer.concat(await Promise.all(bodies)).toString();
  assert.ok(all.length > 40000, 'nothing was looked at');
  for (const secret of [secretKey, 'test_gsk_', Buffer.from(secretKey + ':').toString('base64')]) assert.ok(!all.includes(secret), secret);
});
