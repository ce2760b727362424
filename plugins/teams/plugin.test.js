import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';
import { render } from './hookbox.js';
import plugin, { check } from './plugin.js';

const read = (file) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const secrets = existsSync(new URL('secrets.json', import.meta.url))
  ? Object.fromEntries(read('secrets.json').map((name) => [name, `handle_of_${name}`]))
  : {};
const webhook = { payload_url: 'https://example.com/workflow?sig=' };
const body = (event, settings = null) => {
  const { request, failure } = render(plugin, event, { ...webhook, settings });
  assert.equal(failure, undefined);
  return request.body;
};
const card = (...given) => JSON.parse(body(...given)).attachments[0].content;
const texts = ({ body }) => body.map(({ inlines }) => inlines.map(({ text }) => text).join(''));
const snapshots = (prechange, postchange) => ({ event: 'updated', object_type: 'a.b', snapshots: { prechange, postchange } });

for (const folder of ['.', ...readdirSync(new URL('samples', import.meta.url)).map((name) => `samples/${name}`)]) {
  test(`the sample in ${folder} comes out as written`, () => {
    const { request } = render(plugin, read(`${folder}/event.json`), read(`${folder}/webhook.json`), { secrets });
    assert.deepEqual({ ...request, body: JSON.parse(request.body) }, read(`${folder}/request.json`));
  });
}

test('nothing of the data stands where Markdown is understood', () => {
  const made = JSON.stringify(card({ event: 'created', object_type: 'a.b', data: { name: '[x](https://evil.example)' } }));
  assert.ok(!/"(TextBlock|FactSet)"/.test(made), made);
});

test('what changed is shown', () => {
  const before = { status: 'active', last_updated: 1, custom_fields: { a: 1, b: null } };
  const after = { status: 'offline', last_updated: 2, custom_fields: { a: 1, b: 2 } };
  assert.deepEqual(texts(card(snapshots(before, after))).slice(2), ['status: active → offline', 'custom field b: (empty) → 2']);
});

test('a message stays within 28 KB, and says what is missing', () => {
  const many = (text) => Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`f${n}`, text]));
  for (const [before, after] of [['a', 'b'], ['😀'.repeat(1000), '\u0001'.repeat(1000)]]) {
    const event = { ...snapshots(many(before), many(after)), data: { display: after.repeat(500), display_url: `/${'ä'.repeat(1900)}` } };
    const message = body(event, { base_url: 'https://n.example' });
    assert.ok(new TextEncoder().encode(message).length < 28_000, `${new TextEncoder().encode(message).length}`);
    assert.match(message, /… and \d+ more/);
  }
});

test('a text is never cut within a character', () => {
  for (const length of [99, 100, 101]) {
    const title = texts(card({ event: '😀'.repeat(length) }))[0];
    assert.ok(title.length <= 200 && title.isWellFormed(), title);
  }
});

test('whatever an event holds, there is a card', () => {
  for (const data of [null, 1, 'x', [], [1], { name: { a: 1 }, status: [[]], display_url: 7 }]) {
    const { body } = card({ event: 'job_ended', object_type: null, data, snapshots: data }, { base_url: 'https://n.example' });
    assert.ok(body.length > 0);
  }
});

test('the secret part of the URL is a handle', () => {
  const settings = { secret: 'teams' };
  const { request } = render(plugin, { event: 'x' }, { ...webhook, settings }, { secrets: { teams: 'handle' } });
  assert.equal(request.url, 'https://example.com/workflow?sig=handle');
  assert.match(render(plugin, { event: 'x' }, { ...webhook, settings }).failure.message, /`teams`/);
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
