// The state machine, by table and by random walks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './bundle.mjs';

const { reduce } = await load('reduce.ts');
const states = await load('states.ts');
const { viewOf } = await load('view.ts');
const { defaults } = await load('boot.ts');

const config = { retryDelay: () => 1000, watchdog: (p) => (p === 'loading' ? 8000 : 10000), stableMs: 10000 };
const order = (orderId, amount = 15000) => ({ orderId, amount, currency: 'KRW' });
const fail = (kind, code, data) => ({ kind, code, ...(data ? { data } : {}) });
const transient = (code = 'UNKNOWN') => fail('transient', code);

/** Runs events from a state; an event without a gen gets the present one. */
function run(events, from = states.initial) {
  let state = from;
  let effects = [];
  const all = [];
  for (const event of events) {
    const needsGen = /^(ORDER|LOADED|RENDERED|ATTEMPT_FAIL|WATCHDOG|RETRY_TIMER|PREPARED|PREPARE_FAIL|PAY_REJECT)$/.test(event.type);
    [state, effects] = reduce(state, { now: 0, ...(needsGen ? { gen: state.gen } : {}), ...event }, config);
    all.push(...effects);
  }
  return { state, effects, all, of: (type) => effects.find((e) => e.type === type) };
}

const toLoading = [{ type: 'START' }, { type: 'ORDER', order: order('hk_1') }];
const toReady = [...toLoading, { type: 'LOADED' }, { type: 'RENDERED', now: 1000 }];
const toPreparing = [...toReady, { type: 'PAY_CLICK' }];
const toPaying = [...toPreparing, { type: 'PREPARED', order: order('hk_1') }];
const failing = (f = transient()) => ({ type: 'ATTEMPT_FAIL', fail: f });
const retry = { type: 'RETRY_TIMER' };
const toFailed = [...toLoading, failing(), retry, failing(), retry, failing(), retry, failing()];

test('the happy path ends in one payment request', () => {
  const r = run(toPaying);
  assert.equal(r.state.phase, 'paying');
  assert.deepEqual(r.all.filter((e) => e.type === 'requestPayment').length, 1);
});

test('three automatic retries, then the buyer decides', () => {
  const r = run(toFailed);
  assert.equal(r.state.phase, 'failed');
  const attempts = r.all.filter((e) => e.type === 'attempt');
  assert.deepEqual(attempts.map((a) => a.gen), [1, 2, 3, 4]);
  assert.equal(attempts[1].supersedes, 'hk_1');
  assert.deepEqual(r.all.filter((e) => e.id === 'retry').map((e) => e.ms), [1000, 1000, 1000]);
});

test('the order that came before the script failed is the one to supersede', () => {
  const r = run([{ type: 'START' }, { type: 'ORDER', order: order('hk_a') }, failing(), retry]);
  assert.equal(r.of('attempt').supersedes, 'hk_a');
});

for (const [name, events, want] of [
  ['an error event loads the same URL again', [...toLoading, failing(transient('ScriptLoadFailedError'))], 'reload'],
  ['a hung script is escaped by a fresh URL', [...toLoading, { type: 'WATCHDOG' }], 'freshUrl'],
  ['our own order failing keeps the script', [...toLoading, failing(transient('ORDER_FAILED'))], 'keep'],
  ['the first rejected render keeps the script', [...toLoading, { type: 'LOADED' }, failing()], 'keep'],
  ['a hung render loads it again', [...toLoading, { type: 'LOADED' }, { type: 'WATCHDOG' }], 'reload'],
  ['a widget that stayed loads it again', [...toLoading, { type: 'LOADED' }, failing(transient('AGREEMENT_WIDGET_ALREADY_RENDERED'))], 'reload'],
  ['the second rejection loads it again', [...toLoading, { type: 'LOADED' }, failing(), retry, { type: 'ORDER', order: order('hk_2') }, { type: 'LOADED' }, failing()], 'reload'],
  ['a rejected request keeps the script', [...toPaying, { type: 'PAY_REJECT', fail: transient() }], 'keep'],
]) {
  test('script mode: ' + name, () => {
    const r = run(events);
    assert.equal(r.state.phase, 'retryWait');
    assert.equal(run([retry], r.state).of('attempt').script, want);
  });
}

test('a configuration error is fatal at once', () => {
  for (const events of [[...toLoading, failing(fail('config', 'INVALID_CLIENT_KEY'))], [...toPaying, { type: 'PAY_REJECT', fail: fail('config', 'INVALID_METADATA') }]]) {
    const r = run(events);
    assert.equal(r.state.phase, 'fatal');
    assert.ok(r.of('teardown'));
  }
});

test('a cancelled window keeps widget and order, and asks the server', () => {
  const r = run([...toPaying, { type: 'PAY_REJECT', fail: fail('user', 'USER_CANCEL') }]);
  assert.equal(r.state.phase, 'ready');
  assert.equal(r.state.order.orderId, 'hk_1');
  assert.deepEqual(r.effects, [{ type: 'checkState' }]);
});

test('what the server refuses', () => {
  for (const [code, kind, want] of [
    ['SOLD_OUT', 'blocked', 'blocked'],
    ['PRICE_CHANGED', 'blocked', 'blocked'],
    ['CHECKOUT_PAID', 'transient', 'done'],
    ['ORDER_SUPERSEDED', 'transient', 'loading'],
    ['ORDER_EXPIRED', 'transient', 'loading'],
    ['PREPARE_FAILED', 'transient', 'ready'],
  ]) {
    const r = run([...toPreparing, { type: 'PREPARE_FAIL', fail: fail(kind, code) }]);
    assert.equal(r.state.phase, want, code);
    assert.ok(!r.of('requestPayment'));
  }
  assert.equal(run([{ type: 'START' }, failing(fail('blocked', 'AWAITING_DEPOSIT'))]).state.phase, 'blocked');
  const paid = run([{ type: 'START' }, failing(fail('transient', 'CHECKOUT_PAID', { receiptUrl: '/r' }))]);
  assert.equal(paid.of('goReceipt').url, '/r');
});

test('another amount is shown before it is paid', () => {
  const r = run([...toPreparing, { type: 'PREPARED', order: order('hk_1', 16000) }]);
  assert.equal(r.state.phase, 'ready');
  assert.equal(r.state.order.amount, 16000);
  assert.deepEqual(r.effects.map((e) => e.type), ['setAmount']);
});

test('offline spends no retry', () => {
  const waiting = run([...toLoading, failing(), retry, failing()]).state; // second retry is due
  assert.equal(waiting.retryCount, 2);
  const off = run([{ type: 'OFFLINE' }], waiting);
  assert.deepEqual(off.effects.map((e) => e.type), ['cancelTimers', 'teardown']);
  assert.ok(off.state.gen > waiting.gen, 'what was under way must be stale');
  const on = run([{ type: 'ONLINE' }], off.state);
  assert.equal(on.state.retryCount, 1);
  assert.equal(on.of('attempt').script, 'freshUrl');
  assert.equal(run([{ type: 'OFFLINE' }, { type: 'ONLINE' }], run(toFailed).state).state.retryCount, 0);
  assert.equal(run([{ type: 'OFFLINE' }], run(toReady).state).state.phase, 'ready');
});

test('a restored page asks the server first', () => {
  for (const from of [toLoading, toReady, toPaying, toFailed]) {
    const r = run([{ type: 'RESTORED' }], run(from).state);
    const types = r.effects.map((e) => e.type);
    assert.equal(r.state.phase, 'loading');
    assert.ok(types.indexOf('checkState') >= 0 && types.indexOf('checkState') < types.indexOf('attempt'), types.join());
    assert.equal(r.of('attempt').script, 'reload');
  }
});

test('a second manual retry in a row loads the page again', () => {
  const first = run([{ type: 'MANUAL_RETRY' }], run(toFailed).state);
  assert.equal(first.state.retryCount, 0);
  assert.equal(first.of('attempt').script, 'freshUrl');
  assert.deepEqual(run([{ type: 'MANUAL_RETRY' }], first.state).effects, [{ type: 'reloadPage' }]);
  const better = run([{ type: 'ORDER', order: order('hk_9') }, { type: 'LOADED' }, { type: 'RENDERED', now: 1 }], first.state);
  assert.equal(better.state.manual, 0);
});

test('only a widget that held earns a new budget', () => {
  const used = { ...run(toPaying).state, retryCount: 3, readyAt: 1000 };
  assert.equal(run([{ type: 'PAY_REJECT', fail: transient(), now: 10999 }], used).state.phase, 'failed');
  assert.equal(run([{ type: 'PAY_REJECT', fail: transient(), now: 11000 }], used).state.retryCount, 1);
});

test('a flapping widget makes four attempts', () => {
  let { state, all } = run([{ type: 'START' }]);
  for (let i = 0; state.phase !== 'failed'; i++) {
    assert.ok(i < 10);
    const r = run(
      [
        { type: 'ORDER', order: order('hk_' + i) },
        { type: 'LOADED' },
        { type: 'RENDERED', now: i * 2000 + 1 },
        { type: 'PAY_CLICK' },
        { type: 'PREPARED', order: order('hk_' + i) },
        { type: 'PAY_REJECT', fail: transient(), now: i * 2000 + 2 },
        retry,
      ],
      state,
    );
    state = r.state;
    all = [...all, ...r.all];
  }
  assert.equal(all.filter((e) => e.type === 'attempt').length, 4);
});

test('two tabs', () => {
  const away = run([{ type: 'OTHER_TAB', busy: true }], run(toReady).state);
  assert.equal(away.state.phase, 'elsewhere');
  const back = run([{ type: 'OTHER_TAB', busy: false }], away.state);
  assert.equal(back.state.phase, 'loading');
  assert.equal(back.of('attempt').script, 'keep');
  assert.equal(run([{ type: 'REMOTE_PAID' }], away.state).state.phase, 'done');
  assert.equal(run([{ type: 'OTHER_TAB', busy: true }], run(toPaying).state).state.phase, 'paying');
});

const texts = {
  label_pay: 'Pay', label_retrying: 'Reloading payment widget... ({n}/3)', failed: 'We could not load. You have not been charged.',
  failed_plain: 'We could not load.', USER_CANCEL: 'Cancelled. You have not been charged.', cancelled_plain: 'Cancelled.', fatal: 'ref {ref}',
};
const boot = { cid: 'ck_abcdef123456', lang: 'en', texts };
const view = (state) => viewOf({ state, slow: false, stuck: false, lost: false }, boot, defaults);

test('"not charged" is said only while it is known', () => {
  assert.match(view(run(toFailed).state).alert, /not been charged/);
  const asked = [...toPaying, { type: 'PAY_REJECT', fail: fail('user', 'USER_CANCEL') }];
  assert.doesNotMatch(view(run(asked).state).status, /charged/);
  assert.match(view(run([...asked, { type: 'UNCHARGED', clean: true }]).state).status, /not been charged/);
  const elsewhere = run([{ type: 'OTHER_TAB', busy: true }], run(toFailed).state);
  assert.doesNotMatch(view(elsewhere.state).alert, /charged/);
  assert.doesNotMatch(view(run([{ type: 'UNCHARGED', clean: false }], run(toFailed).state).state).alert, /charged/);
});

test('the reference in the fatal text does not open the checkout', () => {
  const { alert } = view(run([...toLoading, failing(fail('config', 'INVALID_CLIENT_KEY'))]).state);
  assert.equal(alert, 'ref 123456');
});

// mulberry32: small, seeded, good enough to walk with.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** An event that mostly carries the walk on: uniform ones rarely reach paying and failed. */
function draw(rand, s, now) {
  const pick = (...events) => events[Math.floor(rand() * events.length)];
  const fails = () => pick(transient(), transient('ScriptLoadFailedError'), transient('ORDER_FAILED'), fail('user', 'USER_CANCEL'));
  const gen = rand() < 0.1 ? s.gen - 1 : s.gen;
  const onward = {
    idle: () => ({ type: 'START' }),
    loading: () => (s.order && rand() < 0.6 ? { type: 'LOADED', gen } : { type: 'ORDER', gen, order: order('hk_' + s.gen) }),
    rendering: () => ({ type: 'RENDERED', gen, now }),
    ready: () => ({ type: 'PAY_CLICK' }),
    preparing: () => ({ type: 'PREPARED', gen, order: s.order ?? order('hk_0') }),
    paying: () => ({ type: 'PAY_REJECT', gen, fail: fails(), now }),
    retryWait: () => ({ type: 'RETRY_TIMER', gen, now }),
    failed: () => ({ type: 'MANUAL_RETRY', now }),
    offline: () => ({ type: 'ONLINE', now }),
    elsewhere: () => ({ type: 'OTHER_TAB', busy: false, now }),
  }[s.phase];
  const r = rand();
  if (onward && r < 0.5) return onward();
  if (r < 0.8) return { type: 'ATTEMPT_FAIL', gen, fail: fails(), now };
  return pick(
    { type: 'WATCHDOG', gen, now }, { type: 'OFFLINE' }, { type: 'ONLINE', now }, { type: 'RESTORED', now }, { type: 'MANUAL_RETRY', now },
    { type: 'OTHER_TAB', busy: rand() < 0.5, now }, { type: 'UNCHARGED', clean: rand() < 0.5 }, { type: 'PAY_CLICK' }, { type: 'START' },
    { type: 'PREPARE_FAIL', gen, fail: pick(transient('ORDER_SUPERSEDED'), transient('PREPARE_FAILED')), now },
    { type: 'PREPARED', gen, order: order('hk_p', 16000) }, { type: 'RETRY_TIMER', gen, now },
    ...(rand() < 0.05 ? [{ type: 'REMOTE_PAID' }, { type: 'PREPARE_FAIL', gen, fail: fail('blocked', 'SOLD_OUT'), now }, { type: 'ATTEMPT_FAIL', gen, fail: fail('config', 'INVALID_SELECTOR'), now }] : []),
  );
}

test('random walks keep the invariants', () => {
  const reached = new Map();
  for (let walk = 0; walk < 3000; walk++) {
    const rand = random(walk);
    let s = states.initial;
    const attempted = new Set();
    for (let step = 0, now = 0; step < 60; step++, now += Math.floor(rand() * 4000)) {
      const e = draw(rand, s, now);
      const [next, effects] = reduce(s, e, config);
      const where = `walk ${walk}, step ${step}: ${e.type} in ${s.phase} -> ${next.phase}`;
      check(s, e, next, effects, attempted, where);
      s = next;
      reached.set(s.phase, (reached.get(s.phase) ?? 0) + 1);
    }
  }
  for (const phase of ['loading', 'rendering', 'ready', 'preparing', 'paying', 'retryWait', 'failed', 'offline', 'elsewhere', 'blocked', 'fatal', 'done']) {
    assert.ok((reached.get(phase) ?? 0) > 100, `the walks hardly reach ${phase}: ${reached.get(phase)}`);
  }
});

function check(s, e, next, effects, attempted, where) {
  if ('gen' in e && e.gen !== s.gen) {
    assert.equal(next, s, where + ': a stale event changed the state');
    assert.equal(effects.length, 0, where + ': a stale event had effects');
  }
  assert.ok(next.retryCount >= 0 && next.retryCount <= 3, where);
  assert.ok(next.gen >= s.gen, where + ': gen fell');
  const v = view(next);
  assert.equal(v.canPay, next.phase === 'ready', where);
  if (v.canPay) assert.ok(next.order, where + ': ready without an order');
  if (v.isRetrying) assert.match(v.label, /\([123]\/3\)$/, where);
  for (const effect of effects) {
    if (effect.type === 'requestPayment') assert.ok(e.type === 'PREPARED' && s.phase === 'preparing', where);
    if (effect.type === 'prepare') assert.ok(e.type === 'PAY_CLICK' && s.phase === 'ready', where);
    if (effect.type !== 'attempt') continue;
    assert.ok(!attempted.has(effect.gen), where + ': attempted twice');
    attempted.add(effect.gen);
    assert.equal(effect.gen, next.gen, where);
  }
  if (s.phase === 'done') assert.equal(next.phase, 'done', where);
  if ((s.phase === 'blocked' || s.phase === 'fatal') && e.type !== 'REMOTE_PAID') assert.equal(next.phase, s.phase, where);
}
