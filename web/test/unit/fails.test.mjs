// What each error code means for the page, code by code.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './bundle.mjs';

const { failFrom, failOf } = await load('fails.ts');

const table = {
  user:
    'USER_CANCEL PAY_PROCESS_CANCELED NOT_SELECTED_PAYMENT_METHOD NEED_AGREEMENT_WITH_REQUIRED_TERMS NEED_CARD_PAYMENT_DETAIL ' +
    'NEED_REFUND_ACCOUNT_DETAIL EXCEED_DEPOSIT_AMOUNT_LIMIT EXCEED_MAX_DUE_DATE UNSUPPORTED_TEST_PHASE_PAYMENT_METHOD ' +
    'CUSTOM_PAYMENT_METHOD_UNABLE_TO_PAY PROVIDER_STATUS_UNHEALTHY',
  config:
    'INVALID_CLIENT_KEY INVALID_CUSTOMER_KEY INSECURE_KEY_USAGE NOT_SUPPORTED_API_INDIVIDUAL_KEY NOT_SUPPORTED_WIDGET_KEY ' +
    'UNAUTHORIZED_KEY NOT_REGISTERED_PAYMENT_WIDGET INVALID_VARIANT_KEY INVALID_SELECTOR INVALID_PARAMETER INVALID_PARAMETERS ' +
    'INVALID_METADATA INVALID_AMOUNT_VALUE INVALID_AMOUNT_CURRENCY BELOW_ZERO_AMOUNT NOT_SETUP_AMOUNT INCORRECT_SUCCESS_URL_FORMAT ' +
    'INCORRECT_FAIL_URL_FORMAT V1_METHOD_NOT_SUPPORTED WIDGETS_SDK_INITIALIZE_CONFLICT NOT_SUPPORTED_PROMISE CSP_BLOCKED NAMESPACE_CLOBBERED',
  blocked: 'SOLD_OUT ALREADY_APPLIED CLOSED PRICE_CHANGED AWAITING_DEPOSIT',
  transient:
    'ScriptLoadFailedError NamespaceNotAvailableError WATCHDOG_TIMEOUT UNKNOWN PAYMENT_METHODS_WIDGET_ALREADY_RENDERED ' +
    'AGREEMENT_WIDGET_ALREADY_RENDERED INVALID_METHOD_TRANSACTION Error TypeError INVALID_SOMETHING_NEW',
};

for (const [kind, codes] of Object.entries(table)) {
  test('codes that are ' + kind, () => {
    for (const code of codes.split(' ')) assert.equal(failOf(code).kind, kind, code);
  });
}

test('whatever is thrown has a code', () => {
  const named = Object.assign(new Error('x'), { name: 'ScriptLoadFailedError' });
  const coded = Object.assign(new Error('x'), { code: 'USER_CANCEL' });
  assert.deepEqual([named, coded, new Error('x'), undefined, null, 'text', {}].map((e) => failFrom(e).code), [
    'ScriptLoadFailedError', 'USER_CANCEL', 'Error', 'UNKNOWN', 'UNKNOWN', 'UNKNOWN', 'UNKNOWN',
  ]);
});

test('what the server said beside its code is kept', () => {
  assert.deepEqual(failFrom(failOf('PRICE_CHANGED', { amount: 1 })), { kind: 'blocked', code: 'PRICE_CHANGED', data: { amount: 1 } });
});
