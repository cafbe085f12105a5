// Times in the browser's own zone, where the operator chose that.

const two = (n: number) => String(n).padStart(2, '0');

/** Rewrites every time below a node that may be written in the browser's zone. */
export function times(root: ParentNode): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>('time[data-local]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-');
    time.textContent = day + ' ' + [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  }
  const zone = root.querySelector('[data-zone]');
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}
