// The live tail: rows that the server has rendered are put on top of the list.
// It waits while somebody reads: under the pointer, with the focus inside, with a
// selection, or scrolled down; what has come meanwhile is counted and shown after.
import { times } from './time';

const most = 200;

/** Follows the event log where the page asks for it. */
export function tail(): void {
  const status = document.getElementById('tail');
  const rows = document.getElementById('rows');
  const url = status?.dataset.tail;
  if (!status || !rows || !url) return;
  const words = status.dataset;
  const waiting: string[] = [];
  let hovered = false;
  let live = false;
  rows.addEventListener('pointerenter', () => ((hovered = true), say()));
  rows.addEventListener('pointerleave', () => ((hovered = false), show()));
  document.addEventListener('selectionchange', () => show());
  document.addEventListener('focusout', () => setTimeout(show));
  document.addEventListener('scroll', () => show(), { passive: true });

  const held = () => {
    const selection = document.getSelection();
    const selected = !!selection && !selection.isCollapsed && rows.contains(selection.anchorNode);
    return hovered || selected || rows.contains(document.activeElement) || scrollY > 200;
  };

  function say(): void {
    const text = !live ? words.again : held() ? words.paused : words.live;
    const fresh = waiting.length ? ' · ' + (words.new ?? '').replace('%d', String(waiting.length)) : '';
    if (status!.textContent !== text + fresh) status!.textContent = text + fresh;
  }

  function show(): void {
    while (waiting.length && !held()) {
      const table = document.createElement('table');
      const body = document.createElement('tbody');
      table.append(body);
      // Rendered and escaped by the server, as the rows of the page are.
      body.innerHTML = waiting.shift() ?? '';
      const row = body.querySelector('tr');
      if (!row || rows!.querySelector(`tr[data-id="${CSS.escape(row.dataset.id ?? '')}"]`)) continue;
      times(body);
      rows!.prepend(row);
      while (rows!.children.length > most) rows!.lastElementChild?.remove();
    }
    say();
  }

  const stream = new EventSource(url);
  stream.addEventListener('open', () => ((live = true), say()));
  stream.addEventListener('error', () => ((live = false), say()));
  stream.addEventListener('message', (event) => {
    waiting.push(String(event.data));
    if (waiting.length > most) waiting.shift();
    show();
  });
  addEventListener('pagehide', () => stream.close());
}
