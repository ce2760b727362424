import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';
import { render } from './hookbox.js';
import plugin, { check } from './plugin.js';

const read = (file) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const secrets = existsSync(new URL('secrets.json', import.meta.url))
  ? Object.fromEntries(read('secrets.json').map((name) => [name, `handle_of_${name}`]))
  : {};
const webhook = { payload_url: 'https://hooks.slack.com/services/x' };
const sent = (event, settings = null) => {
  const { request, failure } = render(plugin, event, { ...webhook, settings });
  assert.equal(failure, undefined);
  return JSON.parse(request.body);
};
const snapshots = (prechange, postchange) => ({ event: 'updated', object_type: 'a.b', snapshots: { prechange, postchange } });

for (const folder of ['.', ...readdirSync(new URL('samples', import.meta.url)).map((name) => `samples/${name}`)]) {
  test(`the sample in ${folder} comes out as written`, () => {
    const { request } = render(plugin, read(`${folder}/event.json`), read(`${folder}/webhook.json`), { secrets });
    assert.deepEqual({ ...request, body: JSON.parse(request.body) }, read(`${folder}/request.json`));
  });
}

test('values cannot mention anybody or make links', () => {
  const { text, blocks } = sent({ event: 'created', object_type: 'a.b', data: { name: '<!channel> & <https://evil.example|x>' } });
  assert.equal(text, 'a.b &lt;!channel&gt; &amp; &lt;https://evil.example|x&gt; created');
  assert.equal(blocks[0].text.text, text);
});

test('a text is never cut within an escape, and keeps to its length', () => {
  for (let length = 130; length < 160; length += 1) {
    const header = sent({ event: 'x', data: { name: '&'.repeat(length) } }).blocks[0].text.text;
    assert.ok(header.length <= 150);
    assert.match(header, /^(&amp;)+(…| x)$/);
  }
  assert.equal(sent({ event: 'x'.repeat(150) }).blocks[0].text.text, 'x'.repeat(150));
  assert.equal(sent({ event: 'x'.repeat(151) }).blocks[0].text.text, `${'x'.repeat(149)}…`);
});

test('what changed is shown, ten fields to a section', () => {
  const before = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`f${n}`, n]));
  const after = { ...before, ...Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`f${n}`, n + 1])) };
  const { blocks } = sent(snapshots({ ...before, last_updated: 1 }, { ...after, last_updated: 2 }));
  const sections = blocks.filter(({ type }) => type === 'section');
  assert.deepEqual(sections.map(({ fields }) => fields.length), [10, 1]);
  assert.equal(sections[0].fields[0].text, '*f0*\n0 → 1');
});

test('custom fields are told apart and nothing is shown as (empty)', () => {
  const { blocks } = sent(snapshots({ custom_fields: { a: null, b: 1 } }, { custom_fields: { a: 'x', b: 1 } }));
  assert.deepEqual(blocks[1].fields.map(({ text }) => text), ['*custom field a*\n(empty) → x']);
});

test('a message stays within what Slack takes, and says what is missing', () => {
  const many = (text) => Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`f${n}`, text]));
  for (const [before, after] of [['a', 'b'], ['<'.repeat(5000), '\u0001'.repeat(5000)]]) {
    const message = sent(snapshots(many(before), many(after)));
    assert.ok(message.blocks.length <= 50);
    assert.ok(JSON.stringify(message.blocks).length < 12_000);
    assert.match(JSON.stringify(message), /… and \d+ more/);
    for (const { fields = [] } of message.blocks) {
      assert.ok(fields.length <= 10 && fields.every(({ text }) => text.length <= 2000));
    }
  }
});

test('whatever an event holds, there is a message', () => {
  for (const data of [null, 1, 'x', [], [1], { name: { a: 1 }, status: [[]], display_url: 7 }]) {
    const { text, blocks } = sent({ event: 'job_ended', object_type: null, data, snapshots: data }, { base_url: 'https://n.example' });
    assert.ok(text && blocks.length > 0);
  }
});

test('the secret part of the URL is a handle', () => {
  const settings = { secret: 'slack' };
  const { request } = render(plugin, { event: 'x' }, { ...webhook, settings }, { secrets: { slack: '_handle' } });
  assert.equal(request.url, 'https://hooks.slack.com/services/x_handle');
  assert.match(render(plugin, { event: 'x' }, { ...webhook, settings }).failure.message, /`slack`/);
});

test('settings that do not fit are named', () => {
  for (const [settings, key] of [
    [[], 'settings'], [{ tilte: '' }, '`tilte`'], [{ title: 1 }, '.title'], [{ base_url: 'x' }, '.base_url'], [{ fields: { a: 'b' } }, '.fields.a'],
  ]) {
    assert.throws(
      () => check({ ...webhook, settings }),
      ({ field, message }) => field === 'settings' && message.includes(key),
    );
  }
});
