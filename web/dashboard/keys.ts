// Keys for people who live in lists: / searches, j and k move, Enter opens, r
// replays, g and a letter go to a page, ? tells. They can be switched off in the
// settings, and never act while something is being typed.

const places: Record<string, string> = { o: './', e: 'events', d: 'dead', m: 'metrics', q: 'jobs', r: 'rejected', s: 'sources', h: 'handlers', a: 'audit' };

/** Listens for keys where the page allows it. */
export function keys(): void {
  if (!('keys' in document.body.dataset)) return;
  let going = 0;
  document.addEventListener('keydown', (event) => {
    const at = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (at.closest('input, select, textarea, dialog') || at.isContentEditable) return;
    const root = document.body.dataset.root ?? '';
    const place = places[event.key];
    if (Date.now() - going < 1200 && place !== undefined) {
      event.preventDefault();
      location.assign(root + place);
      return;
    }
    going = event.key === 'g' ? Date.now() : 0;
    switch (event.key) {
      case '/':
        event.preventDefault();
        document.getElementById('q')?.focus();
        break;
      case 'j':
        move(1);
        break;
      case 'k':
        move(-1);
        break;
      case 'r':
        document.querySelector<HTMLAnchorElement>('a[data-key=r]')?.click();
        break;
      case '?':
        help();
        break;
    }
  });
}

/** Moves the focus to the link of the next row: Enter then opens it by itself. */
function move(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('table.list tbody tr')].filter((row) => row.querySelector('a.main'));
  const was = rows.findIndex((row) => row.classList.contains('at'));
  const now = rows[Math.max(0, Math.min(rows.length - 1, was + by))];
  if (!now) return;
  if (was >= 0) rows[was]?.classList.remove('at');
  now.classList.add('at');
  now.querySelector<HTMLAnchorElement>('a.main')?.focus();
}

function help(): void {
  const dialog = document.createElement('dialog');
  const text = document.querySelector('.keys')?.textContent ?? '';
  const list = document.createElement('ul');
  const labels = [...document.querySelectorAll<HTMLAnchorElement>('.top nav a')];
  const pages = Object.entries(places).map(([key, place]) => {
    const link = labels.find((a) => a.getAttribute('href') === (document.body.dataset.root ?? '') + place);
    return link ? 'g ' + key + ' ' + link.textContent : '';
  });
  for (const line of [...text.split(' · '), ...pages.filter(Boolean)]) {
    const item = document.createElement('li');
    item.textContent = line;
    list.append(item);
  }
  const close = document.createElement('button');
  close.textContent = '×';
  close.setAttribute('aria-label', 'OK');
  close.addEventListener('click', () => dialog.close());
  dialog.setAttribute('aria-label', '?');
  dialog.addEventListener('close', () => dialog.remove());
  dialog.append(list, close);
  document.body.append(dialog);
  dialog.showModal();
}
