// Importing this makes <hookkeeper-checkout> known to the document.
import { define, HookkeeperCheckout } from '../element';

if (typeof customElements !== 'undefined') define();

export { define, HookkeeperCheckout };

declare global {
  interface HTMLElementTagNameMap {
    'hookkeeper-checkout': HookkeeperCheckout;
  }
}
