// Bundles a TypeScript module in memory, so that it is tested as it is shipped.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

export async function load(path) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../checkout/' + path, import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
  });
  return import('data:text/javascript;base64,' + Buffer.from(outputFiles[0].contents).toString('base64'));
}
