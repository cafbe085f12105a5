// What the operators' pages do in a browser beyond what they do without a script.
// Each part stands alone: where one cannot work, the page stays as it was.
import { fold } from './fold';
import { keys } from './keys';
import { refresh } from './refresh';
import { tail } from './tail';
import { times } from './time';

const parts: (() => void)[] = [login, copies, () => times(document), () => fold(document), keys, tail, refresh];
for (const part of parts) {
  try {
    part();
  } catch (error) {
    console.error(error);
  }
}

/** A link that logs in once is meant to need no second click. */
function login(): void {
  document.querySelector<HTMLFormElement>('form[data-go]')?.requestSubmit();
}

/** Buttons that copy a text appear only where they work. */
function copies(): void {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll<HTMLButtonElement>('button[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      const text = document.getElementById(button.dataset.copy ?? '')?.textContent ?? '';
      await navigator.clipboard.writeText(text);
      const was = button.textContent;
      button.textContent = document.body.dataset.copied ?? was;
      setTimeout(() => (button.textContent = was), 1500);
    });
  }
}
