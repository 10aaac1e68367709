/* SPDX-License-Identifier: Apache-2.0 */
/* Durability: the program is killed in the middle of its work, started again on the same data, and
 * goes on from the last committed step. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';

import { describeApp, type Client } from './harness.ts';
import { chainGraph, documentGraph, stepOf } from './graphs.ts';
import type { Recorded } from '../stubs/stub.ts';

const stub = { provider: 'openai', model: 'stub' };

/* The model repeats what it is asked; the second node is recognised by its prompt. */
const twoSteps = () => chainGraph(
  { ...stub, prompt: 'one:{{question.text}}', max_attempts: 1 },
  { ...stub, prompt: 'two:{{first.text}}', max_attempts: 1 });
const promptOf = (record: Recorded): string => record.json.messages.at(-1).content;

describeApp('durability', (app) => {
  let person: Client;

  before(async () => {
    person = await app.person();
  });
  beforeEach(() => app.stubs.reset());

  async function crash(): Promise<void> {
    await app.kill();
    await app.launch();
  }

  test('after kill -9 a run goes on, and what was committed is not done again', async () => {
    const made = await person.createWorkflow(twoSteps());
    app.stubs.openai.decide((record) => (promptOf(record).startsWith('two:') ? 'stall' : 'echo'));
    const id = await person.start(made.id, 'sum', { 'Idempotency-Key': 'crash' });
    await app.stubs.openai.waitFor((record) => promptOf(record).startsWith('two:'));
    const halfway = await person.execution(id);
    assert.equal(stepOf(halfway, 'first').status, 'completed', 'committed before its successor started');
    app.stubs.openai.decide(() => 'echo');
    await crash();
    const run = await person.finish(id);
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.output.text, 'two:one:sum');
    const prompts = app.stubs.openai.requests.map(promptOf).toSorted();
    assert.deepEqual(prompts, ['one:sum', 'two:one:sum', 'two:one:sum'], 'the first step ran once, the second again');
    assert.deepEqual(stepOf(run, 'first'), stepOf(halfway, 'first'));
    assert.equal(stepOf(run, 'second').attempt, 2);
    assert.equal(await person.start(made.id, 'sum', { 'Idempotency-Key': 'crash' }), id, 'the key outlives the crash');
  });

  test('events go on with higher numbers; a tab that reconnects misses nothing', async () => {
    const made = await person.createWorkflow(twoSteps());
    app.stubs.openai.decide((record) => (promptOf(record).startsWith('two:') ? 'stall-mid' : 'echo'));
    const tab = await person.socket(made.id);
    const id = await person.start(made.id, 'tab');
    await tab.until((messages) => messages.some((m) => m.node_id === 'second' && m.type === 'node_token'));
    app.stubs.openai.decide(() => 'echo');
    await crash();
    await tab.untilClosed();
    const last = tab.messages.at(-1).seq;
    const again = await person.socket(made.id, { query: { after: String(last) } });
    await again.untilType('execution_completed');
    assert.ok(again.messages.every((message) => message.seq > last));
    const ends = [...tab.messages, ...again.messages].filter((m) => m.type === 'node_completed').map((m) => m.node_id);
    assert.deepEqual(ends, ['question', 'first', 'second', 'answer'], 'each end is told once');
    assert.ok([...tab.messages, ...again.messages].every((message) => message.execution_id === id));
    await again.close();
  });

  test('of forty runs cut off in the middle every one completes', async () => {
    const made = await person.createWorkflow(twoSteps());
    let calls = 0;
    app.stubs.openai.decide((record) => {
      calls++;
      return promptOf(record).startsWith('two:') && calls % 2 ? 'stall' : 'echo';
    });
    const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => person.start(made.id, `n${i}`)));
    await app.stubs.openai.waitFor(() => app.stubs.openai.requests.filter((r) => promptOf(r).startsWith('two:')).length >= 15);
    const committed = new Set(app.stubs.openai.requests.map(promptOf).filter((p) => p.startsWith('two:')).map((p) => p.slice(4)));
    await app.kill();
    const before = app.stubs.openai.requests.length;
    app.stubs.openai.decide(() => 'echo');
    await app.launch();
    for (const [i, id] of ids.entries()) {
      const run = await person.finish(id);
      assert.equal(run.status, 'completed', JSON.stringify(run.error));
      assert.equal(run.output.text, `two:one:n${i}`);
    }
    const repeated = app.stubs.openai.requests.slice(before).map(promptOf).filter((prompt) => committed.has(prompt));
    assert.deepEqual(repeated, [], 'first steps whose successor had begun were committed');
  });

  test('a cancelled run stays cancelled', async () => {
    const made = await person.createWorkflow(twoSteps());
    app.stubs.openai.always('stall');
    const id = await person.start(made.id);
    await app.stubs.openai.waitFor(() => true);
    await person.request('POST', `/api/v1/executions/${id}/cancel`, { expect: 202 });
    await person.finish(id);
    app.stubs.openai.reset();
    await crash();
    assert.equal((await person.execution(id)).status, 'cancelled');
    assert.equal(app.stubs.openai.requests.length, 0);
  });

  test('a document cut off in mid-processing is processed, once', async () => {
    const made = await person.createWorkflow(documentGraph());
    const text = Array.from({ length: 4000 }, (_, i) => `Paragraph ${i} about subject${i} and nothing else at all.`).join('\n\n');
    const document = await person.upload('long.txt', text, made.id);
    await crash();
    assert.equal((await person.processed(document.id)).status, 'ready');
    const { results } = await person.post('/api/v1/search/documents', { query: 'subject2222', workflow_id: made.id });
    assert.equal(results.filter((result: any) => result.content.includes('subject2222 ')).length, 1);
  });

  test('an answer of the chat that was being written is finished', async () => {
    const made = await person.createWorkflow(twoSteps());
    app.stubs.openai.decide((record) => (promptOf(record).startsWith('two:') ? 'stall' : 'echo'));
    const path = `/api/v1/chat/${made.id}/messages`;
    const stream = await person.events(path, { json: { content: 'chat' } });
    await app.stubs.openai.waitFor((record) => promptOf(record).startsWith('two:'));
    app.stubs.openai.decide(() => 'echo');
    const { data } = (await stream.next())!;
    await app.kill();
    stream.close();
    await app.launch();
    await person.finish(data.execution_id);
    const [answer] = (await person.get(path)).items;
    assert.deepEqual([answer.role, answer.status, answer.content], ['assistant', 'complete', 'two:one:chat']);
  });

  test('SIGTERM in mid-run: the next start goes on', async () => {
    const made = await person.createWorkflow(twoSteps());
    app.stubs.openai.decide((record) => (promptOf(record).startsWith('two:') ? 'stall' : 'echo'));
    const id = await person.start(made.id, 'term');
    await app.stubs.openai.waitFor((record) => promptOf(record).startsWith('two:'));
    await app.terminate();
    app.stubs.openai.decide(() => 'echo');
    await app.launch();
    const run = await person.finish(id);
    assert.deepEqual([run.status, run.output?.text], ['completed', 'two:one:term']);
  });

  test('a database cut off in mid-write opens again and keeps what was answered', async () => {
    const path = '/api/v1/workflows';
    const names: string[] = [];
    let writing = true;
    const writers = Array.from({ length: 4 }, async (_, w) => {
      for (let i = 0; writing; i++) {
        const answer = await person.fetch('POST', path, { json: { name: `w${w}-${i}` } }).catch(() => null);
        if (answer?.status === 201) names.push(((await answer.json().catch(() => ({}))) as any).name);
      }
    });
    await new Promise<void>((resolve) => {
      const watch = setInterval(() => {
        if (names.length < 50) return;
        clearInterval(watch);
        resolve();
      }, 5);
    });
    await app.kill();
    writing = false;
    await Promise.all(writers);
    await app.launch();
    const kept = new Set<string>();
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: any = await person.get(path, 200, { limit: 100, ...(cursor ? { cursor } : {}) });
      for (const item of page.items) kept.add(item.name);
      cursor = page.next_cursor;
    }
    const lost = names.filter((name) => name && !kept.has(name));
    assert.deepEqual(lost, [], 'what was answered 201 is kept');
  });
});
