// What the server hands to the page before it starts, and how a page on another
// site fetches it.
import type { Config, Order } from './states';

/** Times in milliseconds and switches of one page; what is missing has its default. */
export interface Settings {
  readonly retryDelay: number;
  readonly jitter: number;
  readonly watchdogLoading: number;
  readonly watchdogRendering: number;
  readonly stable: number;
  readonly slow: number;
  readonly reload: number;
  readonly prepare: number;
  readonly window: number;
  readonly destroy: number;
  readonly stale: number;
  /** The amount stands on the button. */
  readonly showAmount: boolean;
  /** Moves the form by a hair when a frame in it grows, for browsers whose taps then miss. */
  readonly nudge: boolean;
  readonly methodsVariant: string;
  readonly agreementVariant: string;
  /** How a hung script is escaped: by another URL, or by loading the page again where a server of scripts minds the query. */
  readonly escape: 'query' | 'page';
}

export const defaults: Settings = {
  retryDelay: 1000,
  jitter: 250,
  watchdogLoading: 8000,
  watchdogRendering: 10000,
  stable: 10000,
  slow: 3000,
  reload: 8000,
  prepare: 8000,
  window: 15000,
  destroy: 1000,
  stale: 25 * 60000,
  showAmount: false,
  nudge: false,
  methodsVariant: '',
  agreementVariant: 'AGREEMENT',
  escape: 'query',
};

/** The boot object: one checkout, its first order, the texts of one language. */
export interface Boot {
  readonly cid: string;
  readonly base: string;
  readonly clientKey: string;
  readonly src: string;
  readonly orderName: string;
  readonly customerKey: string | null;
  readonly lang: string;
  readonly order: Order | null;
  readonly fail: ({ readonly code: string } & Readonly<Record<string, unknown>>) | null;
  readonly texts: Readonly<Record<string, string>>;
  readonly cfg: Partial<Settings>;
  readonly token: string;
  /** An order of this checkout went to Toss before, so "not charged" must be asked for. */
  readonly asked?: boolean;
}

/** The machine's configuration. The jitter spares our own server when Toss's is down for everybody at once. */
export function configOf(s: Settings): Config {
  return {
    retryDelay: () => s.retryDelay + Math.random() * s.jitter,
    watchdog: (phase) => (phase === 'loading' ? s.watchdogLoading : s.watchdogRendering),
    stableMs: s.stable,
  };
}

/**
 * Fetches the boot object of a checkout for a page on another site. `returnUrl`
 * is where the buyer goes after the payment; the server knows which are allowed.
 * Rejects when the origin or the return URL is not.
 */
export async function fetchBoot(checkoutUrl: string, returnUrl?: string | null): Promise<Boot> {
  const url = new URL(checkoutUrl.replace(/\/$/, '') + '/boot', location.href);
  if (returnUrl) url.searchParams.set('return', returnUrl);
  url.searchParams.set('lang', /^en/i.test(document.documentElement.lang) ? 'en' : 'ko');
  const answer = await fetch(url.href, { credentials: 'omit' });
  if (!answer.ok) throw new Error('hookkeeper: this page may not show the checkout: ' + answer.status);
  return (await answer.json()) as Boot;
}

/** An amount as people write it: 15,000원, ₩15,000. */
export function money(amount: number, lang: string): string {
  const n = String(amount).replace(/\B(?=(\d{3})+$)/g, ',');
  return lang === 'en' ? '₩' + n : n + '원';
}
