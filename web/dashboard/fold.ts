// Folding of laid-out JSON by its indentation. The text stays one text: folding
// only hides lines, and copying takes all of it.

const most = 5000;

interface Line {
  text: string;
  depth: number;
}

/** Gives every JSON body below a node buttons that fold its objects and lists. */
export function fold(root: ParentNode): void {
  for (const pre of root.querySelectorAll<HTMLElement>('pre[data-json]')) {
    const lines = (pre.textContent ?? '').split('\n').map((text): Line => ({ text, depth: text.length - text.trimStart().length }));
    if (lines.length < 3 || lines.length > most) continue;
    pre.replaceChildren();
    block(pre, lines, 0, lines.length);
  }
}

/** Writes lines from..to into a node, each opening bracket with its folding body. */
function block(into: Node, lines: Line[], from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const line = lines[i];
    if (!line) return;
    const newline = i === lines.length - 1 ? '' : '\n';
    let end = i + 1;
    if (/[{[]$/.test(line.text)) {
      while (end < to && (lines[end]?.depth ?? 0) > line.depth) end++;
    }
    if (end <= i + 1 || i === 0) {
      into.appendChild(document.createTextNode(line.text + newline));
      continue;
    }
    const whole = document.createElement('span');
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'fold';
    button.textContent = '▾';
    button.setAttribute('aria-expanded', 'true');
    button.setAttribute('aria-label', line.text.trim());
    const body = document.createElement('span');
    body.className = 'fold-body';
    button.addEventListener('click', () => {
      const closed = whole.classList.toggle('folded');
      button.textContent = closed ? '▸' : '▾';
      button.setAttribute('aria-expanded', String(!closed));
    });
    whole.append(document.createTextNode(line.text + ' '), button, document.createTextNode(newline), body);
    into.appendChild(whole);
    block(body, lines, i + 1, end);
    i = end - 1;
  }
}
