// Two tabs of one checkout. The server's unique index is what keeps the money
// right; this only spares the buyer a second payment window. Both abilities are
// used where the browser has them.

export type Word = 'busy' | 'free' | 'paid';

export function tabs(cid: string, heard: (word: Word) => void) {
  const name = channelOf(cid);
  const { locks } = navigator as { locks?: LockManager };
  const channel = window.BroadcastChannel && new BroadcastChannel(name);
  if (channel) channel.onmessage = (e) => heard(e.data as Word);
  let release: (() => void) | null = null;

  const say = (word: Word): void => channel && channel.postMessage(word);
  const holding = (how: () => void): true => {
    release = how;
    say('busy');
    return true;
  };
  const free = (): void => {
    if (!release) return;
    release();
    release = null;
    say('free');
  };

  return {
    say,
    free,
    /** Takes the right to pay; false when another tab has it. Held until free is called or the page goes. */
    take: () =>
      new Promise<boolean>((resolve) => {
        if (!locks) return resolve(holding(() => {}));
        const held = (lock: Lock | null) => (lock ? new Promise<void>((how) => resolve(holding(how))) : resolve(false));
        return locks.request(name, { ifAvailable: true }, held).catch(() => resolve(true)); // a browser that forbids locks here still sells
      }),
    /** Calls back when no other tab pays any more; without locks the other tab's word is all there is. */
    wait(then: () => void): void {
      if (locks) locks.request(name, then).catch(() => {});
    },
    close(): void {
      free();
      if (channel) channel.close();
    },
  };
}

/** The name that the tabs of one checkout share. */
export const channelOf = (cid: string): string => 'hk-pay:' + cid;
