// The operators' pages in a browser: every page in both colours and languages, by
// axe and by what the browser complains of; without a script; by keyboard; live.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { launch } from './visit.mjs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let folder, binary, child, browser, link, base, token;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hk-desk-'));
  binary = process.env.HOOKKEEPER_BINARY || join(folder, 'hookkeeper');
  if (!process.env.HOOKKEEPER_BINARY) await run('go', ['build', '-o', binary, './cmd/hookkeeper'], { cwd: root });
  child = spawn(binary, ['dev', '--dir', join(folder, 'dev'), '--listen', '127.0.0.1:0', '--operator-listen', '127.0.0.1:0'], { cwd: folder });
  let said = '';
  link = await new Promise((found, fail) => {
    child.once('exit', () => fail(new Error('hookkeeper ended:\n' + said)));
    child.stderr.on('data', (data) => (said += data));
    child.stdout.on('data', (data) => {
      said += data;
      const url = /(http:\S+\/dashboard\/login\?ticket=\S+)/.exec(said);
      if (url && said.split(/^  sent /m).length > 5) found(url[1]);
    });
  });
  base = link.replace(/login\?.*/, '');
  token = /HOOKKEEPER_OPERATOR_TOKEN=['"]?([^'"\s]+)/.exec(await readFile(join(folder, 'dev/dev.env'), 'utf8'))[1];
  await send('stripe', 'invoice.paid', '--scenario', 'wrong-secret').catch(() => {});
  browser = await launch();
}, { timeout: 120000 });
after(async () => {
  await browser?.close();
  if (child && child.exitCode === null) {
    const gone = new Promise((over) => child.once('exit', over));
    child.kill('SIGTERM');
    await gone;
  }
  await rm(folder, { recursive: true, force: true });
});

const send = (...args) => run(binary, ['send', ...args, '--dir', join(folder, 'dev')]);

/** A browser that is logged in, and what it complains of. */
async function enter(options = {}) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && complaints.push(line.text()));
  await page.goto(base + 'login');
  await page.fill('#token', token);
  await page.click('main button');
  await page.waitForSelector('h1');
  return { context, page, complaints };
}

async function violations(page) {
  await page.evaluate(axe + ';0');
  const found = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations', 'passes'] }),
  );
  assert.ok(found.passes.length > 5, 'axe looked at nothing');
  return found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => v.id + ': ' + v.nodes.map((n) => n.target).join(' '));
}

for (const [colorScheme, locale, width] of [['light', 'en-US', 1280], ['dark', 'ko-KR', 1280], ['light', 'ko-KR', 320], ['dark', 'en-US', 320]]) {
  test(`every page, ${colorScheme}, ${locale}, ${width} px`, async () => {
    const { context, page, complaints } = await enter({ colorScheme, locale, viewport: { width, height: 800 } });
    const idOf = async (path) => (await page.goto(base + path), page.locator('tr[data-id]').first().getAttribute('data-id'));
    const event = await idOf('events');
    const note = await idOf('rejected');
    const pages = ['./', 'events', 'events?type=nothing', 'events?live=1', 'events/' + event, 'events/' + event + '/replay', 'rejected', 'rejected/' + note,
      'alarms', 'jobs', 'jobs?state=dead', 'dead', 'bulk', 'bulk/new?source=stripe', 'sources', 'handlers', 'metrics', 'metrics?range=1h', 'approvals', 'audit', 'privacy', 'settings'];
    // And whatever departments have put into the navigation.
    const links = await page.locator('.top nav a').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
    pages.push(...links.filter((link) => link.startsWith('records/')));
    for (const path of pages) {
      const answer = await page.goto(base + path);
      assert.equal(answer.status(), 200, path);
      assert.deepEqual(await violations(page), [], path);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, path + ' is wider than the window');
      assert.equal(await page.locator('h1').count(), 1, path);
    }
    assert.deepEqual(complaints, []);
    for (const path of ['nothing', 'events/ev_nothing']) {
      await page.goto(base + path);
      assert.deepEqual(await violations(page), [], path);
    }
    await context.close();
  });
}

test('the link of a terminal logs in with one click', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(link);
  await page.waitForSelector('.tiles');
  await context.close();
  const other = await browser.newContext();
  const second = await other.newPage();
  await second.goto(link);
  await second.waitForSelector('[role=alert]');
  await other.close();
});

test('without a script: log in, filter, replay, log out', async () => {
  const { context, page } = await enter({ javaScriptEnabled: false });
  await page.click('text=Events');
  await page.fill('input[name=type]', 'push');
  await page.click('.filter button');
  assert.match(page.url(), /type=push/);
  assert.equal(await page.locator('tr[data-id]').count(), 1);
  await page.click('a.main');
  await page.click('text=Replay');
  await page.fill('#reason', 'a test');
  await page.click('form.card button');
  assert.match(await page.locator('[role=status]').textContent(), /generation/);
  await page.goto(base + 'audit');
  assert.match(await page.locator('tbody').textContent(), /a test/);
  await page.click('.who >> text=Log out');
  await page.goto(base + 'events');
  assert.match(page.url(), /login\?next=events/);
  await context.close();
});

test('by keyboard alone', async () => {
  const { context, page } = await enter();
  await page.keyboard.press('g');
  await page.keyboard.press('e');
  await page.waitForURL(/\/events$/);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/events\/ev_/);
  await page.keyboard.press('r');
  await page.waitForURL(/\/replay$/);
  await page.keyboard.press('/');
  await page.keyboard.type('nothing of that name');
  await page.keyboard.press('Enter');
  await page.waitForURL(/[?&]q=/);
  await context.close();
});

test('the live tail shows what comes, and waits while somebody reads', async () => {
  const { context, page, complaints } = await enter();
  await page.goto(base + 'events?live=1');
  await page.waitForFunction(() => document.getElementById('tail').textContent === 'Live');
  const rows = () => page.locator('#rows tr').count();
  const were = await rows();
  await send('github', 'push');
  await page.waitForFunction((n) => document.querySelectorAll('#rows tr').length === n, were + 1);
  await page.hover('#rows tr');
  await send('github', 'push');
  await page.waitForFunction(() => /Paused · 1 new/.test(document.getElementById('tail').textContent));
  assert.equal(await rows(), were + 1);
  await page.mouse.move(2, 2);
  await page.waitForFunction((n) => document.querySelectorAll('#rows tr').length === n, were + 2);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a bulk replay shows its progress and can be cancelled', async () => {
  const { context, page } = await enter();
  await page.goto(base + 'events?source=stripe');
  await page.click('text=Replay all matching');
  const number = /\d+/.exec(await page.locator('h1').textContent())[0];
  await page.fill('#rate', '1');
  await page.fill('#reason', 'a test');
  await page.fill('#confirm', number);
  await page.click('button.go');
  await page.waitForURL(/\/bulk\/\d+/);
  await page.click('button.danger');
  await page.waitForSelector('h1 .s-cancelled');
  await context.close();
});
