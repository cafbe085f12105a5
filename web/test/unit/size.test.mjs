// What the buyer's phone has to fetch before the form can come: Toss's loader, the
// state machine, the driver and the element in one script.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const size = (name) => statSync(fileURLToPath(new URL('../../../toss/assets/' + name, import.meta.url))).size;

for (const name of ['checkout.js', 'element.js']) {
  test(name + ' is at most 20 kB', () => {
    assert.ok(size(name) <= 20000, `${size(name)} bytes`);
    assert.ok(size(name) > 10000, 'it cannot be all there');
  });
}
