// What an error means for the page. Codes of the SDK, of its loader and of our
// own server; a code that nobody listed is worth another try.
import type { Fail, FailKind } from './states';

const user =
  'USER_CANCEL PAY_PROCESS_CANCELED NOT_SELECTED_PAYMENT_METHOD NEED_AGREEMENT_WITH_REQUIRED_TERMS ' +
  'NEED_CARD_PAYMENT_DETAIL NEED_REFUND_ACCOUNT_DETAIL EXCEED_DEPOSIT_AMOUNT_LIMIT EXCEED_MAX_DUE_DATE ' +
  'UNSUPPORTED_TEST_PHASE_PAYMENT_METHOD CUSTOM_PAYMENT_METHOD_UNABLE_TO_PAY PROVIDER_STATUS_UNHEALTHY';

const config =
  'INVALID_CLIENT_KEY INVALID_CUSTOMER_KEY INSECURE_KEY_USAGE NOT_SUPPORTED_API_INDIVIDUAL_KEY NOT_SUPPORTED_WIDGET_KEY ' +
  'UNAUTHORIZED_KEY NOT_REGISTERED_PAYMENT_WIDGET INVALID_VARIANT_KEY INVALID_SELECTOR INVALID_PARAMETER INVALID_PARAMETERS ' +
  'INVALID_METADATA INVALID_AMOUNT_VALUE INVALID_AMOUNT_CURRENCY BELOW_ZERO_AMOUNT NOT_SETUP_AMOUNT ' +
  'INCORRECT_SUCCESS_URL_FORMAT INCORRECT_FAIL_URL_FORMAT V1_METHOD_NOT_SUPPORTED WIDGETS_SDK_INITIALIZE_CONFLICT ' +
  'NOT_SUPPORTED_PROMISE CSP_BLOCKED NAMESPACE_CLOBBERED FRAMED';

const blocked = 'SOLD_OUT ALREADY_APPLIED CLOSED PRICE_CHANGED AWAITING_DEPOSIT';

const kinds = new Map<string, FailKind>();
for (const [kind, codes] of [['user', user], ['config', config], ['blocked', blocked]] as const) {
  for (const code of codes.split(' ')) kinds.set(code, kind);
}

/** The failure that a code stands for. */
export function failOf(code: string, data?: Readonly<Record<string, unknown>>): Fail {
  const kind = kinds.get(code) ?? 'transient';
  return data ? { kind, code, data } : { kind, code };
}

/** The failure behind anything that was thrown: the SDK's errors have a code, its loader's a name. */
export function failFrom(error: unknown): Fail {
  const e = (error ?? {}) as { code?: unknown; name?: unknown; fail?: Fail };
  if (e.fail) return e.fail;
  return failOf(String(e.code ?? e.name ?? 'UNKNOWN'));
}

/** An error of ours on its way to failFrom. */
export class Refusal extends Error {
  readonly fail: Fail;
  constructor(code: string, data?: Readonly<Record<string, unknown>>) {
    super(code);
    this.name = 'Refusal';
    this.fail = failOf(code, data);
  }
}
