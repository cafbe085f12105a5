// Bundles every script that hookkeeper serves. The results are committed; CI
// builds again and compares.
import { build } from 'esbuild';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Each row: where it begins, what is embedded by Go.
const bundles = [
  ['checkout/page.ts', '../toss/assets/checkout.js'],
  ['checkout/embed.ts', '../toss/assets/element.js'],
  ['sandbox/sdk.ts', '../tosstest/assets/sdk.js'],
];

for (const [entry, outfile] of bundles) {
  if (!existsSync(here(entry))) continue;
  await build({
    entryPoints: [here(entry)],
    outfile: here(outfile),
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2019',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'info',
  });
}
