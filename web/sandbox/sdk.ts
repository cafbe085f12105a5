// Stands in for https://js.tosspayments.com/v2/standard. The classes implement
// the published types, so that a change of the real surface fails the compiler.
import type {
  TossPaymentsSDK,
  TossPaymentsWidgets,
  WidgetAgreementStatus,
  WidgetAgreementWidget,
  WidgetPaymentMethodWidget,
  WidgetSelectedPaymentMethod,
} from '@tosspayments/tosspayments-sdk';
import { ANONYMOUS } from '@tosspayments/tosspayments-sdk';

// What this script and the simulator have in common with the page's window.
interface Shared {
  TossPayments?: ((clientKey: string) => TossPaymentsSDK) & { ANONYMOUS: string };
  __hkThrowOnInit?: string;
}

const shared = window as unknown as Shared;

type Amount = Parameters<TossPaymentsWidgets['setAmount']>[0];
type RenderParams = Parameters<TossPaymentsWidgets['renderPaymentMethods']>[0];
type PaymentRequest = Parameters<TossPaymentsWidgets['requestPayment']>[0];

interface Verdict {
  action: string;
  code?: string;
  message?: string;
  ms?: number;
  hang?: string;
}

// The simulator is where this script came from.
const origin = new URL((document.currentScript as HTMLScriptElement).src).origin;
const throwOnInit = shared.__hkThrowOnInit;
delete shared.__hkThrowOnInit;

// One payment UI and one agreement UI per document, forgotten when the script is
// loaded again.
const rendered = { methods: false, agreement: false };
let serial = 0;

class TossError extends Error {
  readonly code: string;

  constructor(code: string, message?: string) {
    super(message || `sandbox: ${code}`);
    this.name = code;
    this.code = code;
  }
}

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

async function post(path: string, body: unknown): Promise<Response> {
  try {
    return await fetch(origin + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    throw new TossError('UNKNOWN', 'sandbox: the simulator does not answer');
  }
}

// ask lets the simulator decide what happens to an operation. It throws where
// the operation is to fail and does not return while it is to hang.
async function ask(op: string, body: unknown = {}): Promise<Verdict> {
  const verdict = (await (await post(`/sdk/ops/${op}`, body)).json()) as Verdict;
  if (verdict.ms) await wait(verdict.ms);
  if (verdict.action === 'reject') throw new TossError(verdict.code ?? 'UNKNOWN', verdict.message);
  if (verdict.action === 'throwPlain') throw new Error('sandbox: an error without a code');
  if (verdict.hang) {
    let hangs = true;
    while (hangs) {
      await wait(200);
      hangs = ((await (await post(`/sdk/hung/${verdict.hang}`, {})).json()) as { hangs: boolean }).hangs;
    }
  }
  return verdict;
}

interface Told {
  hk: string;
  id: string;
  value?: unknown;
}

// Frame is one of the two iframes, which come from the simulator's origin.
class Frame {
  private readonly element = document.createElement('iframe');
  private readonly id = `hk-${++serial}`;
  private readonly listener: (event: MessageEvent) => void;
  private ready: () => void = () => {};

  constructor(kind: 'methods' | 'agreement', told: (what: string, value: unknown) => void) {
    const query = new URLSearchParams({ k: kind, id: this.id, parent: location.origin });
    const lang = document.documentElement.lang.slice(0, 2);
    if (lang === 'ko' || lang === 'en') query.set('lang', lang);
    this.element.src = `${origin}/sdk/frame?${query}`;
    this.element.title = kind === 'methods' ? 'Toss Payments' : 'Toss Payments 약관';
    this.element.style.cssText = `border:0;width:100%;height:${kind === 'methods' ? 220 : 60}px`;
    this.listener = (event) => {
      const data = event.data as Told | null;
      if (event.origin !== origin || event.source !== this.element.contentWindow || data?.id !== this.id) return;
      told(data.hk, data.value);
      if (data.hk === 'ready') this.ready();
    };
  }

  // show resolves when the frame's content says that it is ready.
  show(parent: Element, missing: boolean): Promise<void> {
    if (missing) this.element.src += '&missing=1';
    return new Promise((done) => {
      this.ready = done;
      addEventListener('message', this.listener);
      parent.append(this.element);
    });
  }

  remove(): void {
    removeEventListener('message', this.listener);
    this.element.remove();
  }
}

function subscribe<T>(event: string, want: string, callback: (value: T) => void, into: ((value: T) => void)[]): void {
  if (event !== want || typeof callback !== 'function') throw new TossError('INVALID_PARAMETER');
  into.push(callback);
}

// render is what both UIs have in common. It returns how to take it away again.
async function render(
  kind: 'methods' | 'agreement',
  params: RenderParams,
  told: (what: string, value: unknown) => void,
): Promise<() => Promise<void>> {
  const op = kind === 'methods' ? 'renderPaymentMethods' : 'renderAgreement';
  const where = find(params);
  if (rendered[kind]) {
    throw new TossError(kind === 'methods' ? 'PAYMENT_METHODS_WIDGET_ALREADY_RENDERED' : 'AGREEMENT_WIDGET_ALREADY_RENDERED');
  }
  rendered[kind] = true;
  try {
    const verdict = await ask(op);
    if (verdict.action === 'stickyRendered') {
      throw Object.assign(new TossError(verdict.code ?? 'UNKNOWN', verdict.message), { sticky: true });
    }
    const frame = new Frame(kind, told);
    await frame.show(where, verdict.action === 'frame404');
    let gone = false;
    return async () => {
      await ask('destroy');
      if (gone) return;
      gone = true;
      frame.remove();
      rendered[kind] = false;
    };
  } catch (error) {
    if (!(error as { sticky?: boolean }).sticky) rendered[kind] = false;
    throw error;
  }
}

function find(params: RenderParams): Element {
  let found: Element | null = null;
  try {
    found = document.querySelector(params.selector);
  } catch {
    // Not a selector at all.
  }
  if (!found) throw new TossError('INVALID_SELECTOR');
  return found;
}

function hasOrigin(url: unknown): boolean {
  return typeof url === 'string' && /^https?:\/\/[^/]+/.test(url);
}

// checkRequest refuses what the real one refuses before its window opens.
function checkRequest(request: PaymentRequest): void {
  if (!request || typeof request.orderId !== 'string' || typeof request.orderName !== 'string') {
    throw new TossError('INVALID_PARAMETERS');
  }
  const { successUrl, failUrl } = request as { successUrl?: unknown; failUrl?: unknown };
  if (successUrl === undefined && failUrl === undefined) {
    throw new TossError('NOT_SUPPORTED_PROMISE', 'sandbox: only the redirect form is simulated: give successUrl and failUrl');
  }
  if (!hasOrigin(successUrl)) throw new TossError('INCORRECT_SUCCESS_URL_FORMAT');
  if (!hasOrigin(failUrl)) throw new TossError('INCORRECT_FAIL_URL_FORMAT');
  const metadata = Object.entries(request.metadata ?? {});
  if (metadata.length > 5 || metadata.some(([k, v]) => k.length > 40 || /[[\]]/.test(k) || String(v).length > 2000)) {
    throw new TossError('INVALID_METADATA');
  }
}

function notSimulated(what: string): never {
  throw new TossError('NOT_SIMULATED', `sandbox: ${what} is not simulated`);
}

class Widgets implements TossPaymentsWidgets {
  private amount: Amount | undefined;
  private method: WidgetSelectedPaymentMethod = { code: 'CARD' };
  private agreed = true;
  private hasMethods = false;
  private hasAgreement = false;
  private requesting = false;

  constructor(private readonly customerKey: string) {}

  async setAmount(amount: Amount): Promise<void> {
    if (!amount || typeof amount !== 'object') throw new TossError('INVALID_PARAMETERS');
    if (typeof amount.value !== 'number' || !(amount.value >= 0)) throw new TossError('INVALID_AMOUNT_VALUE');
    if (amount.currency !== 'KRW' && amount.currency !== 'USD') throw new TossError('INVALID_AMOUNT_CURRENCY');
    await ask('setAmount');
    this.amount = { ...amount };
  }

  async renderPaymentMethods(params: RenderParams): Promise<WidgetPaymentMethodWidget> {
    if (!this.amount) throw new TossError('NOT_SETUP_AMOUNT');
    const callbacks: ((method: WidgetSelectedPaymentMethod) => void)[] = [];
    const remove = await render('methods', params, (what, value) => {
      if (what === 'ready') this.method = { code: 'CARD' };
      if (what !== 'method') return;
      this.method = { code: String(value) };
      for (const callback of callbacks) callback(this.method);
    });
    this.hasMethods = true;
    return {
      on: (event, callback) => subscribe(event, 'paymentMethodSelect', callback, callbacks),
      getSelectedPaymentMethod: async () => this.method,
      destroy: async () => {
        await remove();
        this.hasMethods = false;
      },
    };
  }

  async renderAgreement(params: RenderParams): Promise<WidgetAgreementWidget> {
    const callbacks: ((status: WidgetAgreementStatus) => void)[] = [];
    const remove = await render('agreement', params, (what, value) => {
      this.agreed = value === true;
      if (what !== 'agreement') return;
      const agreements = [{ term: { id: 'sandbox-terms', required: true }, agreed: this.agreed }];
      for (const callback of callbacks) callback({ agreedRequiredTerms: this.agreed, agreements });
    });
    this.hasAgreement = true;
    return {
      on: (event, callback) => subscribe(event, 'agreementStatusChange', callback, callbacks),
      destroy: async () => {
        await remove();
        this.hasAgreement = false;
      },
    };
  }

  async requestPayment(request: PaymentRequest): Promise<never> {
    if (this.requesting) throw new TossError('INVALID_METHOD_TRANSACTION');
    if (!this.amount || !this.hasMethods) throw new TossError('NOT_SELECTED_PAYMENT_METHOD');
    if (this.hasAgreement && !this.agreed) throw new TossError('NEED_AGREEMENT_WITH_REQUIRED_TERMS');
    checkRequest(request);
    this.requesting = true;
    try {
      const verdict = await ask('requestPayment', { orderId: request.orderId });
      if (verdict.action === 'resolveNoNav') return undefined as never;
      return await this.leave(request);
    } finally {
      this.requesting = false;
    }
  }

  // leave opens the payment window in place of the page and never returns,
  // unless the simulator refuses the order.
  private async leave(request: PaymentRequest): Promise<never> {
    const answer = await post('/sdk/payments', {
      orderId: request.orderId,
      orderName: request.orderName,
      amount: this.amount,
      successUrl: request.successUrl,
      failUrl: request.failUrl,
      method: this.method.code,
      customerKey: this.customerKey,
      ...(request.metadata ? { metadata: request.metadata } : {}),
    });
    const said = (await answer.json()) as { url?: string; code?: string; message?: string };
    if (!said.url) throw new TossError(said.code ?? 'UNKNOWN', said.message);
    location.assign(origin + said.url);
    return new Promise<never>(() => {});
  }

  async renderPaymentWindow(): Promise<never> {
    return notSimulated('renderPaymentWindow');
  }

  async requestPaymentWindow(): Promise<never> {
    return notSimulated('requestPaymentWindow');
  }
}

function checkCustomer(customerKey: unknown): string {
  if (typeof customerKey !== 'string') throw new TossError('INVALID_CUSTOMER_KEY');
  if (/^(test|live)_g?sk_/.test(customerKey)) throw new TossError('INSECURE_KEY_USAGE');
  if (customerKey !== ANONYMOUS && !/^[A-Za-z0-9\-_=.@]{2,50}$/.test(customerKey)) {
    throw new TossError('INVALID_CUSTOMER_KEY');
  }
  return customerKey;
}

const construct = (clientKey: string): TossPaymentsSDK => {
  if (throwOnInit) throw new TossError(throwOnInit);
  if (typeof clientKey !== 'string' || !/^(test|live)_g?ck_\w+$/.test(clientKey)) throw new TossError('INVALID_CLIENT_KEY');
  return {
    widgets: (params) => {
      if (/^(test|live)_ck_/.test(clientKey)) throw new TossError('NOT_SUPPORTED_API_INDIVIDUAL_KEY');
      return new Widgets(checkCustomer(params?.customerKey));
    },
    payment: () => notSimulated('payment'),
    brandpay: () => notSimulated('brandpay'),
  };
};

shared.TossPayments = Object.assign(construct, { ANONYMOUS });
