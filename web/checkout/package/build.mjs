// Builds @hookkeeper/toss-checkout into checkout/package/dist, or into the folder
// given. Nothing of it is committed; publishing is the owner's act.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const dist = process.argv[2] || here('dist');

rmSync(dist, { recursive: true, force: true });
await build({
  entryPoints: ['index.ts', 'element.ts', 'react.ts'].map(here),
  outdir: dist,
  bundle: true,
  splitting: true, // one core for all three
  format: 'esm',
  target: 'es2019',
  charset: 'utf8',
  external: ['@tosspayments/tosspayments-sdk', 'react'],
  logLevel: 'warning',
});
const tsc = here('../../node_modules/.bin/tsc');
const flags = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--rootDir', here('..'), '--outDir', dist];
const sources = ['index.ts', 'element.ts', 'react.ts'].map(here);
const shape = ['--target', 'es2019', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2019,dom,dom.iterable', '--strict', '--skipLibCheck'];
execFileSync(tsc, [...flags, ...shape, '--ignoreConfig', ...sources], { stdio: 'inherit' });
// Node's own resolution wants the ending that the compiler leaves out.
for (const name of readdirSync(dist, { recursive: true })) {
  if (!name.endsWith('.d.ts')) continue;
  const path = join(dist, name);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/(from '\.\.?\/[^']+)'/g, "$1.js'"));
}
copyFileSync(here('../../../toss/assets/checkout.css'), join(dist, 'checkout.css'));
copyFileSync(here('../../../LICENSE'), join(dist, 'LICENSE'));
