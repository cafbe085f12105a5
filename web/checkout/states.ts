// The words of the checkout's state machine: what it is in, what can happen to
// it, and what it asks its driver to do. Nothing here runs.

/** Where the page is. `done`, `blocked` and `fatal` are final; only a payment seen elsewhere leaves the latter two. */
export type Phase =
  | 'idle'
  | 'loading'
  | 'rendering'
  | 'ready'
  | 'preparing'
  | 'paying'
  | 'retryWait'
  | 'failed'
  | 'offline'
  | 'elsewhere'
  | 'blocked'
  | 'fatal'
  | 'done';

/** What a failure asks for: another try, nothing, an operator, or the buyer's own next step. */
export type FailKind = 'transient' | 'user' | 'config' | 'blocked';

/** One failure. `data` holds what the server sent beside its code: a price, a bank account, a receipt. */
export interface Fail {
  readonly kind: FailKind;
  readonly code: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** An order as the server issued it. Its amount never changes; a new price is a new order. */
export interface Order {
  readonly orderId: string;
  readonly amount: number;
  readonly currency: string;
}

/** How the next attempt comes by Toss's script. A hung one is only escaped by a URL that this document never asked for. */
export type ScriptMode = 'keep' | 'reload' | 'freshUrl';

/** Why an order was replaced; the server keeps it with the old order. */
export type Reason =
  | 'start'
  | 'load'
  | 'render'
  | 'request'
  | 'manual'
  | 'restored'
  | 'offline'
  | 'expired'
  | 'elsewhere'
  | 'other_method';

export interface State {
  readonly phase: Phase;
  /** Number of the attempt; what belongs to an older one is ignored. Never falls. */
  readonly gen: number;
  /** Automatic retries of this episode, 0 to 3. */
  readonly retryCount: number;
  readonly order: Order | null;
  readonly fail: Fail | null;
  /** When the widget last became ready, 0 before. A widget that held long enough earns a new budget. */
  readonly readyAt: number;
  /** How the next attempt loads the script, and why it replaces the order. */
  readonly next: ScriptMode;
  readonly reason: Reason;
  /** Rejections by the widget since it last held. */
  readonly rejections: number;
  /** Manual retries since the widget was last ready; the second one reloads the page. */
  readonly manual: number;
  /** requestPayment was called for this checkout, here or in another tab. */
  readonly asked: boolean;
  /** The server has said since then that nothing was sent to confirm. */
  readonly clean: boolean;
}

export type Event =
  | { type: 'START' }
  | { type: 'ORDER'; gen: number; order: Order }
  | { type: 'LOADED'; gen: number }
  | { type: 'RENDERED'; gen: number; now: number }
  | { type: 'ATTEMPT_FAIL'; gen: number; fail: Fail; now: number }
  | { type: 'WATCHDOG'; gen: number; now: number }
  | { type: 'RETRY_TIMER'; gen: number; now: number }
  | { type: 'PAY_CLICK' }
  | { type: 'PREPARED'; gen: number; order: Order }
  | { type: 'PREPARE_FAIL'; gen: number; fail: Fail; now: number }
  | { type: 'PAY_REJECT'; gen: number; fail: Fail; now: number }
  | { type: 'MANUAL_RETRY'; now: number }
  | { type: 'OFFLINE' }
  | { type: 'ONLINE'; now: number }
  | { type: 'RESTORED'; now: number }
  | { type: 'OTHER_TAB'; busy: boolean; now: number }
  | { type: 'UNCHARGED'; clean: boolean }
  | { type: 'REMOTE_PAID'; url?: unknown };

export type TimerId = 'watchdog' | 'retry';

export type Effect =
  | { type: 'attempt'; gen: number; reason: Reason; supersedes: string | null; script: ScriptMode }
  | { type: 'teardown'; gen: number }
  | { type: 'cancelTimers' }
  | { type: 'timer'; id: TimerId; gen: number; ms: number }
  | { type: 'prepare'; gen: number; order: Order }
  | { type: 'requestPayment'; gen: number; order: Order }
  | { type: 'setAmount'; gen: number; order: Order }
  | { type: 'checkState' }
  | { type: 'reloadPage' }
  | { type: 'goReceipt'; url: string };

/** The machine's times, in milliseconds. */
export interface Config {
  retryDelay(n: number): number;
  watchdog(phase: 'loading' | 'rendering'): number;
  readonly stableMs: number;
}

/** Automatic retries in one episode. */
export const maxRetries = 3;

export const initial: State = {
  phase: 'idle',
  gen: 0,
  retryCount: 0,
  order: null,
  fail: null,
  readyAt: 0,
  next: 'keep',
  reason: 'start',
  rejections: 0,
  manual: 0,
  asked: false,
  clean: false,
};

export const working = (p: Phase): boolean => p === 'loading' || p === 'rendering' || p === 'retryWait';
export const terminal = (p: Phase): boolean => p === 'done' || p === 'blocked' || p === 'fatal';

/** The flags that pages ask for are derived, so that they cannot contradict each other. */
export const isRetrying = (s: State): boolean =>
  s.phase === 'retryWait' || ((s.phase === 'loading' || s.phase === 'rendering') && s.retryCount > 0);
export const hasPaymentError = (s: State): boolean => s.phase === 'failed';
export const canPay = (s: State): boolean => s.phase === 'ready';

/** "You have not been charged" may be said: nothing was asked of Toss yet, or the server has said so since. */
export const mayClaimUncharged = (s: State): boolean => !s.asked || s.clean;
