// The checkout as a React hook. The driver lives outside of React's renders: an
// effect that runs twice, as in StrictMode, stops the first one before the second
// one touches the document, and issues no order.
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import type { Boot } from '../boot';
import { createCheckout, type Checkout } from '../driver';
import { viewOf, type View } from '../view';

export { fetchBoot } from '../boot';
export type { Boot, View };

export interface TossCheckout {
  /** What to show; null until there is a boot object and a place. */
  readonly view: View | null;
  /** The ref of the element that Toss's widgets go into. It must stay mounted. */
  readonly form: (node: HTMLElement | null) => void;
  pay(): void;
  retry(): void;
  payAnotherWay(): Promise<void>;
}

/** One checkout for the boot object that fetchBoot gave; null while there is none. */
export function useTossCheckout(boot: Boot | null): TossCheckout {
  const [place, form] = useState<HTMLElement | null>(null);
  const [checkout, setCheckout] = useState<Checkout | null>(null);

  useEffect(() => {
    if (!boot || !place) return;
    const mine = createCheckout({ boot, place });
    setCheckout(mine);
    mine.start();
    return () => {
      setCheckout(null);
      void mine.stop();
    };
  }, [boot, place]);

  const store = useMemo(
    () => ({
      subscribe: (changed: () => void) => (checkout ? checkout.subscribe(changed) : () => {}),
      snapshot: () => (checkout ? checkout.snapshot() : null),
    }),
    [checkout],
  );
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot, () => null);

  return {
    view: useMemo(() => (checkout && snapshot && boot ? viewOf(snapshot, boot, checkout.settings) : null), [checkout, snapshot, boot]),
    form,
    pay: () => checkout?.pay(),
    retry: () => checkout?.retry(),
    payAnotherWay: async () => checkout?.payAnotherWay(),
  };
}
