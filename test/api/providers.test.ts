/* SPDX-License-Identifier: Apache-2.0 */
/* Providers: everything that a model's server does to us, seen from a workflow's run. */
import assert from 'node:assert/strict';
import { before, beforeEach, describe, test } from 'node:test';

import { describeApp, type App, type Client } from './harness.ts';
import { llmGraph, node, researchGraph, stepOf } from './graphs.ts';
import type { LlmBehaviour } from '../stubs/behaviours.ts';
import { defaultAnswer } from '../stubs/text.ts';

type Provider = 'gemini' | 'openai';
const names: Record<Provider, RegExp> = { gemini: /Gemini/, openai: /OpenAI|model server|openai/ };
/* No JSON, markup, HTTP codes alone or names of C in what people read. */
const machineWords = /[{}<>]|errno|null|0x[0-9a-f]|CURLE|STATUS_|\bjson_|undefined|candidates/;

interface Outcome {
  /* 'ok': completes with the answer. Otherwise what the message must say. */
  message?: RegExp;
  /* Requests that the provider may see. */
  calls?: number | [number, number];
}

/* What each behaviour must lead to, for a node with max_attempts 1: the client itself tries again
 * where that is safe. */
const outcomes: Partial<Record<LlmBehaviour, Outcome>> = {
  ok: { calls: 1 },
  tiny: { calls: 1 },
  crlf: { calls: 1 },
  cr: { calls: 1 },
  comments: { calls: 1 },
  nospace: { calls: 1 },
  slow: { calls: 1 },
  '429-then-ok': { calls: 2 },
  '429-bare': { calls: 2 },
  '500-then-ok': { calls: 2 },
  '503-then-ok': { calls: 2 },
  '502-html-then-ok': { calls: 2 },
  'cut-first-then-ok': { calls: 2 },
  '429-always': { message: /rate|busy|too many|too often|limit/i, calls: [2, 10] },
  '500': { message: /error|fail/i, calls: [2, 10] },
  '503': { message: /overload|busy|unavailable|later/i, calls: [2, 10] },
  html: { message: /./, calls: [1, 10] },
  /* libcurl itself repeats a request whose kept-alive connection ended without a byte. */
  'cut-first': { message: /connection|answer|reach|closed/i, calls: [1, 20] },
  quota: { message: /quota/i, calls: 1 },
  'invalid-key': { message: /key/i, calls: 1 },
  forbidden: { message: /access|allow|permi|refus|denied|may not|not let|region|country/i, calls: 1 },
  'not-found': { message: /model/i, calls: 1 },
  'too-long': { message: /long|large|tokens|context/i, calls: 1 },
  'safety-prompt': { message: /safety|block|filter/i, calls: 1 },
  safety: { message: /safety|block|filter/i, calls: 1 },
  'safety-mid': { message: /safety|block|filter/i, calls: 1 },
  'max-tokens': { message: /token|length|limit|max_tokens/i, calls: 1 },
  'html-200': { message: /./, calls: [1, 10] },
  malformed: { message: /./, calls: [1, 10] },
  'malformed-mid': { message: /./, calls: 1 },
  'no-body': { message: /./, calls: [1, 10] },
  cut: { message: /cut|broke|connection|end|incomplete|closed|off/i, calls: 1 },
  'cut-clean': { message: /cut|broke|connection|end|incomplete|closed|off/i, calls: 1 },
  'error-mid': { message: /./, calls: 1 },
  huge: { message: /large|big|long|much|limit/i, calls: 1 },
  redirect: { message: /./, calls: 1 },
};

function assertCalls(seen: number, expected: number | [number, number], name: string): void {
  const [low, high] = typeof expected === 'number' ? [expected, expected] : expected;
  assert.ok(seen >= low && seen <= high, `${name}: the provider was asked ${seen} times`);
}

/* All at the same time: most of them wait before they try again. Each has a model of its own, by
 * which its requests are told apart and whose "then ok" is its second one. */
function describeOutcomes(provider: Provider): void {
  describeApp(`${provider}: outcomes`, (app) => {
    let person: Client;
    before(async () => {
      person = await app.person();
    });
    describe(provider, { concurrency: 6 }, () => {
      for (const [name, outcome] of Object.entries(outcomes))
        test(`${provider}: ${name}`, async () => {
          const model = `stub-${name}`;
          const run = await person.runGraph(llmGraph({ provider, model, max_attempts: 1 }));
          assertOutcome(run, provider, outcome);
          const calls = app.stubs[provider].requests.filter((record) => record.json?.model === model || record.path.includes(`/${model}:`));
          assertCalls(calls.length, outcome.calls!, name);
        });
    });
  });
}

function assertOutcome(run: any, provider: Provider, outcome: Outcome): void {
  assert.ok(!JSON.stringify(run).includes('secret-4711'));
  if (outcome.message === undefined) {
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.output.text, defaultAnswer);
    assert.ok(stepOf(run, 'llm').usage.output_tokens > 0);
    return;
  }
  assert.equal(run.status, 'failed', JSON.stringify(run.output));
  const { message } = run.error;
  assert.match(message, outcome.message);
  assert.match(message, names[provider]);
  assert.ok(!machineWords.test(message), `not for people: ${message}`);
  assert.equal(run.error.node_id, 'llm');
}

describeOutcomes('gemini');
describeOutcomes('openai');

function providerTests(app: App, provider: Provider, person: () => Client): void {
  const model = provider === 'gemini' ? 'gemini-flash-latest' : 'gpt-test';
  const run = (data: object = {}, input?: string) =>
    person().runGraph(llmGraph({ provider, model, max_attempts: 1, ...data }), input);

  test(`${provider}: a long event of 256 KiB is taken whole`, async () => {
    const result = await run({ model: 'stub-big-event' });
    assert.equal(result.status, 'completed', JSON.stringify(result.error));
    assert.equal(result.output.text, 'A long event, é. '.repeat(16_384));
  });

  test(`${provider}: thinking is counted, paid for and never shown`, async () => {
    const result = await run({ model: 'stub-thinking' });
    assert.equal(result.output.text, defaultAnswer);
    assert.ok(!JSON.stringify(result).includes('must not see it'));
    const plain = await run({ model: 'stub' });
    assert.ok(result.usage.output_tokens > plain.usage.output_tokens, 'thinking tokens are output tokens');
  });

  test(`${provider}: an answer without usage is estimated or unknown, not wrong`, async () => {
    const result = await run({ model: 'stub-no-usage' });
    assert.equal(result.status, 'completed', JSON.stringify(result.error));
    const { usage } = stepOf(result, 'llm');
    assert.ok(usage === null || usage.output_tokens >= 0);
  });

  test(`${provider}: an empty answer is told as such`, async () => {
    const result = await run({ model: 'stub-empty' });
    if (result.status === 'failed') assert.match(result.error.message, /empty|no text|nothing/i);
    else assert.equal(result.output.text, '');
  });

  test(`${provider}: usage is what the provider says`, async () => {
    const result = await run({ model: 'stub' }, 'x'.repeat(400));
    const { usage } = stepOf(result, 'llm');
    assert.ok(usage.input_tokens >= 100 && usage.input_tokens < 400, String(usage.input_tokens));
    assert.equal(usage.output_tokens, Math.ceil([...defaultAnswer].length / 4));
  });

  test(`${provider}: a cut answer that was streamed is not asked for again`, async () => {
    const made = await person().createWorkflow(llmGraph({ provider, model: 'stub-cut', max_attempts: 1 }));
    const id = await person().start(made.id);
    const stream = await person().events(`/api/v1/executions/${id}/events`);
    const events = await stream.all();
    const tokens = events.filter((event) => event.event === 'node_token').map((event) => event.data.data.text).join('');
    assert.ok(tokens.length > 0 && defaultAnswer.startsWith(tokens), tokens);
    assert.equal(events.at(-1)!.event, 'execution_failed');
    assert.equal(app.stubs[provider].requests.length, 1);
  });

  test(`${provider}: traceparent is handed on`, async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const made = await person().createWorkflow(llmGraph({ provider, model: 'stub' }));
    await person().request('POST', `/api/v1/workflows/${made.id}/execute`, {
      json: { user_input: 'x', wait: true }, expect: 200,
      headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    });
    assert.match(app.stubs[provider].requests[0]!.headers['traceparent'] ?? '', new RegExp(`^00-${trace}-[0-9a-f]{16}-0[0-3]$`));
  });

  test(`${provider}: 429 waits as long as it was told`, async () => {
    await run({ model: 'stub-429-then-ok' });
    const [first, second] = app.stubs[provider].requests;
    const waited = second!.time - first!.time;
    assert.ok(waited >= 150 && waited < 5000, `${waited} ms`);
  });

  test(`${provider}: the log tells the failure in full, without the key`, async () => {
    const result = await run({ model: 'stub-quota' });
    const line = await app.log((item) => item.event_type === 'llm_request' && item['execution_id'] === result.id);
    assert.equal(line['node_id'], 'llm');
    assert.ok(line['error']?.message, JSON.stringify(line));
  });

  test(`${provider}: redirects are not followed with the key`, async () => {
    await run({ model: 'stub-redirect' });
    assert.ok(app.stubs[provider].requests.every((record) => record.path !== '/redirected'));
  });
}

describeApp('providers: gemini', (app) => {
  let person: Client;
  before(async () => {
    person = await app.person();
  });
  beforeEach(() => app.stubs.reset());
  providerTests(app, 'gemini', () => person);

  test('the request is as Gemini wants it', async () => {
    await person.runGraph(llmGraph({
      provider: 'gemini', model: 'gemini-3.8-flash', system_prompt: 'Be brief.', prompt: 'Say {{question.text}}',
      max_tokens: 77, temperature: 0.25,
    }), 'hello');
    const [record] = app.stubs.gemini.requests;
    assert.equal(record!.path, '/v1beta/models/gemini-3.8-flash:streamGenerateContent');
    assert.deepEqual(record!.query, { alt: 'sse' }, 'the key is in no URL');
    assert.equal(record!.headers['x-goog-api-key'], 'AQ.gemini-secret-4711');
    assert.equal(record!.headers['authorization'], undefined);
    assert.match(JSON.stringify(record!.json.systemInstruction), /Be brief\./);
    const last = record!.json.contents.at(-1);
    assert.equal(last.role, 'user');
    assert.match(last.parts[0].text, /Say hello/);
    assert.deepEqual([record!.json.generationConfig.maxOutputTokens, record!.json.generationConfig.temperature], [77, 0.25]);
  });

  test('what was not set is not sent', async () => {
    await person.runGraph(llmGraph({ provider: 'gemini', model: 'gemini-4-argon' }));
    const config = app.stubs.gemini.requests[0]!.json.generationConfig ?? {};
    for (const name of ['temperature', 'topP', 'topK', 'maxOutputTokens', 'candidateCount', 'thinkingConfig'])
      assert.ok(!(name in config), name);
  });

  test('JSON output is asked for by its mime type', async () => {
    await person.runGraph(llmGraph({ provider: 'gemini', model: 'stub-json', json_output: true }));
    assert.equal(app.stubs.gemini.requests[0]!.json.generationConfig.responseMimeType, 'application/json');
  });

  test('model names are kept out of the path\'s syntax', async () => {
    for (const model of ['../../v1/evil', 'a/b', 'x?key=1', 'x#y', 'x:generate', 'a b', 'x%2fy', '\u0007']) {
      const made = await person.createWorkflow(llmGraph({ provider: 'gemini', model, max_attempts: 1 }));
      const answer = await person.request('POST', `/api/v1/workflows/${made.id}/execute`, { json: { user_input: 'x', wait: true }, expect: [200, 422] });
      if (answer.status === 200) assert.equal(answer.body.status, 'failed', model);
      for (const record of app.stubs.gemini.requests) assert.match(record.path, /^\/v1beta\/models\/[^/]+$/, model);
    }
  });
});

describeApp('providers: openai-compatible', (app) => {
  let person: Client;
  before(async () => {
    person = await app.person();
  });
  beforeEach(() => app.stubs.reset());
  providerTests(app, 'openai', () => person);

  test('the request is as OpenAI wants it', async () => {
    await person.runGraph(llmGraph({
      provider: 'openai', model: 'gpt-test', system_prompt: 'Be brief.', max_tokens: 77, temperature: 0.25,
    }), 'hello');
    const [record] = app.stubs.openai.requests;
    assert.equal(record!.path, '/v1/chat/completions');
    assert.equal(record!.headers['authorization'], 'Bearer sk-openai-secret-4711');
    assert.match(record!.headers['content-type']!, /^application\/json/);
    assert.equal(record!.headers['expect'], undefined);
    const { json } = record!;
    assert.deepEqual([json.model, json.stream, json.stream_options], ['gpt-test', true, { include_usage: true }]);
    assert.deepEqual(json.messages[0], { role: 'system', content: 'Be brief.' });
    assert.equal(json.temperature, 0.25);
    assert.equal(json.max_tokens ?? json.max_completion_tokens, 77);
  });

  test('a server that refuses max_tokens is asked with max_completion_tokens', async () => {
    const run = await person.runGraph(llmGraph({ provider: 'openai', model: 'stub-strict-tokens', max_tokens: 50, max_attempts: 1 }));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    const last = app.stubs.openai.requests.at(-1)!.json;
    assert.deepEqual([last.max_tokens, last.max_completion_tokens], [undefined, 50]);
  });

  test('Retry-After as a date is understood', async () => {
    const run = await person.runGraph(llmGraph({ provider: 'openai', model: 'stub-429-date-then-ok', max_attempts: 1 }));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
  });
});

describeApp('providers: search in a workflow', (app) => {
  let person: Client;
  before(async () => {
    person = await app.person();
  });
  beforeEach(() => app.stubs.reset());

  for (const provider of ['brave', 'serpapi', 'searxng'])
    test(`${provider}: results reach the model as numbered passages and the answer cites them`, async () => {
      app.stubs.openai.always('ok', { text: 'The web says so [1] and so [2].' });
      const run = await person.runGraph(researchGraph({ provider: 'openai', model: 'stub' }, { provider, num_results: 3 }), 'paid leave law');
      assert.equal(run.status, 'completed', JSON.stringify(run.error));
      assert.match(app.stubs.openai.requests[0]!.body, /what the web says about paid leave law/);
      assert.deepEqual(run.output.citations.map((citation: any) => citation.url),
        ['https://example.org/paid-leave-law/1', 'https://example.org/paid-leave-law/2']);
      assert.ok(run.output.citations.every((citation: any) => citation.title && citation.quote));
    });

  test('the local engine answers from the web too', async () => {
    const run = await person.runGraph(researchGraph({ provider: 'local' }, { provider: 'brave' }), 'what does the web say about paid leave');
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.match(run.output.text, /paid leave/);
    assert.match(run.output.citations[0].url, /^https:\/\/example\.org\//);
  });

  test('a query template is filled', async () => {
    await person.runGraph(researchGraph({ provider: 'local' }, { provider: 'brave', query: 'latest {{question.text}} news' }), 'otter');
    assert.equal(app.stubs.brave.requests[0]!.query['q'], 'latest otter news');
  });

  test('a question of 1,000 characters is cut to what the engine takes', async () => {
    const run = await person.runGraph(researchGraph({ provider: 'local' }, { provider: 'brave' }), 'naïve question '.repeat(70));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    const { q } = app.stubs.brave.requests[0]!.query;
    assert.ok([...q!].length <= 400 && q!.trim().split(/\s+/).length <= 50);
  });

  test('a failed search follows its error behaviour', async () => {
    app.stubs.brave.always('invalid-key');
    const run = await person.runGraph(researchGraph({ provider: 'local' }, { provider: 'brave', max_attempts: 1 }), 'x');
    assert.equal(run.status, 'failed');
    assert.equal(run.error.node_id, 'search');
    assert.match(run.error.message, /Brave/);
    assert.match(run.error.message, /key/i);
  });

  test('documents and the web together, each cited', async () => {
    const data = researchGraph({ provider: 'openai', model: 'stub' }, { provider: 'searxng', num_results: 1 });
    data.nodes.push(node('knowledge', 'knowledgeBase'));
    data.edges.push(
      { id: 'k1', source: 'question', target: 'knowledge', sourceHandle: 'text', targetHandle: 'query' },
      { id: 'k2', source: 'knowledge', target: 'llm', sourceHandle: 'context', targetHandle: 'context' });
    const made = await person.createWorkflow(data);
    await person.uploadReady('leave.txt', 'Our own rule grants thirty days of leave.', made.id);
    app.stubs.openai.always('ok', { text: 'One source [1], another source [2].' });
    const run = await person.run(made.id, 'how many days of leave');
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    const kinds = run.output.citations.map((citation: any) => (citation.url ? 'web' : 'document')).toSorted();
    assert.deepEqual(kinds, ['document', 'web']);
  });
});
