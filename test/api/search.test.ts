/* SPDX-License-Identifier: Apache-2.0 */
/* Search without a workflow: over documents by words and by meaning, over the web by providers. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';

import { assertField, assertProblem, describeApp, type Client } from './harness.ts';
import { documentGraph, searchGraph, stepOf } from './graphs.ts';

const texts: Record<string, string> = {
  'cars.txt': 'An automobile needs oil every year. The automobile shop is behind the station.',
  'cats.txt': 'A kitten sleeps sixteen hours a day and dreams of mice.',
  'bread.txt': 'Sourdough bread needs flour, water, salt and patience.',
};

describeApp('search: documents', (app) => {
  let person: Client;
  let keywordId: string;
  let semanticId: string;

  before(async () => {
    person = await app.person();
    keywordId = (await person.createWorkflow(documentGraph())).id;
    semanticId = (await person.createWorkflow(documentGraph({ provider: 'openai', model: 'stub' },
      { mode: 'semantic', embedding_provider: 'openai', embedding_model: 'stub-embed', top_k: 2 }))).id;
    for (const id of [keywordId, semanticId])
      for (const [name, text] of Object.entries(texts)) await person.uploadReady(name, text, id);
  });

  const search = async (query: string, more: object = {}) =>
    (await person.post('/api/v1/search/documents', { query, workflow_id: keywordId, ...more })).results;

  test('words are found, the best passage first, with scores that fall', async () => {
    const results = await search('flour and water for bread');
    assert.match(results[0].content, /Sourdough/);
    assert.equal(results[0].metadata.filename, 'bread.txt');
    const scores = results.map((result: any) => result.score);
    assert.deepEqual(scores, scores.toSorted((a: number, b: number) => b - a));
    assert.ok(scores[0] > 0 && scores[0] <= 1);
  });

  test('what nobody wrote is not found, and that is no error', async () => {
    assert.deepEqual(await search('zeppelin quasar'), []);
  });

  test('characters that mean something to search engines are only characters', async () => {
    for (const query of ['"unclosed', 'a AND OR NOT', 'NEAR(x y)', '*', '(((', 'col:val', '-', '"', "'; DROP TABLE chunks; --", '^', '東京', '\u0000x', 'flour"', 'a" OR "b'])
      assert.ok([200, 400].includes((await person.request('POST', '/api/v1/search/documents', { json: { query, workflow_id: keywordId } })).status), query);
    assert.match((await search('flour"'))[0].content, /Sourdough/);
  });

  test('limit bounds the results', async () => {
    assert.equal((await search('automobile kitten bread', { limit: 1 })).length, 1);
  });

  test('documents were embedded in batches by the model of the workflow', () => {
    const calls = app.stubs.openai.requests.filter((record) => record.path === '/v1/embeddings');
    assert.ok(calls.length >= 3);
    for (const call of calls) assert.equal(call.json.model, 'stub-embed');
    assert.ok(calls.some((call) => JSON.stringify(call.json.input).includes('kitten')));
  });

  test('meaning finds what words do not: "car" is in no text', async () => {
    const run = await person.run(semanticId, 'car');
    const { passages } = stepOf(run, 'knowledge').output;
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.match(passages[0].text, /automobile/);
    const words = await person.run(keywordId, 'car');
    assert.deepEqual(stepOf(words, 'knowledge').output.passages, []);
  });

  test('semantic search without a model says what to set', async () => {
    const made = await person.createWorkflow(documentGraph({ provider: 'local' }, { mode: 'semantic' }));
    await person.uploadReady('x.txt', 'Some text.', made.id);
    const answer = await person.request('POST', `/api/v1/workflows/${made.id}/execute`, { json: { user_input: 'x', wait: true } });
    const message = answer.status === 422 ? JSON.stringify(answer.body) : answer.body.error.message;
    assert.match(message, /embedding/i);
  });

  test('a model that is set later embeds what is there already', async () => {
    const made = await person.createWorkflow(documentGraph());
    await person.uploadReady('cars.txt', texts['cars.txt']!, made.id);
    app.stubs.openai.reset();
    await person.put(`/api/v1/workflows/${made.id}`, {
      workflow_data: documentGraph({ provider: 'local' }, { mode: 'semantic', embedding_provider: 'openai', embedding_model: 'stub-late' }),
    });
    await app.stubs.openai.waitFor((record) => record.finished && JSON.stringify(record.json).includes('automobile'));
    const { items } = await person.get('/api/v1/documents', 200, { workflow_id: made.id });
    await person.processed(items[0].id);
    const run = await person.run(made.id, 'car');
    assert.match(JSON.stringify(stepOf(run, 'knowledge').output.passages), /automobile/);
  });

  test('min_score leaves weak passages out', async () => {
    const made = await person.createWorkflow(documentGraph({ provider: 'local' }, { min_score: 1, top_k: 10 }));
    for (const [name, text] of Object.entries(texts)) await person.uploadReady(name, text, made.id);
    const run = await person.run(made.id, 'automobile oil or a kitten');
    assert.ok(stepOf(run, 'knowledge').output.passages.length <= 1);
  });

  test('bad bodies name the field', async () => {
    const bad = async (json: unknown, field: string) =>
      assertField(await person.request('POST', '/api/v1/search/documents', { json }), field);
    await bad({}, 'query');
    await bad({ query: '' }, 'query');
    await bad({ query: 7 }, 'query');
    await bad({ query: 'x'.repeat(1_000_000) }, 'query');
    await bad({ query: 'x', limit: 0 }, 'limit');
    await bad({ query: 'x', limit: 1000 }, 'limit');
    await bad({ query: 'x', workflow_id: 'nope' }, 'workflow_id');
    await bad({ query: 'x', table: 'users' }, 'table');
  });
});

describeApp('search: gemini embeddings', (app) => {
  const knowledge = { mode: 'hybrid', embedding_provider: 'gemini', embedding_model: 'gemini-embedding-001' };

  test('many chunks are embedded in batches of at most 100, documents and questions as such', async () => {
    const person = await app.person();
    const made = await person.createWorkflow(documentGraph({ provider: 'local' }, knowledge));
    const text = Array.from({ length: 1500 }, (_, i) =>
      `## Section ${i}\n\nSection number ${i} tells of ${['apples', 'pears', 'plums', 'cherries'][i % 4]} in some detail. ${'More words follow here. '.repeat(12)}`).join('\n\n');
    const document = await person.upload('many.md', text, made.id);
    const status = await person.processed(document.id, 60_000);
    assert.equal(status.status, 'ready', status.error);
    const batches = app.stubs.gemini.requests.filter((record) => record.path.endsWith(':batchEmbedContents'));
    assert.ok(batches.length > 1, 'more than one batch was needed');
    const sizes = batches.map((record) => record.json.requests.length);
    assert.ok(sizes.every((size) => size <= 100), String(sizes));
    assert.equal(sizes.reduce((sum, size) => sum + size, 0), status.chunk_count, 'each chunk once');
    for (const record of batches) assert.equal(record.json.requests[0].taskType, 'RETRIEVAL_DOCUMENT');
    await person.run(made.id, 'apples');
    const question = app.stubs.gemini.requests.at(-1)!;
    assert.match(question.body, /RETRIEVAL_QUERY/);
  });

  test('embedding-2 takes no task type', async () => {
    const person = await app.person();
    const made = await person.createWorkflow(documentGraph({ provider: 'local' }, { ...knowledge, embedding_model: 'gemini-embedding-2' }));
    await person.uploadReady('cars.txt', texts['cars.txt']!, made.id);
    const run = await person.run(made.id, 'car');
    assert.match(JSON.stringify(stepOf(run, 'knowledge').output.passages), /automobile/);
  });

  test('a model that fails while a document is embedded: tried again, or failed with a reason', async () => {
    const person = await app.person();
    const upload = async (embedding_model: string) => {
      const made = await person.createWorkflow(documentGraph({ provider: 'local' }, { ...knowledge, embedding_model }));
      const document = await person.upload('cats.txt', texts['cats.txt']!, made.id);
      return person.processed(document.id);
    };
    assert.equal((await upload('stub-503-then-ok')).status, 'ready');
    /* Failed, or ready for keyword search alone: either way it says what is the matter. */
    const refused = await upload('stub-invalid-key');
    assert.match(refused.error ?? '', /Gemini/);
    assert.match(refused.error, /key/i);
  });
});

describeApp('search: web', (app) => {
  let person: Client;

  before(async () => {
    person = await app.person();
  });
  beforeEach(() => app.stubs.reset());

  /* Results are kept for a while: each test asks for something new. */
  let asked = 0;
  const fresh = () => `query ${++asked}`;
  const search = (json: object) => person.request('POST', '/api/v1/search/web', { json });

  for (const provider of ['brave', 'serpapi', 'searxng'] as const) {
    test(`${provider}: results in one shape`, async () => {
      const answer = await search({ query: 'paid leave & law', provider, num_results: 3 });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.provider, provider);
      assert.equal(answer.body.results.length, 3);
      const [first] = answer.body.results;
      assert.deepEqual([first.title, first.url, first.snippet],
        ['Result 1 for paid leave & law', 'https://example.org/paid-leave-law/1', 'Snippet 1: what the web says about paid leave & law, naïvely.']);
      const [record] = app.stubs[provider].requests;
      assert.equal(record!.query['q'] ?? new URLSearchParams(record!.body).get('q'), 'paid leave & law');
    });

    test(`${provider}: markup, missing members and bad links are cleaned away`, async () => {
      app.stubs[provider].next('markup');
      const { body: marked } = await search({ query: fresh(), provider });
      assert.equal(marked.results[0].title, 'Tom & Jerry <3 markup');
      assert.ok(!/<strong>|<script>|&amp;|&quot;|&#39;/.test(marked.results[0].snippet), marked.results[0].snippet);
      app.stubs[provider].next('odd');
      const { body: odd } = await search({ query: fresh(), provider });
      assert.ok(odd.results.every((result: any) => /^https?:/.test(result.url)), JSON.stringify(odd));
      assert.ok(odd.results.some((result: any) => result.title.startsWith('Result 1 for query ')));
    });

    test(`${provider}: nothing found is no error`, async () => {
      app.stubs[provider].next('none');
      const answer = await search({ query: fresh(), provider });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body.results, []);
    });

    for (const behaviour of ['html', 'html-200', 'malformed', 'cut', 'cut-first', '503'] as const)
      test(`${provider}: "${behaviour}" is told in plain words`, async () => {
        app.stubs[provider].always(behaviour);
        const answer = await person.request('POST', '/api/v1/search/web', { json: { query: fresh(), provider }, expect: [502, 503, 504] });
        assertProblem(answer, [502, 503, 504], new RegExp(provider, 'i'));
        assert.ok(!/<html|candidates|\{"web/.test(answer.body.detail), answer.body.detail);
      });

    test(`${provider}: an oversized answer is cut off`, async () => {
      const before = await app.memoryMb();
      app.stubs[provider].always('huge');
      assertProblem(await person.request('POST', '/api/v1/search/web', { json: { query: fresh(), provider }, expect: [502, 503] }), [502, 503]);
      assert.ok((await app.memoryMb()) - before < 80);
    });
  }

  test('brave and serpapi: a refused key and a used-up month are said so, and not tried again', async () => {
    for (const provider of ['brave', 'serpapi'] as const)
      for (const [behaviour, words] of [['invalid-key', /key/i], ['quota', /quota|used up|limit|searches/i]] as const) {
        app.stubs[provider].reset();
        app.stubs[provider].always(behaviour);
        const answer = await person.request('POST', '/api/v1/search/web', { json: { query: fresh(), provider }, expect: [429, 502] });
        assertProblem(answer, [429, 502], words);
        assert.equal(app.stubs[provider].requests.length, 1, `${provider} ${behaviour}`);
        assert.ok(!answer.text.includes('secret-4711'));
      }
  });

  test('a busy search engine is tried again by a workflow that may', async () => {
    for (const provider of ['brave', 'serpapi', 'searxng'] as const) {
      app.stubs[provider].next('500-then-ok');
      const run = await person.runGraph(searchGraph({ provider, max_attempts: 3 }), fresh());
      assert.equal(run.status, 'completed', JSON.stringify(run.error));
      assert.equal(app.stubs[provider].requests.length, 2, provider);
    }
  });

  test('the same search again soon is answered from the cache, a failure never is', async () => {
    const query = fresh();
    app.stubs.brave.next('503', { times: 5 });
    await person.request('POST', '/api/v1/search/web', { json: { query, provider: 'brave' }, expect: [502, 503] });
    app.stubs.brave.reset();
    const first = await search({ query, provider: 'brave' });
    const second = await search({ query: ` ${query.toUpperCase()} `, provider: 'brave' });
    assert.equal(first.status, 200);
    assert.deepEqual(second.body.results.length, first.body.results.length);
    await search({ query, provider: 'brave' });
    assert.ok(app.stubs.brave.requests.length <= 2, 'the same words are asked for once');
    const metrics = await app.client().get('/metrics');
    assert.match(metrics, /^flowgenix_cache_requests_total\{result="hit"\} [1-9]/m);
    assert.match(metrics, /^flowgenix_cache_requests_total\{result="miss"\} [1-9]/m);
  });

  test('keys go where each service wants them', async () => {
    for (const provider of ['brave', 'serpapi', 'searxng']) await search({ query: fresh(), provider });
    const [brave] = app.stubs.brave.requests;
    assert.equal(brave!.headers['x-subscription-token'], 'brave-secret-4711');
    assert.ok(!JSON.stringify(brave!.query).includes('secret'));
    assert.equal(app.stubs.serpapi.requests[0]!.query['api_key'], 'serpapi-secret-4711');
    assert.equal(app.stubs.searxng.requests[0]!.headers['authorization'], undefined);
  });

  test('without a provider the first one that is configured is asked', async () => {
    assert.equal((await search({ query: fresh() })).status, 200);
    assert.equal(app.stubs.brave.requests.length + app.stubs.serpapi.requests.length + app.stubs.searxng.requests.length, 1);
  });

  test('bad bodies name the field', async () => {
    assertField(await search({}), 'query');
    assertField(await search({ query: 'x', provider: 'altavista' }), 'provider');
    assertField(await search({ query: 'x', num_results: 1000 }), 'num_results');
    assertField(await search({ query: 'x', country: 'XX' }), 'country');
  });
});

describeApp('search: web without keys', (app) => {
  test('says what to set', async () => {
    const person = await app.person();
    for (const provider of ['brave', 'serpapi', 'searxng'])
      assertProblem(await person.request('POST', '/api/v1/search/web', { json: { query: 'x', provider } }), 422);
    assertProblem(await person.request('POST', '/api/v1/search/web', { json: { query: 'x' } }), 422);
  });
}, { env: { BRAVE_API_KEY: null, SERPAPI_KEY: null, SEARXNG_URL: null } });
