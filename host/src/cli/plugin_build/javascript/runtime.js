// What `hookbox plugin build` puts into a component before the project's own modules. The component holds the memory of
// the interpreter as it was after the imports; whatever must not be as it was then is put right here.

let running = false;

/** A function as the component exports it. */
export function run(exported) {
  return (...parameters) => {
    running = true;
    return exported(...parameters);
  };
}

// The interpreter seeds its generator once, while the component is built, and all events would see the same numbers.
// This one (sfc32) takes its seed from the host, the first time that an event asks.
const atBuild = Math.random;
let state;
Math.random = function random() {
  if (!running) return atBuild();
  if (!state) {
    state = [...crypto.getRandomValues(new Uint32Array(3)), 1];
    for (let round = 0; round < 12; round++) next();
  }
  return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;
};

function next() {
  const [a, b, c, count] = state;
  const result = (a + b + count) | 0;
  state = [b ^ (b >>> 9), (c + (c << 3)) | 0, (((c << 21) | (c >>> 11)) + result) | 0, (count + 1) | 0];
  return result;
}

// These call what the component does not have, and end the run without a word; or are never called back.
const AT_ONCE = 'a transformer answers at once, and nothing runs after it';
const COMPUTES = 'it needs wasi:http, which is not to be had: a transformer computes and nothing else';
const missing = { fetch: COMPUTES, Headers: COMPUTES, Request: COMPUTES, Response: COMPUTES, setInterval: AT_ONCE, setTimeout: AT_ONCE };
for (const [name, why] of Object.entries(missing)) {
  const own = globalThis[name];
  if (!own) continue;
  // A function of the old kind: `new` works on it too.
  globalThis[name] = function (...parameters) {
    if (running) throw new Error(`${name}: ${why}`);
    return new.target ? new own(...parameters) : own(...parameters);
  };
}

// Stacks name places in the bundle; their authors know the files that it was made of.
const stack = Object.getOwnPropertyDescriptor(Error.prototype, 'stack');
if (stack?.get) {
  Object.defineProperty(Error.prototype, 'stack', {
    ...stack,
    get() {
      const text = stack.get.call(this);
      return typeof text === 'string' ? inFiles(text) : text;
    },
  });
}

function inFiles(text) {
  const lines = globalThis[Symbol.for('hookbox.lines')];
  if (!lines) return text;
  const frames = text.split('\n').flatMap((frame) => {
    const [, name, row, column] = /^(.*)@.*source\.js:(\d+):(\d+)$/.exec(frame) ?? [];
    const place = row && placeOf(lines, Number(row), Number(column) - 1);
    // What is not the bundle's is the toolchain's, or this file's.
    return place && !place.file.startsWith('.hookbox/') ? [`${name}@${place.file}:${place.line}`] : [];
  });
  return frames.join('\n');
}

function placeOf({ files, table }, row, column) {
  let [low, high] = [0, table.length / 4];
  while (low < high) {
    const middle = (low + high) >> 1;
    const [line, start] = [table[middle * 4], table[middle * 4 + 1]];
    if (line < row || (line === row && start <= column)) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return undefined;
  const [line, , file, inFile] = table.slice(low * 4 - 4, low * 4);
  return { file: files[file], line: inFile + row - line };
}
