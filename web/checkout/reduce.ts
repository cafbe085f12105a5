// The checkout's state machine: (state, event) -> (state, effects). It touches no
// document, no clock and no network, so every order of events can be tried.
import {
  maxRetries,
  terminal,
  working,
  type Config,
  type Effect,
  type Event,
  type Fail,
  type Order,
  type Reason,
  type ScriptMode,
  type State,
} from './states';

type Step = readonly [State, readonly Effect[]];

/** One step. An event that means nothing here, or belongs to an older attempt, returns the identical state and no effects. */
export function reduce(s: State, e: Event, c: Config): Step {
  if ('gen' in e && e.gen !== s.gen) return [s, []];
  switch (e.type) {
    case 'START':
      return s.phase === 'idle' ? begin(s, 'start', 0, 'keep', c) : [s, []];
    case 'ORDER':
      // At once, also before the script is there: whoever forgets this id cannot supersede it.
      return s.phase === 'loading' ? [{ ...s, order: e.order }, []] : [s, []];
    case 'LOADED':
      if (s.phase !== 'loading' || !s.order) return [s, []];
      return [{ ...s, phase: 'rendering' }, [timer('watchdog', s.gen, c.watchdog('rendering'))]];
    case 'RENDERED':
      if (s.phase !== 'rendering') return [s, []];
      return [{ ...s, phase: 'ready', readyAt: e.now, manual: 0 }, [{ type: 'cancelTimers' }]];
    case 'ATTEMPT_FAIL':
      return s.phase === 'loading' || s.phase === 'rendering' ? attemptFailed(s, e.fail, c) : [s, []];
    case 'WATCHDOG':
      if (s.phase !== 'loading' && s.phase !== 'rendering') return [s, []];
      return attemptFailed(s, { kind: 'transient', code: 'WATCHDOG_TIMEOUT' }, c);
    case 'RETRY_TIMER':
      return s.phase === 'retryWait' ? begin(s, s.reason, s.retryCount, s.next, c) : [s, []];
    case 'PAY_CLICK':
      // Decided here and not after an await: a double click cannot pass.
      if (s.phase !== 'ready' || !s.order) return [s, []];
      return [{ ...s, phase: 'preparing', fail: null }, [{ type: 'prepare', gen: s.gen, order: s.order }]];
    case 'PREPARED':
      return s.phase === 'preparing' ? prepared(s, e.order) : [s, []];
    case 'PREPARE_FAIL':
      return s.phase === 'preparing' ? prepareFailed(s, e.fail, c) : [s, []];
    case 'PAY_REJECT':
      return s.phase === 'paying' ? payRejected(s, e.fail, e.now, c) : [s, []];
    default:
      return fromOutside(s, e, c);
  }
}

/** What the buyer, the network, the browser and other tabs do to the page. */
function fromOutside(s: State, e: Event, c: Config): Step {
  switch (e.type) {
    case 'MANUAL_RETRY':
      return manualRetry(s, c);
    case 'OFFLINE':
      if (!working(s.phase) && s.phase !== 'failed') return [s, []];
      return [
        { ...s, phase: 'offline', gen: s.gen + 1, autoFrom: s.phase, fail: null },
        [{ type: 'cancelTimers' }, { type: 'teardown', gen: s.gen }],
      ];
    case 'ONLINE': {
      if (s.phase !== 'offline') return [s, []];
      const n = s.autoFrom === 'failed' ? 0 : Math.max(0, s.retryCount - 1); // the interrupted one is not spent
      return begin({ ...s, autoFrom: null }, 'offline', n, 'freshUrl', c);
    }
    case 'RESTORED':
      if (s.phase === 'idle' || terminal(s.phase)) return [s, []];
      return begin({ ...s, clean: false, autoFrom: null }, 'restored', 0, 'reload', c, true);
    case 'OTHER_TAB':
      if (e.busy && (s.phase === 'ready' || s.phase === 'preparing')) {
        return [{ ...s, phase: 'elsewhere', fail: null, asked: true, clean: false }, []];
      }
      if (e.busy) return s.asked && !s.clean ? [s, []] : [{ ...s, asked: true, clean: false }, []];
      return s.phase === 'elsewhere' ? begin(s, 'elsewhere', 0, 'keep', c, true) : [s, []];
    case 'UNCHARGED':
      return s.clean === e.clean ? [s, []] : [{ ...s, clean: e.clean, asked: s.asked || !e.clean }, []];
    case 'REMOTE_PAID':
      return s.phase === 'done' ? [s, []] : paid(s, e.url ?? null);
    default:
      return [s, []];
  }
}

/** A new attempt: everything of the old one is stopped, its order is named so that the server can replace it. */
function begin(s: State, reason: Reason, retryCount: number, script: ScriptMode, c: Config, check = false): Step {
  const gen = s.gen + 1;
  const rejections = retryCount === 0 ? 0 : s.rejections;
  const effects: Effect[] = [{ type: 'cancelTimers' }];
  if (s.gen > 0) effects.push({ type: 'teardown', gen: s.gen });
  if (check) effects.push({ type: 'checkState' });
  effects.push(
    { type: 'attempt', gen, reason, supersedes: s.order ? s.order.orderId : null, script },
    timer('watchdog', gen, c.watchdog('loading')),
  );
  return [{ ...s, phase: 'loading', gen, retryCount, rejections, reason, next: script, fail: null, readyAt: 0 }, effects];
}

function attemptFailed(s: State, fail: Fail, c: Config): Step {
  if (fail.kind === 'blocked') return stop(s, 'blocked', fail);
  if (fail.code === 'CHECKOUT_PAID') return paid(s, receiptOf(fail));
  if (fail.kind === 'config') return stop(s, 'fatal', fail);
  const hung = fail.code === 'WATCHDOG_TIMEOUT';
  if (s.phase === 'loading') {
    // A failure of our own order says nothing about the script.
    return again(s, fail, hung ? 'freshUrl' : fail.code === 'ORDER_FAILED' ? 'keep' : 'reload', 'load', c);
  }
  return again(rejected(s, !hung), fail, hung || s.rejections > 0 || stuck(fail) ? 'reload' : 'keep', 'render', c);
}

function payRejected(s: State, fail: Fail, now: number, c: Config): Step {
  if (fail.kind === 'user') return [{ ...s, phase: 'ready', fail }, [{ type: 'checkState' }]];
  if (fail.kind === 'config') return stop(s, 'fatal', fail);
  // Only the widget is built anew; the buyer presses again. The window never opens by itself.
  const held = s.readyAt > 0 && now - s.readyAt >= c.stableMs;
  const rested = held ? { ...s, retryCount: 0, rejections: 0 } : s;
  return again(rejected(rested, true), fail, rested.rejections > 0 || stuck(fail) ? 'reload' : 'keep', 'request', c);
}

const rejected = (s: State, yes: boolean): State => (yes ? { ...s, rejections: s.rejections + 1 } : s);
const stuck = (fail: Fail): boolean => /_ALREADY_RENDERED$/.test(fail.code);

/** The next automatic retry, or the end of the budget. */
function again(s: State, fail: Fail, next: ScriptMode, reason: Reason, c: Config): Step {
  const stopped: Effect[] = [{ type: 'cancelTimers' }, { type: 'teardown', gen: s.gen }];
  const base = { ...s, fail, next, reason };
  if (s.retryCount >= maxRetries) return [{ ...base, phase: 'failed' }, [...stopped, { type: 'checkState' }]];
  const n = s.retryCount + 1;
  return [{ ...base, phase: 'retryWait', retryCount: n }, [...stopped, timer('retry', s.gen, c.retryDelay(n))]];
}

function stop(s: State, phase: 'blocked' | 'fatal', fail: Fail): Step {
  return [{ ...s, phase, fail }, [{ type: 'cancelTimers' }, { type: 'teardown', gen: s.gen }]];
}

function paid(s: State, url: string | null): Step {
  return [
    { ...s, phase: 'done', gen: s.gen + 1, fail: null },
    [{ type: 'cancelTimers' }, { type: 'teardown', gen: s.gen }, { type: 'goReceipt', url }],
  ];
}

function prepared(s: State, order: Order): Step {
  if (s.order && order.amount !== s.order.amount) {
    return [{ ...s, phase: 'ready', order }, [{ type: 'setAmount', gen: s.gen, order }]];
  }
  return [{ ...s, phase: 'paying', order, asked: true, clean: false }, [{ type: 'requestPayment', gen: s.gen, order }]];
}

function prepareFailed(s: State, fail: Fail, c: Config): Step {
  if (fail.kind === 'blocked') return stop(s, 'blocked', fail);
  if (fail.code === 'CHECKOUT_PAID') return paid(s, receiptOf(fail));
  // Each new order needs a click, so this cannot loop.
  if (fail.code === 'ORDER_SUPERSEDED' || fail.code === 'ORDER_EXPIRED') return begin(s, 'expired', s.retryCount, 'keep', c);
  return [{ ...s, phase: 'ready', fail }, []];
}

function manualRetry(s: State, c: Config): Step {
  if (!working(s.phase) && s.phase !== 'failed' && s.phase !== 'paying') return [s, []];
  if (s.manual > 0) return [{ ...s, manual: s.manual + 1 }, [{ type: 'reloadPage' }]];
  return begin({ ...s, manual: 1 }, 'manual', 0, 'freshUrl', c, s.asked);
}

function receiptOf(fail: Fail): string | null {
  const url = fail.data?.['receiptUrl'];
  return typeof url === 'string' ? url : null;
}

function timer(id: 'watchdog' | 'retry', gen: number, ms: number): Effect {
  return { type: 'timer', id, gen, ms };
}
