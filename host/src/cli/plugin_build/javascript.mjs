// Written by `hookbox plugin build`, anew each time. Bundles the project's entry and makes a component of it that
// imports nothing but the transformer's own world.
import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const [entry, bundle, out] = process.argv.slice(2);
try {
  await build({
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2022',
    external: ['hookbox:*'],
    logLevel: 'warning',
  });
} catch {
  process.exit(1); // esbuild has said why
}
// As text: of a file the component would hold the path, and where that lies is nobody's business.
const { component } = await componentize(await readFile(bundle, 'utf8'), {
  witPath: 'wit',
  worldName: 'transformer',
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);
