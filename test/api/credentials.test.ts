/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of outside services: written through the API, used by the owner's workflows, never read. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, type Client } from './harness.ts';
import { llmGraph } from './graphs.ts';

const ownKey = 'AQ.my-very-own-key-8812';

describeApp('credentials', (app) => {
  let person: Client;
  let other: Client;

  before(async () => {
    app.secrets.add(ownKey);
    person = await app.person();
    other = await app.person();
  });

  test('what the environment sets is told, without the key', async () => {
    const credential = await person.get('/api/v1/credentials/gemini');
    assert.equal(credential.configured, true);
    assert.equal(credential.source, 'environment');
    const list = await person.request('GET', '/api/v1/credentials', { expect: 200 });
    const providers = list.body.items.map((item: any) => item.provider).toSorted();
    assert.deepEqual(providers, ['brave', 'gemini', 'openai', 'searxng', 'serpapi']);
    for (const secret of app.secrets) assert.ok(!list.text.includes(secret), 'a key is shown');
  });

  test('a key that is set is used, hinted at and never shown', async () => {
    const put = await person.request('PUT', '/api/v1/credentials/gemini',
      { json: { api_key: ownKey, base_url: app.stubs.gemini.url }, expect: 200 });
    const read = await person.request('GET', '/api/v1/credentials/gemini', { expect: 200 });
    for (const answer of [put, read]) {
      assert.ok(!answer.text.includes(ownKey));
      assert.equal(answer.body.source, 'user');
      assert.equal(answer.body.hint, ownKey.slice(-4));
      assert.ok(!('api_key' in answer.body));
    }
    app.stubs.gemini.reset();
    const run = await person.runGraph(llmGraph({ provider: 'gemini', model: 'gemini-flash-latest' }));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(app.stubs.gemini.requests[0]!.headers['x-goog-api-key'], ownKey);
  });

  test('it is the key of one person only', async () => {
    assert.equal((await other.get('/api/v1/credentials/gemini')).source, 'environment');
    app.stubs.gemini.reset();
    await other.runGraph(llmGraph({ provider: 'gemini', model: 'gemini-flash-latest' }));
    assert.equal(app.stubs.gemini.requests[0]!.headers['x-goog-api-key'], 'AQ.gemini-secret-4711');
  });

  test('no file of the data folder holds it in the clear', async () => {
    for (const entry of readdirSync(join(app.dataDir, 'data'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = await readFile(join(entry.parentPath, entry.name));
      assert.ok(!bytes.includes(ownKey), `${entry.name} holds the key`);
    }
  });

  test('deleted, the environment is in force again', async () => {
    await person.delete('/api/v1/credentials/gemini');
    assert.equal((await person.get('/api/v1/credentials/gemini')).source, 'environment');
    assertProblem(await person.request('DELETE', '/api/v1/credentials/gemini'), 404);
  });

  test('unknown providers and bad bodies are refused', async () => {
    for (const method of ['GET', 'PUT', 'DELETE'])
      assertProblem(await person.request(method, '/api/v1/credentials/skynet', method === 'PUT' ? { json: { api_key: 'x' } } : {}), [400, 404]);
    const bad = async (json: unknown, field: string) =>
      assertField(await person.request('PUT', '/api/v1/credentials/openai', { json }), field);
    await bad({ api_key: 7 }, 'api_key');
    await bad({ api_key: '' }, 'api_key');
    await bad({ api_key: 'k'.repeat(5000) }, 'api_key');
    await bad({ api_key: 'k', base_url: 'file:///etc/passwd' }, 'base_url');
    await bad({ api_key: 'k', base_url: 'not a url' }, 'base_url');
    await bad({ api_key: 'k', secret: 1 }, 'secret');
    assertProblem(await person.request('PUT', '/api/v1/credentials/openai', { json: { api_key: 'a\r\nX-Evil: 1' } }), 400);
    assertProblem(await person.request('PUT', '/api/v1/credentials/openai', { json: {} }), 400);
  });
});

describeApp('credentials: none in the environment', (app) => {
  test('a run says in plain words which key is missing', async () => {
    const person = await app.person();
    const credential = await person.get('/api/v1/credentials/gemini');
    assert.deepEqual([credential.configured, credential.source], [false, null]);
    const run = await person.runGraph(llmGraph({ provider: 'gemini', model: 'gemini-flash-latest' }));
    assert.equal(run.status, 'failed');
    assert.match(run.error.message, /Gemini/i);
    assert.match(run.error.message, /key|credential/i);
    assert.equal(app.stubs.gemini.requests.length, 0);
  });
}, { env: { GEMINI_API_KEY: null, OPENAI_API_KEY: null } });
