/* SPDX-License-Identifier: Apache-2.0 */
/* The stubs themselves: a stub that is kinder than the real service would hide faults. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { behaviourByName, llmBehaviours } from './behaviours.ts';
import { Stubs } from './stubs.ts';
import { defaultAnswer, embed } from './text.ts';

const stubs = new Stubs();
before(() => stubs.start());
after(() => stubs.stop());
beforeEach(() => stubs.reset());

const geminiHeaders = { 'x-goog-api-key': 'AQ.key', 'Content-Type': 'application/json' };
const question = { contents: [{ role: 'user', parts: [{ text: 'What is it?' }] }] };

function gemini(model: string, body: unknown = question, method = 'generateContent', headers: Record<string, string> = geminiHeaders) {
  const url = `${stubs.gemini.url}/v1beta/models/${model}:${method}`;
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body), redirect: 'manual' });
}

function openai(body: object, path = 'chat/completions', key = 'sk-x') {
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  return fetch(`${stubs.openai.url}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
}

const messages = [{ role: 'user', content: 'What is it?' }];

/* All pieces of a response as they came, and whether it ended in order. */
async function drain(response: Response): Promise<{ chunks: Buffer[]; text: string; cut: boolean }> {
  const chunks: Buffer[] = [];
  let cut = false;
  try {
    for await (const chunk of response.body!) chunks.push(Buffer.from(chunk));
  } catch {
    cut = true;
  }
  return { chunks, text: Buffer.concat(chunks).toString('utf8'), cut };
}

function events(text: string): any[] {
  return text.split(/\r\n\r\n|\n\n|\r\r/).map((event) => event.trimStart()).filter((event) => event.startsWith('data:') && !event.endsWith('[DONE]'))
    .map((event) => JSON.parse(event.slice('data:'.length)));
}

function shownBy(gemini: any[]): string {
  return gemini.flatMap((e) => e.candidates?.[0]?.content?.parts ?? []).filter((p: any) => !p.thought)
    .map((p: any) => p.text).join('');
}

describe('gemini stub', () => {
  test('answers with usage', async () => {
    const body: any = await (await gemini('gemini-x')).json();
    assert.equal(body.candidates[0].content.parts[0].text, defaultAnswer);
    assert.equal(body.candidates[0].finishReason, 'STOP');
    assert.equal(body.usageMetadata.promptTokenCount, 3);
    assert.equal(stubs.gemini.requests[0]!.json.contents[0].parts[0].text, 'What is it?');
  });

  test('streams server-sent events without [DONE], usage cumulative', async () => {
    const response = await gemini('gemini-x', question, 'streamGenerateContent?alt=sse');
    const { text, cut } = await drain(response);
    assert.equal(cut, false);
    assert.ok(!text.includes('[DONE]'));
    const list = events(text);
    assert.equal(shownBy(list), defaultAnswer);
    const counts = list.map((e) => e.usageMetadata.candidatesTokenCount);
    assert.deepEqual(counts, counts.toSorted((a, b) => a - b));
    assert.equal(list.at(-1).candidates[0].finishReason, 'STOP');
  });

  test('without alt=sse the stream is a JSON array', async () => {
    const body = await (await gemini('gemini-x', question, 'streamGenerateContent')).json();
    assert.ok(Array.isArray(body));
  });

  test('"tiny" splits UTF-8 sequences across writes', async () => {
    const response = await gemini('stub-tiny', question, 'streamGenerateContent?alt=sse');
    const { chunks, text } = await drain(response);
    assert.ok(chunks.length > 50, `${chunks.length} chunks`);
    assert.ok(chunks.some((chunk) => chunk.toString('utf8').includes('\ufffd')), 'no split sequence');
    assert.equal(shownBy(events(text)), defaultAnswer);
  });

  for (const [name, mark] of [['crlf', '\r\n\r\n'], ['cr', '\r\r'], ['comments', '\n:\n'], ['nospace', 'data:{']] as const)
    test(`"${name}" has its mark`, async () => {
      const { text } = await drain(await gemini(`stub-${name}`, question, 'streamGenerateContent?alt=sse'));
      assert.ok(text.includes(mark), JSON.stringify(text.slice(0, 80)));
      assert.equal(shownBy(events(text.replaceAll(/^:.*(\r\n|\r|\n)/gm, ''))), defaultAnswer);
    });

  test('"cut" destroys the connection in mid-answer, "cut-clean" ends without a finish reason', async () => {
    const cut = await drain(await gemini('stub-cut', question, 'streamGenerateContent?alt=sse'));
    assert.equal(cut.cut, true);
    assert.ok(defaultAnswer.startsWith(shownBy(events(cut.text))));
    const clean = await drain(await gemini('stub-cut-clean', question, 'streamGenerateContent?alt=sse'));
    assert.equal(clean.cut, false);
    assert.ok(!clean.text.includes('finishReason'));
    await assert.rejects(gemini('stub-cut-first'));
  });

  test('refuses unknown fields anywhere, in both spellings of names', async () => {
    const bad: any = await (await gemini('m', { ...question, generationConfig: { top_q: 1 } })).json();
    assert.equal(bad.error.status, 'INVALID_ARGUMENT');
    assert.match(bad.error.details[0].fieldViolations[0].description, /Unknown name "top_q" at 'generation_config'/);
    assert.equal((await gemini('m', { ...question, messages: [] })).status, 400);
    assert.equal((await gemini('m', { ...question, generation_config: { max_output_tokens: 5 } })).status, 200);
    assert.equal((await gemini('m', { contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] })).status, 400);
    assert.equal((await gemini('m', { contents: [] })).status, 400);
  });

  test('checks the credential', async () => {
    assert.equal((await gemini('m', question, 'generateContent', {})).status, 403);
    const two = { ...geminiHeaders, Authorization: 'Bearer x' };
    assert.equal((await gemini('m', question, 'generateContent', two)).status, 400);
    const bad: any = await (await gemini('m', question, 'generateContent', { 'x-goog-api-key': 'invalid-1' })).json();
    assert.equal(bad.error.details[0].reason, 'API_KEY_INVALID');
  });

  test('"429-then-ok" names the delay once, "quota" names the day for ever', async () => {
    const first = await gemini('stub-429-then-ok-a');
    assert.equal(first.status, 429);
    const details = ((await first.json()) as any).error.details;
    assert.equal(details.find((d: any) => d.retryDelay)?.retryDelay, '0.2s');
    assert.equal((await gemini('stub-429-then-ok-a')).status, 200);
    for (let i = 0; i < 3; i++) {
      const body: any = await (await gemini('stub-quota')).json();
      assert.match(body.error.details[0].violations[0].quotaId, /PerDay/);
    }
  });

  test('safety blocks, thinking and exhausted budgets look like the real ones', async () => {
    const prompt: any = await (await gemini('stub-safety-prompt')).json();
    assert.equal(prompt.candidates, undefined);
    assert.equal(prompt.promptFeedback.blockReason, 'SAFETY');
    const answer: any = await (await gemini('stub-safety')).json();
    assert.equal(answer.candidates[0].content, undefined);
    assert.equal(answer.candidates[0].finishReason, 'SAFETY');
    const thinking: any = await (await gemini('stub-thinking')).json();
    assert.equal(thinking.candidates[0].content.parts[0].thought, true);
    assert.ok(thinking.usageMetadata.thoughtsTokenCount > 0);
    const budget: any = await (await gemini('stub-max-tokens')).json();
    assert.equal(budget.candidates[0].finishReason, 'MAX_TOKENS');
    assert.equal(budget.candidates[0].content, undefined);
  });

  test('embeds in batches of at most 100 that repeat the model', async () => {
    const request = (model: string) => ({ model, content: { parts: [{ text: 'a red car' }] }, outputDimensionality: 64 });
    const batch = (n: number, model = 'models/gemini-embedding-001') =>
      gemini('gemini-embedding-001', { requests: Array.from({ length: n }, () => request(model)) }, 'batchEmbedContents');
    const good: any = await (await batch(100)).json();
    assert.equal(good.embeddings.length, 100);
    assert.equal(good.embeddings[0].values.length, 64);
    const many: any = await (await batch(101)).json();
    assert.match(many.error.message, /at most 100 requests/);
    assert.equal((await batch(1, 'gemini-embedding-001')).status, 400);
  });

  test('a stalled request is over when the client leaves', async () => {
    const left = new AbortController();
    const url = `${stubs.gemini.url}/v1beta/models/stub-stall:generateContent`;
    const call = fetch(url, { method: 'POST', headers: geminiHeaders, body: JSON.stringify(question), signal: left.signal });
    await stubs.gemini.waitFor((request) => request.path.includes('stub-stall'));
    left.abort();
    await assert.rejects(call);
    const record = await stubs.gemini.waitFor((request) => request.aborted);
    assert.equal(record.finished, false);
  });
});

describe('openai stub', () => {
  test('streams with a usage chunk without choices only when asked', async () => {
    const { text } = await drain(await openai({ model: 'm', messages, stream: true, stream_options: { include_usage: true } }));
    const list = events(text);
    assert.deepEqual(list.at(-1).choices, []);
    assert.ok(list.at(-1).usage.completion_tokens > 0);
    assert.ok(text.endsWith('data: [DONE]\n\n'));
    assert.equal(list.map((e) => e.choices[0]?.delta.content ?? '').join(''), defaultAnswer);
    const plain = await drain(await openai({ model: 'm', messages, stream: true }));
    assert.ok(!plain.text.includes('usage'));
  });

  test('refuses unknown and null fields, unknown roles and bad keys', async () => {
    assert.equal((await openai({ model: 'm', messages, topk: 3 })).status, 400);
    assert.equal((await openai({ model: 'm', messages, temperature: null })).status, 400);
    assert.equal((await openai({ model: 'm', messages: [{ role: 'model', content: 'x' }] })).status, 400);
    assert.equal((await openai({ model: 'm', messages, stream_options: { include_usage: true } })).status, 400);
    assert.equal((await openai({ model: 'm', messages }, 'chat/completions', 'invalid-key')).status, 401);
  });

  test('"strict-tokens" refuses max_tokens only', async () => {
    const refused: any = await (await openai({ model: 'stub-strict-tokens', messages, max_tokens: 5 })).json();
    assert.equal(refused.error.param, 'max_tokens');
    assert.equal((await openai({ model: 'stub-strict-tokens', messages, max_completion_tokens: 5 })).status, 200);
  });

  test('"error-mid" sends an error inside the stream', async () => {
    const { text } = await drain(await openai({ model: 'stub-error-mid', messages, stream: true }));
    assert.ok(events(text).at(-1).error);
  });

  test('embeds: any order, both encodings, no empty text', async () => {
    const input = ['a red car', 'a blue cat'];
    const floats: any = await (await openai({ model: 'm', input }, 'embeddings')).json();
    assert.deepEqual(floats.data.map((d: any) => d.index), [1, 0]);
    const packed: any = await (await openai({ model: 'm', input, encoding_format: 'base64' }, 'embeddings')).json();
    const bytes = Buffer.from(packed.data[0].embedding, 'base64');
    assert.ok(Math.abs(bytes.readFloatLE(0) - floats.data[0].embedding[0]) < 1e-6);
    assert.equal((await openai({ model: 'm', input: [''] }, 'embeddings')).status, 400);
    assert.equal((await openai({ model: 'm', input: new Array(2049).fill('x') }, 'embeddings')).status, 400);
  });
});

describe('search stubs', () => {
  test('brave takes the key in a header and holds the limits', async () => {
    const search = (query: string, key = 'k') =>
      fetch(`${stubs.brave.url}/res/v1/web/search?${query}`, { headers: { 'X-Subscription-Token': key } });
    const body: any = await (await search('q=hello+world&count=3')).json();
    assert.equal(body.web.results.length, 3);
    assert.match(body.web.results[0].description, /<strong>/);
    assert.equal((await search('q=x&count=21')).status, 422);
    assert.equal((await search(`q=${'x'.repeat(401)}`)).status, 422);
    assert.equal((await search('q=x', 'invalid')).status, 422);
    const quota = await search('q=x', 'stub-quota');
    assert.equal(quota.status, 429);
    assert.equal(quota.headers.get('x-ratelimit-remaining'), '0, 0');
    const none: any = await (await search('q=x', 'stub-none')).json();
    assert.equal(none.web, undefined);
  });

  test('serpapi answers 200 with an error when nothing is found', async () => {
    const search = (key: string) => fetch(`${stubs.serpapi.url}/search.json?engine=google&q=x&api_key=${key}`);
    assert.equal(((await (await search('k')).json()) as any).organic_results.length, 10);
    const none: any = await (await search('stub-none')).json();
    assert.match(none.error, /hasn't returned any results/);
    assert.equal((await search('invalid')).status, 401);
    assert.match(((await (await search('stub-quota')).json()) as any).error, /run out of searches/);
  });

  test('searxng speaks JSON only when asked', async () => {
    const search = (query: string) => fetch(`${stubs.searxng.url}/search?${query}`);
    assert.equal(((await (await search('q=x&format=json')).json()) as any).results.length, 20);
    assert.match((await search('q=x')).headers.get('content-type')!, /html/);
    assert.equal((await search('q=stub:429-then-ok&format=json')).status, 429);
    assert.equal((await search('q=stub:429-then-ok&format=json')).status, 200);
  });
});

describe('orders', () => {
  test('the longest behaviour that a model name starts with is meant', () => {
    assert.equal(behaviourByName(llmBehaviours, 'stub-cut-first-then-ok-7'), 'cut-first-then-ok');
    assert.equal(behaviourByName(llmBehaviours, 'stub-cut-7'), 'cut');
    assert.equal(behaviourByName(llmBehaviours, 'stub-cutter'), null);
    assert.equal(behaviourByName(llmBehaviours, 'gemini-cut'), null);
  });

  test('next() is for the next call only, always() for the rest', async () => {
    stubs.gemini.always('503');
    stubs.gemini.next('ok', { text: 'once' });
    const first: any = await (await gemini('m')).json();
    assert.equal(first.candidates[0].content.parts[0].text, 'once');
    assert.equal((await gemini('m')).status, 503);
  });

  test('shared meanings are near, others far', () => {
    const dot = (a: string, b: string) => {
      const [x, y] = [embed(a, 256), embed(b, 256)];
      return x.reduce((sum, value, i) => sum + value * y[i]!, 0);
    };
    assert.ok(dot('the automobile is red', 'the car is red') > 0.99);
    assert.ok(dot('the automobile is red', 'bread needs flour') < 0.3);
  });

  test('the program prints its ports and takes orders over HTTP', async () => {
    const main = fileURLToPath(new URL('main.ts', import.meta.url));
    const child = spawn(process.execPath, [main], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const { env } = JSON.parse(line.toString('utf8')) as { env: Record<string, string> };
      const base = env['OPENAI_BASE_URL']!.replace(/\/v1$/, '');
      const order = (behaviour: string) => fetch(`${base}/__stub/next`, { method: 'POST', body: JSON.stringify({ behaviour }) });
      assert.equal((await order('not-a-behaviour')).status, 400);
      assert.equal((await order('503')).status, 200);
      const call = () => fetch(`${base}/v1/chat/completions`, {
        method: 'POST', headers: { Authorization: 'Bearer k' }, body: JSON.stringify({ model: 'm', messages }),
      });
      assert.deepEqual([(await call()).status, (await call()).status], [503, 200]);
      const records = (await (await fetch(`${base}/__stub/requests`)).json()) as unknown[];
      assert.equal(records.length, 2);
    } finally {
      child.kill();
      assert.equal((await once(child, 'exit'))[0], 0);
    }
  });
});
