/* SPDX-License-Identifier: Apache-2.0 */
/* Personal API keys: shown once, kept as a hash, as good as a log-in until revoked. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, type Client } from './harness.ts';

describeApp('api keys', (app) => {
  let person: Client;
  let other: Client;

  before(async () => {
    person = await app.person();
    other = await app.person();
  });

  async function create(name = 'a key', more: object = {}): Promise<any> {
    const made = await person.post('/api/v1/api-keys', { name, ...more }, 201);
    app.secrets.add(made.key);
    return made;
  }

  test('a key is shown when it is made and never again', async () => {
    const made = await create('nightly');
    assert.ok(made.key.length >= 24);
    assert.ok(made.key.startsWith(made.prefix));
    assert.ok(made.prefix.length < made.key.length / 2);
    const answer = await person.request('GET', '/api/v1/api-keys', { expect: 200 });
    assert.ok(!answer.text.includes(made.key));
    assert.equal(answer.body.items.find((key: any) => key.id === made.id).name, 'nightly');
  });

  test('a key signs its owner in, also for scripts that run workflows', async () => {
    const script = person.withToken((await create()).key);
    assert.equal((await script.get('/api/v1/auth/me')).id, person.user.id);
    await script.createWorkflow({ nodes: [], edges: [] });
    await script.get('/api/v1/api-keys');
  });

  test('the use of a key is noted', async () => {
    const made = await create('used');
    await person.withToken(made.key).get('/api/v1/auth/me');
    for (let i = 0; ; i++) {
      const list = await person.get('/api/v1/api-keys');
      if (list.items.find((key: any) => key.id === made.id).last_used_at !== null) break;
      assert.ok(i < 100, 'last_used_at stays null');
    }
  });

  test('a revoked key is refused at once', async () => {
    const made = await create();
    const script = person.withToken(made.key);
    await script.get('/api/v1/auth/me');
    await person.delete(`/api/v1/api-keys/${made.id}`);
    assertProblem(await script.request('GET', '/api/v1/auth/me'), 401);
    assertProblem(await person.request('DELETE', `/api/v1/api-keys/${made.id}`), 404);
  });

  test('nobody sees or revokes the key of another', async () => {
    const made = await create();
    assert.equal((await other.get('/api/v1/api-keys')).total, 0);
    assertProblem(await other.request('DELETE', `/api/v1/api-keys/${made.id}`), 404);
    await person.withToken(made.key).get('/api/v1/auth/me');
  });

  test('an expired key is refused, and none can be made that is expired already', async () => {
    const json = { name: 'old', expires_at: '2020-01-01T00:00:00Z' };
    const past = await person.request('POST', '/api/v1/api-keys', { json });
    if (past.status === 201) {
      app.secrets.add(past.body.key);
      assertProblem(await app.client(past.body.key).request('GET', '/api/v1/auth/me'), 401);
    } else assertField(past, 'expires_at');
    await create('future', { expires_at: '2090-01-01T00:00:00Z' });
  });

  test('bad bodies name the field', async () => {
    const bad = async (json: unknown, field: string) =>
      assertField(await person.request('POST', '/api/v1/api-keys', { json }), field);
    await bad({}, 'name');
    await bad({ name: '' }, 'name');
    await bad({ name: 'x'.repeat(500) }, 'name');
    await bad({ name: 'x', expires_at: 'tomorrow' }, 'expires_at');
    await bad({ name: 'x', admin: true }, 'admin');
  });

  test('made-up keys are refused', async () => {
    const { key } = await create();
    const wrong = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
    for (const bad of [wrong, key.slice(0, -1), `${key}x`, `${key.slice(0, 4)}${'0'.repeat(28)}`])
      assertProblem(await app.client(bad).request('GET', '/api/v1/auth/me'), 401);
  });

  test('no file of the data folder holds a key', async () => {
    const { key } = await create();
    const folder = join(app.dataDir, 'data');
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = await readFile(join(entry.parentPath, entry.name));
      assert.ok(!bytes.includes(key), `${entry.name} holds the key`);
    }
  });
});
