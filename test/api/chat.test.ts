/* SPDX-License-Identifier: Apache-2.0 */
/* Chat: a conversation per workflow and person, answered whole or token by token. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';

import { assertField, assertProblem, describeApp, type Client } from './harness.ts';
import { documentGraph, graph, llmGraph, node } from './graphs.ts';
import { pdf, handbookPages } from './files.ts';
import { defaultAnswer } from '../stubs/text.ts';

const stub = { provider: 'openai', model: 'stub', use_history: true };

describeApp('chat', (app) => {
  let person: Client;
  let path: string;
  let workflowId: string;

  before(async () => {
    person = await app.person();
  });
  beforeEach(async () => {
    app.stubs.reset();
    workflowId = (await person.createWorkflow(llmGraph(stub))).id;
    path = `/api/v1/chat/${workflowId}/messages`;
  });

  test('the answer is the assistant\'s message, and both are kept', async () => {
    const answer = await person.post(path, { content: 'Hello 東京' });
    assert.deepEqual([answer.role, answer.content, answer.status], ['assistant', defaultAnswer, 'complete']);
    assert.equal((await person.execution(answer.execution_id)).status, 'completed');
    const list = await person.get(path);
    assert.deepEqual(list.items.map((message: any) => [message.role, message.content]),
      [['assistant', defaultAnswer], ['user', 'Hello 東京']], 'newest first');
    assert.equal(list.items[0].id, answer.id);
    assert.equal(list.total, 2);
  });

  test('the conversation so far is handed to the model, oldest first', async () => {
    app.stubs.openai.next('ok', { text: 'I am Ada.' });
    await person.post(path, { content: 'Who are you?' });
    await person.post(path, { content: 'Say it again.' });
    const { messages } = app.stubs.openai.requests[1]!.json;
    const spoken = messages.filter((message: any) => message.role !== 'system').map((message: any) => [message.role, message.content]);
    assert.deepEqual(spoken.slice(0, 2), [['user', 'Who are you?'], ['assistant', 'I am Ada.']]);
    assert.equal(spoken.at(-1)[0], 'user');
    assert.match(spoken.at(-1)[1], /Say it again\./);
  });

  test('without use_history the model hears the last message only', async () => {
    const made = await person.createWorkflow(llmGraph({ ...stub, use_history: false }));
    for (const content of ['one', 'two']) await person.post(`/api/v1/chat/${made.id}/messages`, { content });
    assert.ok(!JSON.stringify(app.stubs.openai.requests[1]!.json.messages).includes('one'));
  });

  test('with Accept: text/event-stream the tokens stream and the message comes last', async () => {
    app.stubs.openai.next('slow');
    const stream = await person.events(path, { json: { content: 'Stream, please' } });
    const events = await stream.all();
    const tokens = events.filter((event) => event.event === 'node_token');
    assert.ok(tokens.length >= 3);
    assert.equal(tokens.map((event) => event.data.data.text).join(''), defaultAnswer);
    const last = events.at(-1)!;
    assert.equal(last.event, 'message');
    assert.deepEqual([last.data.role, last.data.content, last.data.status], ['assistant', defaultAnswer, 'complete']);
    assert.equal(events.at(-2)!.event, 'execution_completed');
    assert.deepEqual((await person.get(path)).items[0], last.data);
  });

  test('a run that fails is told in the conversation, in plain words', async () => {
    app.stubs.openai.always('forbidden');
    const answer = await person.post(path, { content: 'Hello' });
    assert.equal(answer.status, 'failed');
    assert.ok(answer.content.length > 10 && !/\{|HTTP|null/.test(answer.content), answer.content);
    const stream = await person.events(path, { json: { content: 'Again' } });
    assert.equal((await stream.all()).at(-1)!.data.status, 'failed');
  });

  test('who leaves in mid-answer finds it later', async () => {
    app.stubs.openai.next('slow');
    const stream = await person.events(path, { json: { content: 'I am off' } });
    const first = await stream.next();
    stream.close();
    const socket = await person.socket(workflowId, { query: { after: String(first!.data.seq) } });
    await socket.untilType('execution_completed');
    await socket.close();
    const [answer] = (await person.get(path)).items;
    assert.deepEqual([answer.role, answer.content], ['assistant', defaultAnswer]);
  });

  test('two people talk to their own copies, and nobody reads along', async () => {
    const other = await app.person();
    await person.post(path, { content: 'private' });
    assertProblem(await other.request('GET', path), 404);
    assertProblem(await other.request('POST', path, { json: { content: 'me too' } }), 404);
  });

  test('a conversation has pages and can be forgotten', async () => {
    for (const content of ['1', '2', '3']) await person.post(path, { content });
    const first = await person.get(path, 200, { limit: 4 });
    const second = await person.get(path, 200, { limit: 4, cursor: first.next_cursor });
    assert.deepEqual([first.items.length, second.items.length, first.total], [4, 2, 6]);
    assert.equal(new Set([...first.items, ...second.items].map((message: any) => message.id)).size, 6);
    await person.delete(path);
    assert.equal((await person.get(path)).total, 0);
    await person.post(path, { content: 'fresh' });
    assert.ok(!JSON.stringify(app.stubs.openai.requests.at(-1)!.json.messages).includes('"3"'));
  });

  test('answers cite the document and its page', async () => {
    const made = await person.createWorkflow(documentGraph());
    await person.uploadReady('handbook.pdf', await pdf(handbookPages), made.id);
    const answer = await person.post(`/api/v1/chat/${made.id}/messages`, { content: 'When is the lighthouse door code changed?' });
    assert.match(answer.content, /Wednesday/);
    assert.equal(answer.citations[0].page, 4);
    assert.equal(answer.citations[0].filename, 'handbook.pdf');
  });

  test('bad bodies and graphs that cannot run are refused', async () => {
    const bad = async (json: unknown, field: string) => assertField(await person.request('POST', path, { json }), field);
    await bad({}, 'content');
    await bad({ content: '' }, 'content');
    await bad({ content: 'x'.repeat(1_000_000) }, 'content');
    await bad({ content: 'x', role: 'system' }, 'role');
    const broken = await person.createWorkflow(graph([node('o', 'output')], []));
    assertProblem(await person.request('POST', `/api/v1/chat/${broken.id}/messages`, { json: { content: 'x' } }), 422);
  });
});
