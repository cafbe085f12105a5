// Bundles every script that hookkeeper serves. The results are committed; CI
// builds again and compares. With an argument, bundles below that folder instead.
import { build } from 'esbuild';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Names of the checkout that never leave a bundle: no JSON, no document and no SDK
// has a property of that name. The browser tests run what comes out.
const inside =
  /^(_.*|readyAt|rejections|manual|clean|stuck|lost|ordered|loaded|cleared|checked|isRetrying|hasPaymentError|canPay|retryCount|busy|warn|reopen|script|snapshot|settings|subscribe|payAnotherWay|place|due|fire|kind|take|wait|say|state|alert|way|load|next|stableMs)$/;

// Each row: where it begins, what is embedded by Go, which names may be shortened.
const bundles = [
  ['checkout/page.ts', '../toss/assets/checkout.js', inside],
  ['checkout/embed.ts', '../toss/assets/element.js', inside],
  ['checkout/receipt.ts', '../toss/assets/receipt.js'],
  ['sandbox/sdk.ts', '../tosstest/assets/sdk.js'],
  ['dashboard/page.ts', '../internal/dashboard/assets/dashboard.js'],
];

for (const [entry, outfile, mangleProps] of bundles) {
  if (!existsSync(here(entry))) continue;
  await build({
    entryPoints: [here(entry)],
    outfile: process.argv[2] ? join(process.argv[2], outfile.slice(3)) : here(outfile),
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2019',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
    ...(mangleProps ? { mangleProps } : {}),
  });
}
