// The calls to our own server. Every refusal becomes a Fail; what never came
// back becomes one too.
import { fetchBoot, type Boot } from './boot';
import { failOf } from './fails';
import type { Order, Reason } from './states';

type Said = Readonly<Record<string, unknown>>;
export type Api = ReturnType<typeof connect>;

/** The calls of one checkout. The nonce is one per document, so that a repeated attempt number is no repeated key. */
export function connect(boot: Boot, nonce: string) {
  const base = new URL(boot.base, location.href).href;
  let { token } = boot;

  /** Answers what the server said, or throws a Fail: with the server's code where it decided, else with `lost`. */
  async function call(path: string, lost: string, body?: object, signal?: AbortSignal | null, key?: string, renewed = false): Promise<Said> {
    const headers: Record<string, string> = {};
    const init: RequestInit = { headers, cache: 'no-store', credentials: token ? 'omit' : 'same-origin', signal: signal || null };
    if (token) headers['Hookkeeper-Checkout-Token'] = token;
    if (key) headers['Idempotency-Key'] = key;
    if (body) {
      headers['Content-Type'] = 'application/json';
      init.method = 'POST';
      init.body = JSON.stringify(body);
      init.keepalive = !lost; // only the telemetry may outlive the page
    }
    let answer: Response;
    let said: Said;
    try {
      answer = await fetch(base + path, init);
      said = answer.status === 204 ? {} : await answer.json();
    } catch {
      throw failOf(lost);
    }
    const { ok, status } = answer;
    if (ok) return said;
    if (status === 403 && token && !renewed) {
      token = (await fetchBoot(base)).token; // it lives an hour
      return call(path, lost, body, signal, key, true);
    }
    throw failOf(status < 500 && status !== 429 && said['code'] ? String(said['code']) : lost, said);
  }

  return {
    /** The absolute URL of one of this checkout's pages. */
    url: (path: string): string => base + path,

    /** A new order in place of the one named. A repeat of the same attempt finds the same order. */
    order: async (gen: number, supersedes: string | null, reason: Reason, signal: AbortSignal | null): Promise<Order> =>
      orderOf(await call('/orders', 'ORDER_FAILED', { supersedes, reason, gen }, signal, [boot.cid, gen, nonce].join(':'))),

    /** Checks the order and holds its seat. */
    async prepare(order: Order, ms: number): Promise<Order> {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), ms);
      return orderOf({ ...order, ...(await call('/orders/' + order.orderId + '/prepare', 'PREPARE_FAILED', {}, abort.signal)) });
    },

    /** How the checkout as a whole stands: `{status, receiptUrl?}`. */
    state: (): Promise<Said> => call('/state', 'STATE_FAILED'),

    /** Tells the operator of a failure; whether that succeeds matters to nobody here. */
    report(gen: number, phase: string, code: string, ms: number): void {
      call('/telemetry', '', { gen, phase, code, ms }).catch(() => {});
    },
  };
}

function orderOf(said: Said): Order {
  if (!said['orderId']) throw failOf('ORDER_FAILED');
  return said as unknown as Order;
}
