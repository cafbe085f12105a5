// Toss's script: loading it, loading it again, and escaping one that hangs.
import { clearTossPayments, loadTossPayments, type TossPaymentsSDK } from '@tosspayments/tosspayments-sdk';
import { failOf } from './fails';
import type { ScriptMode } from './states';

/** The URL for an attempt after a hang. It must be new to this document, for the browser joins a second request of the same URL to the hung one. */
export type FreshUrl = (src: string, gen: number, nonce: string) => string;

const withQuery: FreshUrl = (src, gen, nonce) => src + (/\?/.test(src) ? '&' : '?') + 'hk=' + gen + '-' + nonce;

/**
 * A way to get the SDK. The promise is pending for as long as the network hangs:
 * the caller has a watchdog. It rejects with the loader's own errors, or with
 * CSP_BLOCKED and NAMESPACE_CLOBBERED, which no further try can mend.
 */
export function script(src: string, nonce: string, fresh: FreshUrl = withQuery) {
  let url = src;
  let refused = '';
  // Chromium names the reason only here; the script's own error event says nothing.
  document.addEventListener('securitypolicyviolation', (e) => {
    if (e.disposition !== 'report' && /^script-src/.test(e.effectiveDirective)) refused = e.blockedURI;
  });

  return async (clientKey: string, mode: ScriptMode, gen: number): Promise<TossPaymentsSDK> => {
    if (mode !== 'keep') clearTossPayments();
    if (mode === 'freshUrl') url = fresh(src, gen, nonce);
    const present = (window as { TossPayments?: unknown }).TossPayments;
    if (present && typeof present !== 'function') throw failOf('NAMESPACE_CLOBBERED');
    refused = '';
    const sdk = await loadTossPayments(clientKey, { src: url }).catch((error) => {
      throw refused && url.startsWith(refused) ? failOf('CSP_BLOCKED') : error;
    });
    // The v1 script uses the same global; loading ours over it works.
    if (typeof sdk.widgets !== 'function') throw failOf('NamespaceNotAvailableError');
    return sdk;
  };
}
