// Written by `hookbox render --native`, anew each time. Runs the project's component.js here, with a host that this file
// is, and writes down what it answers. What comes from standard input is the event, the webhook and the secrets' handles.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [main, folder, answer] = process.argv.slice(2);
const { event, webhook, secrets } = JSON.parse(readFileSync(0, 'utf8'));
const logs = [];
globalThis[Symbol.for('hookbox.host')] = {
  log: (level, message) => logs.push({ level, message }),
  secret: (name) => (Object.hasOwn(secrets, name) ? secrets[name] : undefined),
};
const outfile = resolve(folder, 'native.mjs');
try {
  await build({
    entryPoints: [main],
    outfile,
    bundle: true,
    format: 'esm',
    // As the component is bundled: what works here must not work because of Node.js.
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2022',
    sourcemap: 'inline',
    logLevel: 'warning',
    plugins: [
      {
        name: 'hookbox',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^hookbox:/ }, ({ path }) => ({ path, namespace: 'hookbox' }));
          onLoad({ filter: /.*/, namespace: 'hookbox' }, () => ({
            contents: "export const { log, secret } = globalThis[Symbol.for('hookbox.host')];",
          }));
        },
      },
    ],
  });
} catch {
  process.exit(1); // esbuild has said why
}
process.setSourceMapsEnabled(true);
const component = await import(pathToFileURL(outfile));

const decided = {};
try {
  const { tag, val } = component.transform(event, webhook);
  if (tag === 'skip') decided.skip = val;
  else {
    const headers = val.headers.map(({ name, value }) => [name, value]);
    decided.send = { ...val, headers, body: Buffer.from(val.body).toString('base64') };
  }
} catch (failure) {
  if (failure instanceof Error) throw failure;
  decided.failure = failure;
}
writeFileSync(answer, JSON.stringify({ ...decided, logs }));
