// What an error means for the page. Codes of the SDK, of its loader and of our
// own server; a code that nobody listed is worth another try.
import type { Fail } from './states';

/** The buyer's own doing: the widget and the order stay as they are. */
const user = new RegExp(
  '^(USER_CANCEL|PAY_PROCESS_CANCELED|NOT_SELECTED_PAYMENT_METHOD' +
    '|NEED_(AGREEMENT_WITH_REQUIRED_TERMS|CARD_PAYMENT_DETAIL|REFUND_ACCOUNT_DETAIL)' +
    '|EXCEED_(DEPOSIT_AMOUNT_LIMIT|MAX_DUE_DATE)|UNSUPPORTED_TEST_PHASE_PAYMENT_METHOD' +
    '|CUSTOM_PAYMENT_METHOD_UNABLE_TO_PAY|PROVIDER_STATUS_UNHEALTHY)$',
);

/** No further try can help: somebody has to change a setting. */
const config = new RegExp(
  '^(INVALID_(CLIENT_KEY|CUSTOMER_KEY|VARIANT_KEY|SELECTOR|PARAMETERS?|METADATA|AMOUNT_(VALUE|CURRENCY))' +
    '|INSECURE_KEY_USAGE|NOT_(SUPPORTED_(API_INDIVIDUAL_KEY|WIDGET_KEY|PROMISE)|REGISTERED_PAYMENT_WIDGET|SETUP_AMOUNT)' +
    '|UNAUTHORIZED_KEY|BELOW_ZERO_AMOUNT|INCORRECT_(SUCCESS|FAIL)_URL_FORMAT|V1_METHOD_NOT_SUPPORTED' +
    '|WIDGETS_SDK_INITIALIZE_CONFLICT|CSP_BLOCKED|NAMESPACE_CLOBBERED|FRAMED)$',
);

/** Decided by our server: there is a text and a way on. */
const blocked = /^(SOLD_OUT|ALREADY_APPLIED|CLOSED|PRICE_CHANGED|AWAITING_DEPOSIT)$/;

/** The failure that a code stands for. */
export function failOf(code: string, data: Fail['data'] = {}): Fail {
  const kind = user.test(code) ? 'user' : config.test(code) ? 'config' : blocked.test(code) ? 'blocked' : 'transient';
  return { kind, code, data };
}

/** The failure behind anything that was thrown, by us too: the SDK's errors have a code, its loader's a name. */
export function failFrom(error: unknown): Fail {
  const e = (error || {}) as Partial<Fail> & { name?: string };
  return failOf(e.code || e.name || 'UNKNOWN', e.data);
}
