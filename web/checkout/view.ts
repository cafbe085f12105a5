// What a state looks like: label, texts and which buttons there are. All of it
// is derived, so that it cannot say something that the state does not.
import { money, type Boot, type Settings } from './boot';
import type { Snapshot } from './driver';
import { canPay, hasPaymentError, isRetrying, mayClaimUncharged, working, type Fail, type State } from './states';

export interface View {
  readonly phase: State['phase'];
  readonly retryCount: number;
  readonly isRetrying: boolean;
  readonly hasPaymentError: boolean;
  readonly canPay: boolean;
  /** Something is under way. */
  readonly busy: boolean;
  /** For the polite live region. */
  readonly status: string;
  /** For the alert; empty but in failed and fatal. */
  readonly alert: string;
  /** The status tells of a failure that the buyer can mend. */
  readonly warn: boolean;
  /** The buttons' texts; an empty one is not there. `way` leads on from a blocked checkout. */
  readonly label: string;
  readonly retry: string;
  readonly reload: string;
  readonly reopen: string;
  readonly way: string;
}

/** The view of a snapshot in the boot object's language. */
export function viewOf({ state: s, slow, stuck, lost }: Snapshot, boot: Boot, settings: Settings): View {
  const { phase, order, retryCount: n } = s;
  const fail = s.fail || ({} as Partial<Fail>);
  const data = fail.data || {};
  const amount = order && money(order.amount, boot.lang);
  const values: Record<string, unknown> = {
    ...data,
    n,
    ref: boot.cid.slice(-6).toUpperCase(), // enough to find the checkout by, not to open it with
    amount,
    a: amount,
    b: money(Number(data['amount']), boot.lang),
  };
  const t = (key: string): string => (boot.texts[key] || '').replace(/\{(\w+)\}/g, (_, name) => String(values[name] || ''));
  const only = (when: boolean | undefined, key: string): string => (when ? t(key) : '');
  const retrying = isRetrying(s);
  const claim = mayClaimUncharged(s);
  const alert = only(hasPaymentError(s), claim ? 'failed' : 'failed_plain') || only(phase === 'fatal', 'fatal');
  const blocked = phase === 'blocked';
  return {
    phase,
    retryCount: n,
    isRetrying: retrying,
    hasPaymentError: hasPaymentError(s),
    canPay: canPay(s),
    busy: working(phase) || phase === 'preparing' || phase === 'paying',
    status: alert ? '' : t(statusKey(s, fail, !!slow, claim, boot.texts)),
    alert,
    warn: canPay(s) && !!s.fail,
    label: only(!/^(blocked|fatal|done)$/.test(phase), retrying ? 'label_retrying' : labelKey(phase, settings)),
    retry: only(hasPaymentError(s), 'try_again'),
    reload: only(stuck && working(phase), 'reload'),
    reopen: only(lost && phase === 'paying', 'window_closed'),
    way: only(blocked, fail.code === 'AWAITING_DEPOSIT' ? 'pay_other' : fail.code === 'PRICE_CHANGED' ? 'see_price' : 'reload'),
  };
}

function labelKey(phase: State['phase'], settings: Settings): string {
  if (phase === 'preparing' || phase === 'paying') return 'label_' + phase;
  return settings.showAmount ? 'label_pay_amount' : 'label_pay';
}

function statusKey(s: State, { code }: Partial<Fail>, slow: boolean, claim: boolean, texts: Boot['texts']): string {
  if (isRetrying(s)) return 'retrying';
  if (s.phase === 'idle' || working(s.phase)) return slow ? 'slow' : 'loading';
  if (!code || !/^(ready|blocked)$/.test(s.phase)) return s.phase;
  if (/CANCEL(ED)?$/.test(code)) return claim ? 'USER_CANCEL' : 'cancelled_plain';
  return texts[code] ? code : 'other_error';
}
