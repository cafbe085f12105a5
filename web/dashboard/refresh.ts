// A part of a page that is looked at anew while something is going on, such as
// the progress of a bulk replay. Whoever works in it is not disturbed.

/** Looks again, as often as the page says. */
export function refresh(): void {
  const part = document.querySelector<HTMLElement>('[data-refresh]');
  if (!part) return;
  const every = Number(part.dataset.refresh);
  const look = async (): Promise<void> => {
    if (document.visibilityState === 'visible' && !part.contains(document.activeElement)) {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' } }).catch(() => null);
      if (!answer?.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(part.id);
      if (!fresh) return;
      part.replaceChildren(...fresh.childNodes);
      if (!fresh.dataset.refresh) return location.reload();
    }
    setTimeout(look, every);
  };
  setTimeout(look, every);
}
