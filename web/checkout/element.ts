// <hookkeeper-checkout>: the driver in the document. It lives in the light DOM,
// for Toss finds its containers by a selector from the document.
import { fetchBoot, type Boot } from './boot';
import { createCheckout, type Checkout } from './driver';
import { pause } from './timers';
import { viewOf, type View } from './view';

export class HookkeeperCheckout extends HTMLElement {
  /** Given by a page that has it already; otherwise fetched from the attribute `src`. */
  boot: Boot | null = null;
  private _checkout: Checkout | null = null;
  private _parts: Parts | null = null;
  private _connection = 0;

  connectedCallback(): void {
    void this._start(++this._connection);
  }

  disconnectedCallback(): void {
    this._connection++;
    if (this._checkout) void this._checkout.stop();
    this._checkout = null;
  }

  private async _start(connection: number): Promise<void> {
    await null; // an element that is only being moved comes and goes in one task
    if (connection !== this._connection) return;
    const parts = (this._parts = this._parts || build(this));
    const boot = this.boot || (await this._fetch(parts));
    if (!boot || connection !== this._connection) return;
    const checkout = createCheckout({ boot: (this.boot = boot), place: parts.form });
    const show = () => this._show(viewOf(checkout.snapshot(), boot, checkout.settings), parts);
    this._checkout = checkout;
    parts.form.setAttribute('aria-label', boot.texts['form']!);
    checkout.subscribe(show);
    if (checkout.settings.nudge) nudge(parts.form);
    checkout.start();
  }

  /** The boot object from the server; the buyer can ask again when it does not come. */
  private async _fetch({ alert, retry }: Parts): Promise<Boot | null> {
    const src = this.getAttribute('src');
    if (!src) return null;
    for (let retries = 3; retries >= 0; retries--) {
      try {
        return await fetchBoot(src, this.getAttribute('return'));
      } catch {
        if (retries) await pause(1000);
      }
    }
    // There are no texts of the server's yet.
    const ko = !/^en/i.test(document.documentElement.lang);
    const again = (): void => {
      say(alert, '');
      button(retry, '');
      this.connectedCallback();
    };
    say(alert, ko ? '결제 화면을 불러오지 못했어요.' : 'We could not load the payment form.');
    button(retry, ko ? '다시 시도' : 'Try again', again);
    return null;
  }

  private _show(v: View, { status, alert, retry, pay, again, way }: Parts): void {
    const checkout = this._checkout!;
    const wasReady = 'ready' in this.dataset;
    this.dataset['phase'] = v.phase;
    this.toggleAttribute('data-warn', v.warn);
    if (v.canPay) this.dataset['ready'] = '';
    say(status, v.status);
    say(alert, v.alert);
    button(pay, v.label, checkout.pay); // whether a click counts is the state machine's to say
    // Once it could be pressed it keeps the focus: only the first load disables it.
    pay.disabled = !v.canPay && !wasReady;
    pay.setAttribute('aria-disabled', String(!v.canPay));
    pay.setAttribute('aria-busy', String(v.busy));
    button(retry, v.retry, checkout.retry);
    button(again, v.reload || v.reopen, checkout.retry);
    button(way, v.way, () => {
      const { fail } = checkout.snapshot().state;
      if (!fail || fail.code !== 'AWAITING_DEPOSIT') return location.reload();
      way.disabled = true;
      checkout.payAnotherWay().catch(() => (way.disabled = false));
    });
    this.dispatchEvent(new CustomEvent('hk-change', { bubbles: true, detail: { phase: v.phase, 'retryCount': v.retryCount } }));
  }
}

type Parts = ReturnType<typeof build>;

/** The parts in their reading order. The live region may be in the served page already, where screen readers know it. */
function build(host: HTMLElement) {
  const make = <T extends 'p' | 'div' | 'button'>(tag: T, name: string, role = ''): HTMLElementTagNameMap[T] => {
    const node = document.createElement(tag);
    node.className = name;
    if (role) node.setAttribute('role', role);
    host.append(node);
    return node;
  };
  const press = (name: string): HTMLButtonElement => {
    const node = make('button', name);
    node.type = 'button';
    node.hidden = true;
    return node;
  };
  const status = host.querySelector<HTMLElement>('[role=status]') || make('p', 'hk-status', 'status');
  status.setAttribute('aria-live', 'polite');
  return {
    status,
    alert: make('p', 'hk-alert', 'alert'),
    retry: press('hk-button hk-retry'),
    form: make('div', 'hk-form', 'group'),
    pay: press('hk-button hk-pay'),
    again: press('hk-link hk-again'),
    way: press('hk-button hk-way'),
  };
}

// Only what changed is written: a live region says each writing.
function say(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

function button(node: HTMLButtonElement, label: string, click: (() => void) | null = null): void {
  node.hidden = !label;
  node.onclick = click;
  if (label) say(node, label);
}

function nudge(form: HTMLElement): void {
  if (window.ResizeObserver) new ResizeObserver(() => (form.style.transform = form.style.transform ? '' : 'translateY(.01px)')).observe(form);
}

/** Makes the element known to the document; a repeat changes nothing. */
export function define(): void {
  if (!customElements.get('hookkeeper-checkout')) customElements.define('hookkeeper-checkout', HookkeeperCheckout);
}
