// Written by `hookbox plugin build`, anew each time. Bundles the project's entry and makes a component of it. The
// component imports the transformer's world and, of WASI, clocks, random numbers and output: hookbox has a stand-in.
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const [main, folder, out] = process.argv.slice(2);
const entry = resolve(folder, 'entry.js');
const bundle = resolve(folder, 'bundle.js');
await writeFile(
  entry,
  `import { run } from './runtime.js';
import * as component from ${JSON.stringify(resolve(main))};
export const transform = run(component['transform']);
export const check = run(component['check'] ?? (() => {}));
`,
);
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
    sourcemap: 'external',
    sourcesContent: false,
    logLevel: 'warning',
    // A project need not have a check.
    logOverride: { 'import-is-undefined': 'silent' },
  });
} catch {
  process.exit(1); // esbuild has said why
}
const source = await readFile(bundle, 'utf8');
const map = JSON.parse(await readFile(`${bundle}.map`, 'utf8'));
// As text: of a file the component would hold the path, and where that lies is nobody's business.
const { component } = await componentize(`${source}\nglobalThis[Symbol.for('hookbox.lines')] = ${JSON.stringify(lines(map))};\n`, {
  witPath: 'wit',
  worldName: 'checking-transformer',
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(out, component);

// Where each line of the bundle comes from, as far as that does not follow from the place before: flat, four numbers
// to a place, which are line and column in the bundle, the file's index, and the line in the file. Lines count from 1.
function lines({ sources, mappings }) {
  const files = sources.map((file) => relative('.', resolve(dirname(bundle), file)));
  const table = [];
  let [file, line] = [0, 0];
  let known = { file: -1, ahead: 0 };
  mappings.split(';').forEach((segments, row) => {
    let column = 0;
    for (const segment of segments.split(',').filter(Boolean)) {
      const [columns, inFile, inLine] = numbers(segment);
      column += columns;
      if (inFile === undefined) continue;
      file += inFile;
      line += inLine;
      if (known.file === file && known.ahead === line - row) continue;
      known = { file, ahead: line - row };
      table.push(row + 1, column, file, line + 1);
    }
  });
  return { files, table };
}

// The numbers of a source map's segment (ECMA-426, Base64 VLQ).
function numbers(segment) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const all = [];
  let [value, shift] = [0, 0];
  for (const character of segment) {
    const digit = digits.indexOf(character);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    all.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return all;
}
