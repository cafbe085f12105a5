// The driver: it carries out what the state machine asks for, against the
// document, the network and the clock. Its owner is a page or an element, never
// a framework's render: there is one widget in a document.
import { connect } from './api';
import { attempt, type Attempt } from './attempt';
import { configOf, defaults, money, type Boot, type Settings } from './boot';
import { failFrom } from './fails';
import { reduce } from './reduce';
import { script, type FreshUrl } from './sdk';
import { initial, working, type Effect, type Event, type State } from './states';
import { tabs } from './tabs';
import { now, pause, timers } from './timers';

/** What there is to show: the state, and what the buyer has waited for too long in it. */
export interface Snapshot {
  readonly state: State;
  /** Loading for longer than people like. */
  readonly slow?: boolean;
  /** Long enough that a button to load again is fair. */
  readonly stuck?: boolean;
  /** The payment window should have opened by now. */
  readonly lost?: boolean;
}

export interface Options {
  readonly boot: Boot;
  /** Where the widgets go; in the document, in no shadow tree. */
  readonly place: HTMLElement;
  /** How a hung script is escaped, where its server minds a query. */
  readonly freshUrl?: FreshUrl;
}

/** One checkout in this document. */
export interface Checkout {
  readonly settings: Settings;
  /** What there is to show: the same object until something changed. */
  snapshot(): Snapshot;
  /** Calls back after each change; returns the way out. */
  subscribe(changed: () => void): () => void;
  start(): void;
  /** The buyer pressed Pay; counts only while the widget is ready. */
  pay(): void;
  /** The buyer asked for another try. */
  retry(): void;
  /** Gives an awaited deposit up for another way to pay, then loads the page again; rejects when it cannot be given up now. */
  payAnotherWay(): Promise<void>;
  /** Ends when the document is free of this checkout. Nothing of it moves afterwards. */
  stop(): Promise<unknown>;
}

type Do<T extends Effect['type']> = Extract<Effect, { type: T }>;
type Spread<E> = E extends unknown ? Omit<E, 'now'> : never;

// The widgets of an owner that left are gone before the next one's come.
let leaving: Promise<unknown> = Promise.resolve();

export function createCheckout({ boot, place, freshUrl }: Options): Checkout {
  const nonce = Math.random().toString(36).slice(2);
  const settings: Settings = { ...defaults, ...boot.cfg };
  const config = configOf(settings);
  const api = connect(boot, nonce);
  const load = script(boot.src, nonce, freshUrl);
  const clocks = timers();
  const hints = timers();
  const seen = new Set<() => void>();
  const others = tabs(boot.cid, (word) => dispatch(word === 'paid' ? { type: 'REMOTE_PAID' } : { type: 'OTHER_TAB', busy: word === 'busy' }));
  let shown: Snapshot = { state: { ...initial, asked: !!boot.asked } };
  let current: Attempt | null = null;
  let began = 0;
  let cleared = leaving;
  let checked: Promise<unknown> = cleared;
  let hiddenAt = now();
  const off = new AbortController();

  function dispatch(event: Spread<Event>): void {
    if (off.signal.aborted) return;
    const before = shown.state;
    const [state, effects] = reduce(before, { ...event, now: now() } as Event, config);
    if (state !== before) enter(before, state);
    effects.forEach((effect) => (carryOut[effect.type] as (e: Effect) => void)(effect));
  }

  function show(change: Partial<Snapshot>): void {
    shown = { ...shown, ...change };
    seen.forEach((changed) => changed());
  }

  function enter(before: State, state: State): void {
    const { phase, fail } = state;
    if (stretch(state) !== stretch(before)) {
      hints.clear();
      shown = { state };
      const hint = (ms: number, change: Partial<Snapshot>) => hints.start(ms, ms, () => show(change));
      if (working(phase)) {
        hint(settings.slow, { slow: true });
        hint(settings.reload, { stuck: true });
      }
      if (phase === 'paying') hint(settings.window, { lost: true });
    }
    if (phase !== 'preparing' && phase !== 'paying') others.free();
    if (phase !== before.phase) {
      if (phase === 'elsewhere') others.wait(() => dispatch({ type: 'OTHER_TAB', busy: false }));
      if (phase === 'done') others.say('paid');
    }
    if (fail && fail !== before.fail && /transient|config/.test(fail.kind)) api.report(before.gen, before.phase, fail.code, now() - began);
    show({ state });
  }

  const carryOut: { readonly [T in Effect['type']]: (e: Do<T>) => unknown } = {
    attempt(effect) {
      const { gen } = effect;
      if (effect.script === 'freshUrl' && settings.escape === 'page' && onceFor(boot.cid)) return location.reload();
      began = now();
      current = attempt(effect, {
        boot,
        settings,
        api,
        load,
        place,
        checked,
        cleared: () => cleared,
        ordered: (order) => dispatch({ type: 'ORDER', gen, order }),
        loaded: () => dispatch({ type: 'LOADED', gen }),
      });
      return current.run().then(
        () => {
          // A frame without a title is a riddle to a screen reader.
          place.querySelectorAll('iframe:not([title])').forEach((frame) => frame.setAttribute('title', boot.texts['form']!));
          dispatch({ type: 'RENDERED', gen });
        },
        (error: unknown) => dispatch({ type: 'ATTEMPT_FAIL', gen, fail: failFrom(error) }),
      );
    },
    teardown() {
      if (current) cleared = Promise.all([cleared, current.end()]);
      current = null;
    },
    cancelTimers: () => clocks.clear(),
    timer: ({ id, ms, gen }) => clocks.start(id, ms, () => dispatch({ type: id === 'retry' ? 'RETRY_TIMER' : 'WATCHDOG', gen })),
    async prepare({ gen, order }) {
      if (!(await others.take())) return dispatch({ type: 'OTHER_TAB', busy: true });
      if (shown.state.gen !== gen) return others.free();
      try {
        dispatch({ type: 'PREPARED', gen, order: await api.prepare(order, settings.prepare) });
      } catch (error) {
        dispatch({ type: 'PREPARE_FAIL', gen, fail: failFrom(error) });
      }
    },
    async requestPayment({ gen, order: { orderId } }) {
      try {
        const { orderName } = boot;
        await current!.widgets()!.requestPayment({ orderId, orderName, successUrl: api.url('/success'), failUrl: api.url('/fail') });
      } catch (error) {
        dispatch({ type: 'PAY_REJECT', gen, fail: failFrom(error) });
      }
    },
    async setAmount({ order: { amount: value, currency } }) {
      document.querySelectorAll('[data-hk-amount]').forEach((node) => (node.textContent = money(value, boot.lang)));
      try {
        await current!.widgets()!.setAmount({ currency, value });
      } catch {
        dispatch({ type: 'RESTORED' }); // a widget with the old amount must not be paid on
      }
    },
    checkState,
    reloadPage: () => location.reload(),
    goReceipt: ({ url }) => location.replace(url || api.url('/receipt')),
  };

  /** Asks the server whether anything was paid. What cannot be asked is not claimed, and nobody waits for it for long. */
  function checkState(): void {
    const asked = api.state().then(
      ({ status, receiptUrl }) => {
        if (/^(confirming|paid|refund(ing|ed))$/.test(status as string) || (status === 'awaiting_deposit' && shown.state.asked)) {
          dispatch({ type: 'REMOTE_PAID', url: receiptUrl });
        } else dispatch({ type: 'UNCHARGED', clean: status === 'open' });
      },
      () => {},
    );
    checked = Promise.race([asked, pause(settings.slow)]);
  }

  function returned(): void {
    clocks.check();
    hints.check();
    if (shown.state.phase === 'paying') checkState();
  }

  // A browser that knows no signal here keeps the listeners; they find the checkout stopped.
  const on = (target: EventTarget, name: string, heard: (e: globalThis.Event) => void) =>
    target.addEventListener(name, heard, { signal: off.signal } as AddEventListenerOptions);
  on(window, 'offline', () => dispatch({ type: 'OFFLINE' }));
  on(window, 'online', () => dispatch({ type: 'ONLINE' }));
  // The back button brings a page whose frames are dead.
  on(window, 'pageshow', (e) => (e as PageTransitionEvent).persisted && dispatch({ type: 'RESTORED' }));
  on(window, 'focus', returned);
  on(document, 'visibilitychange', () => {
    if (document.hidden) hiddenAt = now();
    else if (now() - hiddenAt > settings.stale) dispatch({ type: 'RESTORED' });
    else returned();
  });

  return {
    settings,
    snapshot: () => shown,
    subscribe(changed) {
      seen.add(changed);
      return () => seen.delete(changed);
    },
    start() {
      dispatch({ type: 'START' });
      if (!navigator.onLine) dispatch({ type: 'OFFLINE' });
    },
    pay: () => dispatch({ type: 'PAY_CLICK' }),
    retry: () => dispatch({ type: 'MANUAL_RETRY' }),
    async payAnotherWay() {
      const { gen, order } = shown.state;
      await api.order(gen + 1, order && order.orderId, 'other_method', null).catch((fail) => {
        if (fail.code !== 'CHECKOUT_PAID') throw fail;
      });
      location.reload();
    },
    stop() {
      off.abort();
      clocks.clear();
      hints.clear();
      others.close();
      if (current) leaving = Promise.all([leaving, current.end()]);
      return leaving;
    },
  };
}

/** Hints belong to a stretch of waiting, not to one attempt: three attempts of six seconds are a long wait too. */
const stretch = ({ phase, manual }: State): string => (working(phase) ? 'working' + manual : phase);

/** Whether this is the first time in this tab; a browser without storage never escapes that way. */
function onceFor(cid: string): boolean {
  try {
    const key = 'hk-escape:' + cid;
    return !sessionStorage[key] && (sessionStorage[key] = true);
  } catch {
    return false;
  }
}
