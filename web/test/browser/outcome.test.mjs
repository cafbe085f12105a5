// What becomes of a payment after the window has closed, when Toss does not answer,
// contradicts itself, or time has passed.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { build, until } from './house.mjs';
import { approve, buy, enter, launch, pause, reach } from './visit.mjs';

const hold = 2000;

let house, patient, browser;
before(async () => {
  [house, patient, browser] = await Promise.all([build({ hold: hold + 'ms' }), build(), launch()]);
});
after(async () => {
  await browser?.close();
  await Promise.all([house?.stop(), patient?.stop()]);
});

const result = (page, want) => page.waitForSelector(`main[data-hk-result="${want}"]`);

/** A buyer in the payment window. */
async function paying(at, product, before = async () => {}) {
  const visit = await enter(browser);
  await buy(visit, at, product);
  await reach(visit.page, 'ready');
  await before(visit.page);
  await visit.page.click('.hk-pay');
  await visit.page.waitForURL(/\/pay\//);
  return visit;
}

// The patient one waits beside the others, in a house of its own.
describe('outcomes', { concurrency: 2 }, () => {
  test('an account whose due date passes: no charge is claimed, and the seat is free again', async () => {
    const product = await patient.product({ seats: 1 });
    const visit = await paying(patient, product, (page) =>
      page.frameLocator('.hk-form iframe >> nth=0').locator('input[value=VIRTUAL_ACCOUNT]').check(),
    );
    const virtualAccount = { bankCode: '20', accountNumber: 'X0000000000001', dueDate: '2026-01-01T00:00:00+09:00' };
    const overdue = { action: 'alter', set: { virtualAccount } };
    await patient.faults({ confirm: [overdue], get: Array(30).fill(overdue) });
    await approve(visit.page);
    await visit.page.getByText('X0000000000001').waitFor();
    await result(visit.page, 'not_charged'); // by itself: Toss tells nobody, the sweeper asks
    assert.match(await visit.page.locator('main').textContent(), /청구되지 않았어요/);
    await patient.control('DELETE', 'faults');
    const next = await paying(patient, product);
    await approve(next.page);
    await result(next.page, 'paid');
    await Promise.all([visit.context.close(), next.context.close()]);
  });

  describe('one after the other', { concurrency: 1 }, () => {
    afterEach(async () => {
      await house.control('POST', 'release');
      await house.control('POST', 'reset');
    });

    test('confirm without an answer, before and after the commit: the page waits, Toss is asked', async () => {
      const product = await house.product();
      const visits = await Promise.all([paying(house, product), paying(house, product)]);
      await house.faults({
        confirm: [{ action: 'timeoutBeforeCommit' }, { action: 'timeoutAfterCommit' }],
        webhook: [{ action: 'drop' }], // the event of the one that is committed would tell us too soon
      });
      await Promise.all(visits.map(({ page }) => approve(page)));
      for (const { page } of visits) {
        await result(page, 'processing');
        assert.match(await page.locator('main').textContent(), /결제를 확인하고 있어요. 창을 닫아도 괜찮아요./);
      }
      await house.control('POST', 'release');
      await Promise.all(visits.map(({ page }) => result(page, 'paid')));
      const { calls } = await house.control('GET', 'faults');
      const confirms = calls.filter((call) => call.api === 'confirm');
      assert.equal(confirms.length, 3);
      assert.equal(confirms.filter((call) => call.changed).length, 2);
      assert.equal(calls.filter((call) => call.api === 'cancel').length, 0);
      await Promise.all(visits.map(({ context }) => context.close()));
    });

    test('DONE, then ABORTED delivered: what Toss answers counts', async () => {
      const { page, context, orders } = await paying(house, await house.product());
      await house.faults({ webhook: [{ action: 'contradict' }] });
      await approve(page);
      await result(page, 'paid');
      const about = '/api/v1/events?source=toss&subject=' + orders[0];
      await until('both deliveries to be worked', async () => {
        const { events } = await house.operate('GET', about);
        return events.length === 2 && events.every(({ state }) => state === 'done');
      });
      await page.reload();
      await result(page, 'paid');
      const { state, attention } = await house.operate('GET', '/api/v1/orders/' + orders[0]);
      assert.deepEqual({ state, attention }, { state: 'paid', attention: '' });
      await context.close();
    });

    test('a hold that ends in the payment window: the seat is gone, and nothing is charged', async () => {
      const product = await house.product({ seats: 1 });
      const slow = await paying(house, product);
      await pause(hold);
      const quick = await paying(house, product);
      await approve(quick.page);
      await result(quick.page, 'paid');
      await approve(slow.page);
      await result(slow.page, 'not_charged');
      assert.match(await slow.page.locator('main').textContent(), /좌석이 마감되어 결제하지 않았어요/);
      assert.equal((await house.calls('"api":"confirm"')).length, 1);
      await Promise.all([slow.context.close(), quick.context.close()]);
    });
  });
});
