// The script of the pages after the payment: it waits for an outcome, and tells the
// other tabs of it. Without it the page asks by itself, more slowly.
import { channelOf } from './tabs';

const pause = 2000;
const patience = 60000;

/** Asks every two seconds, for a minute, and loads the page again when there is news. */
function watch(main: HTMLElement): void {
  const { hkPoll, hkStatus, hkCid } = main.dataset;
  if (hkCid && window.BroadcastChannel) new BroadcastChannel(channelOf(hkCid)).postMessage('paid');
  if (!hkPoll) return;
  const until = Date.now() + patience;
  const ask = async (): Promise<void> => {
    try {
      const answer = await fetch(hkPoll, { cache: 'no-store', credentials: 'same-origin' });
      if (answer.ok && (await answer.json()).status !== hkStatus) return location.reload();
    } catch {
      // the next one may come through
    }
    if (Date.now() < until) setTimeout(ask, pause);
  };
  setTimeout(ask, pause);
}

const main = document.querySelector('main');
if (main) watch(main);
