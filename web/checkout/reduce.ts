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
  type Phase,
  type Reason,
  type ScriptMode,
  type State,
} from './states';

type Step = readonly [State, readonly Effect[]];
type On<T extends Event['type']> = (s: State, e: Extract<Event, { type: T }>, c: Config) => Step | false;
type Table = { readonly [T in Event['type']]?: On<T> };

/** One step. An event that means nothing here, or belongs to an older attempt, returns the identical state and no effects. */
export function reduce(s: State, e: Event, c: Config): Step {
  const on = (phases[s.phase] || anywhere)[e.type] || anywhere[e.type];
  const stale = 'gen' in e && e.gen !== s.gen;
  return (!stale && on && (on as On<Event['type']>)(s, e as never, c)) || [s, []];
}

const to = (s: State, change: Partial<State>, ...effects: Effect[]): Step => [{ ...s, ...change }, effects];

/** The same where an attempt ends with it. */
const end = (s: State, change: Partial<State>, ...effects: Effect[]): Step =>
  to(s, change, { type: 'cancelTimers' }, { type: 'teardown', gen: s.gen }, ...effects);

const watchdog = (gen: number, phase: 'loading' | 'rendering', c: Config): Effect => ({ type: 'timer', id: 'watchdog', gen, ms: c.watchdog(phase) });

/** What the attempt, the server and the buyer's click do, phase by phase. */
const phases: { readonly [P in Phase]?: Table } = {
  idle: {
    START: (s, _, c) => begin(s, 'start', 0, 'keep', c),
  },
  loading: {
    // At once, also before the script is there: whoever forgets this id cannot supersede it.
    ORDER: (s, { order }) => to(s, { order }),
    LOADED: (s, _, c) => !!s.order && to(s, { phase: 'rendering' }, watchdog(s.gen, 'rendering', c)),
    // A failure of our own order says nothing about the script.
    ATTEMPT_FAIL: (s, { fail }, c) => failed(s, fail, fail.code === 'ORDER_FAILED' ? 'keep' : 'reload', 'load', c),
    WATCHDOG: (s, _, c) => failed(s, hung, 'freshUrl', 'load', c),
  },
  rendering: {
    RENDERED: (s, { now }) => to(s, { phase: 'ready', readyAt: now, manual: 0 }, { type: 'cancelTimers' }),
    ATTEMPT_FAIL: (s, { fail }, c) => rejected(s, fail, 'render', c),
    WATCHDOG: (s, _, c) => failed(s, hung, 'reload', 'render', c),
  },
  ready: {
    // Decided here and not after an await: a double click cannot pass.
    PAY_CLICK: (s) => !!s.order && to(s, { phase: 'preparing', fail: null }, { type: 'prepare', gen: s.gen, order: s.order }),
  },
  preparing: {
    PREPARED: (s, { order }) => prepared(s, order),
    PREPARE_FAIL(s, { fail }, c) {
      // Each new order needs a click, so this cannot loop.
      if (/^ORDER_(SUPERSEDED|EXPIRED)$/.test(fail.code)) return begin(s, 'expired', s.retryCount, 'keep', c);
      return decided(s, fail) || to(s, { phase: 'ready', fail });
    },
  },
  paying: {
    PAY_REJECT(s, { fail, now }, c) {
      if (fail.kind === 'user') return to(s, { phase: 'ready', fail }, { type: 'checkState' });
      // Only the widget is built anew; the buyer presses again. The window never opens by itself.
      return rejected(now - s.readyAt < c.stableMs ? s : { ...s, retryCount: 0, rejections: 0 }, fail, 'request', c);
    },
  },
  retryWait: {
    RETRY_TIMER: (s, _, c) => begin(s, s.reason, s.retryCount, s.next, c),
  },
  offline: {
    ONLINE: (s, _, c) => begin(s, 'offline', s.retryCount, 'freshUrl', c),
  },
};

const stoppable = ({ phase }: State): boolean => working(phase) || phase === 'failed';

/** What the buyer, the network, the browser and other tabs do, in any phase. */
const anywhere: Table = {
  MANUAL_RETRY(s, _, c) {
    if (!stoppable(s) && s.phase !== 'paying') return false;
    return s.manual ? [s, [{ type: 'reloadPage' }]] : begin({ ...s, manual: 1 }, 'manual', 0, 'freshUrl', c, s.asked);
  },
  OFFLINE(s) {
    const retryCount = s.phase === 'failed' ? 0 : Math.max(0, s.retryCount - 1); // the interrupted retry is not spent
    return stoppable(s) && end(s, { phase: 'offline', gen: s.gen + 1, retryCount, fail: null });
  },
  RESTORED: (s, _, c) => s.phase !== 'idle' && !terminal(s.phase) && begin({ ...s, clean: false }, 'restored', 0, 'reload', c, true),
  OTHER_TAB(s, { busy }, c) {
    if (!busy) return s.phase === 'elsewhere' && begin(s, 'elsewhere', 0, 'keep', c, true);
    const away = s.phase === 'ready' || s.phase === 'preparing';
    return to(s, { asked: true, clean: false, ...(away ? { phase: 'elsewhere', fail: null } : {}) });
  },
  UNCHARGED: (s, { clean }) => to(s, { clean, asked: s.asked || !clean }),
  REMOTE_PAID: (s, { url }) => s.phase !== 'done' && paid(s, url),
};

/** A new attempt: everything of the old one is stopped, its order is named so that the server can replace it. */
function begin(s: State, reason: Reason, retryCount: number, script: ScriptMode, c: Config, check = false): Step {
  const gen = s.gen + 1;
  return end(
    s,
    { phase: 'loading', gen, retryCount, rejections: retryCount && s.rejections, fail: null, readyAt: 0 },
    ...(check ? [{ type: 'checkState' } as const] : []),
    { type: 'attempt', gen, reason, supersedes: s.order && s.order.orderId, script },
    watchdog(gen, 'loading', c),
  );
}

const hung: Fail = { kind: 'transient', code: 'WATCHDOG_TIMEOUT' };

/** A widget that rejects twice, or says it is still there, gets its script anew. */
function rejected(s: State, fail: Fail, reason: Reason, c: Config): Step {
  const next = s.rejections || /_ALREADY_RENDERED$/.test(fail.code) ? 'reload' : 'keep';
  return failed({ ...s, rejections: s.rejections + 1 }, fail, next, reason, c);
}

/** The next automatic retry, or the end of the budget. */
function failed(s: State, fail: Fail, next: ScriptMode, reason: Reason, c: Config): Step {
  const retryCount = s.retryCount + 1;
  return (
    decided(s, fail) ||
    (retryCount > maxRetries
      ? end(s, { phase: 'failed', fail }, { type: 'checkState' })
      : end(
          s,
          { phase: 'retryWait', retryCount, fail, next, reason },
          { type: 'timer', id: 'retry', gen: s.gen, ms: c.retryDelay(retryCount) },
        ))
  );
}

/** What no retry can change: our server's word, or the operator's configuration. */
function decided(s: State, fail: Fail): Step | false {
  if (fail.code === 'CHECKOUT_PAID') return paid(s, fail.data && fail.data['receiptUrl']);
  const phase = fail.kind === 'config' ? 'fatal' : fail.kind;
  return (phase === 'blocked' || phase === 'fatal') && end(s, { phase, fail });
}

const paid = (s: State, url: unknown): Step =>
  end(s, { phase: 'done', gen: s.gen + 1, fail: null }, { type: 'goReceipt', url: String(url || '') });

/** Another amount than the one shown is shown first; the buyer presses again. */
function prepared(s: State, order: Order): Step {
  const { gen } = s;
  if (s.order && order.amount !== s.order.amount) return to(s, { phase: 'ready', order }, { type: 'setAmount', gen, order });
  return to(s, { phase: 'paying', order, asked: true, clean: false }, { type: 'requestPayment', gen, order });
}
