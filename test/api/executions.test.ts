/* SPDX-License-Identifier: Apache-2.0 */
/* Executions: runs with their steps, usage, events, idempotency, cancel and per-node behaviour. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { assertField, assertProblem, describeApp, uuidPattern, type Client } from './harness.ts';
import { chainGraph, documentGraph, edge, graph, llmGraph, node, searchGraph, stepOf } from './graphs.ts';
import { defaultAnswer } from '../stubs/text.ts';

const stub = { provider: 'openai', model: 'stub' };
const unknownId = '019a5c20-1111-7aaa-8bbb-0123456789ab';

describeApp('executions', (app) => {
  let person: Client;
  let other: Client;

  before(async () => {
    person = await app.person();
    other = await app.person();
  });
  beforeEach(() => app.stubs.reset());

  test('wait: true answers with the whole execution', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const run = await person.run(made.id, 'Was ist es? 東京');
    assert.match(run.id, uuidPattern);
    assert.deepEqual([run.status, run.workflow_id, run.workflow_version, run.user_input, run.error],
      ['completed', made.id, 1, 'Was ist es? 東京', null]);
    assert.equal(run.output.text, defaultAnswer);
    for (const [id, type] of [['question', 'userQuery'], ['llm', 'llmEngine'], ['answer', 'output']] as const) {
      const step = stepOf(run, id);
      assert.deepEqual([step.type, step.status, step.attempt], [type, 'completed', 1]);
    }
    assert.deepEqual(run.steps.map((step: any) => step.node_id), ['question', 'llm', 'answer'], 'in the order they began');
    for (const step of run.steps) assert.ok(step.started_at <= step.finished_at);
    assert.ok(run.created_at <= run.started_at && run.started_at <= run.finished_at);
    assert.deepEqual(await person.execution(run.id), run, 'the answer and what is stored are the same');
  });

  test('wait: false answers at once, and the run can be read to its end', async () => {
    app.stubs.openai.next('slow');
    const made = await person.createWorkflow(llmGraph(stub));
    const id = await person.start(made.id);
    const early = await person.execution(id);
    assert.ok(['queued', 'running'].includes(early.status), early.status);
    const late = await person.finish(id);
    assert.equal(late.status, 'completed');
    assert.equal(stepOf(late, 'llm').output.text, defaultAnswer);
  });

  test('steps tell input and output, usage of the model and its cost', async () => {
    const run = await person.runGraph(llmGraph({ provider: 'openai', model: 'gpt-4o-mini' }), 'Count these tokens');
    const step = stepOf(run, 'llm');
    assert.match(JSON.stringify(step.input), /Count these tokens/);
    const record = app.stubs.openai.requests[0]!;
    assert.match(JSON.stringify(record.json.messages), /Count these tokens/);
    for (const usage of [step.usage, run.usage]) {
      assert.ok(usage.input_tokens > 0 && usage.output_tokens > 0);
      assert.ok(usage.time_to_first_token_ms >= 0);
      assert.ok(typeof usage.cost_dollars === 'number' || usage.cost_dollars === null);
    }
    assert.equal(stepOf(run, 'question').usage, null);
  });

  test('usage of several models is added up', async () => {
    const run = await person.runGraph(chainGraph(stub, stub));
    const [first, second] = [stepOf(run, 'first').usage, stepOf(run, 'second').usage];
    assert.equal(run.usage.input_tokens, first.input_tokens + second.input_tokens);
    assert.equal(run.usage.output_tokens, first.output_tokens + second.output_tokens);
  });

  test('context and node outputs fill templates', async () => {
    app.stubs.openai.always('echo');
    const data = llmGraph({ ...stub, prompt: 'Repeat: {{question.text}}!' }, { template: 'Said: {{llm.text}} / {{question.text}}' });
    const run = await person.runGraph(data, 'hello {{question.text}}');
    assert.equal(app.stubs.openai.requests[0]!.json.messages.at(-1).content, 'Repeat: hello {{question.text}}!');
    assert.equal(run.output.text, 'Said: Repeat: hello {{question.text}}! / hello {{question.text}}', 'values are not templates again');
  });

  test('branches run at the same time', async () => {
    app.stubs.openai.always('slow');
    const branches = ['a', 'b', 'c', 'd', 'e', 'f'];
    const data = graph(
      [node('q', 'userQuery'), ...branches.map((id) => node(id, 'llmEngine', stub)),
        node('o', 'output', { template: branches.map((id) => `{{${id}.text}}`).join('') })],
      [...branches.map((id) => `q:text -> ${id}:query`), ...branches.map((id) => `${id}:answer -> o:input`)]);
    const run = await person.runGraph(data);
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    /* Started one after the other they would not overlap at all. */
    const starts = branches.map((id) => stepOf(run, id).started_at).toSorted();
    const ends = branches.map((id) => stepOf(run, id).finished_at).toSorted();
    assert.ok(starts.at(-1)! < ends[0]!, `${starts} / ${ends}`);
    assert.equal(run.output.text, defaultAnswer.repeat(6));
  });

  test('output formats: json must be JSON', async () => {
    app.stubs.openai.always('json');
    const run = await person.runGraph(llmGraph({ ...stub, json_output: true }, { format: 'json' }));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.deepEqual(JSON.parse(run.output.text), { answer: 'forty-two', certain: true });
    assert.equal(app.stubs.openai.requests[0]!.json.response_format?.type, 'json_object');
    app.stubs.openai.always('json-bad');
    const bad = await person.runGraph(llmGraph({ ...stub, json_output: true, max_attempts: 1 }));
    assert.equal(bad.status, 'failed');
    assert.match(bad.error.message, /JSON/);
  });

  /* --- Idempotency ----------------------------------------------------------------------------- */
  test('the same idempotency key gives the same execution', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const key = { 'Idempotency-Key': 'order-1' };
    const first = await person.start(made.id, 'once', key);
    await person.finish(first);
    assert.equal(await person.start(made.id, 'once', key), first);
    const quoted = await person.start(made.id, 'once', { 'Idempotency-Key': '"order-1"' });
    assert.equal(quoted, first, 'quotes of the draft are not part of the key');
    const waited = await person.request('POST', `/api/v1/workflows/${made.id}/execute`,
      { json: { user_input: 'once', wait: true }, headers: key });
    assert.ok(waited.status === 200 ? waited.body.id === first : waited.status === 422, waited.text);
    assert.equal(app.stubs.openai.requests.length, 1, 'the model was asked once');
    assert.equal((await person.get(`/api/v1/workflows/${made.id}/executions`)).total, 1);
  });

  test('a key whose first run still goes is not waited for twice', async () => {
    app.stubs.openai.next('slow');
    const made = await person.createWorkflow(llmGraph(stub));
    const ask = () => person.request('POST', `/api/v1/workflows/${made.id}/execute`,
      { json: { user_input: 'x', wait: true }, headers: { 'Idempotency-Key': 'twice' } });
    const first = ask();
    await app.stubs.openai.waitFor(() => true);
    assertProblem(await ask(), 409);
    const answer = await first;
    assert.equal(answer.status, 200);
    assert.equal((await ask()).body.id, answer.body.id, 'once it has ended it is told again');
    assert.equal(app.stubs.openai.requests.length, 1);
  });

  test('of many requests at once with one key one execution runs', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const ids = await Promise.all(Array.from({ length: 10 }, () => person.start(made.id, 'x', { 'Idempotency-Key': 'burst' })));
    assert.equal(new Set(ids).size, 1);
    await person.finish(ids[0]!);
    assert.equal(app.stubs.openai.requests.length, 1);
  });

  test('the same key with another body is refused, another person or key is free', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    await person.start(made.id, 'one', { 'Idempotency-Key': 'k' });
    const clash = await person.request('POST', `/api/v1/workflows/${made.id}/execute`,
      { json: { user_input: 'two' }, headers: { 'Idempotency-Key': 'k' } });
    assertProblem(clash, 422, /idempotency/i);
    const mine = await other.createWorkflow(llmGraph(stub));
    await other.start(mine.id, 'two', { 'Idempotency-Key': 'k' });
    for (const bad of ['', 'x'.repeat(256)]) {
      const answer = await person.request('POST', `/api/v1/workflows/${made.id}/execute`,
        { json: { user_input: 'x' }, headers: { 'Idempotency-Key': bad } });
      assert.ok(answer.status === 400 || (bad === '' && answer.status === 202), `${answer.status} for a key of ${bad.length}`);
    }
  });

  /* --- Lists and access ------------------------------------------------------------------------ */
  test('runs are listed newest first, with pages', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await person.run(made.id, `run ${i}`)).id);
    const path = `/api/v1/workflows/${made.id}/executions`;
    const first = await person.get(path, 200, { limit: 3 });
    const second = await person.get(path, 200, { limit: 3, cursor: first.next_cursor });
    assert.deepEqual([...first.items, ...second.items].map((item: any) => item.id), ids.toReversed());
    assert.deepEqual([first.total, second.total, second.next_cursor], [5, 5, null]);
  });

  test('executions of another are not there', async () => {
    const run = await person.runGraph(llmGraph(stub));
    for (const [method, path] of [['GET', ''], ['POST', '/cancel'], ['GET', '/events']])
      assertProblem(await other.request(method!, `/api/v1/executions/${run.id}${path}`), 404);
    assertProblem(await person.request('GET', `/api/v1/executions/${unknownId}`), 404);
  });

  test('bad bodies name the field', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const bad = async (json: unknown, field: string) =>
      assertField(await person.request('POST', `/api/v1/workflows/${made.id}/execute`, { json }), field);
    await bad({}, 'user_input');
    await bad({ user_input: 7 }, 'user_input');
    await bad({ user_input: 'x'.repeat(1_000_000) }, 'user_input');
    await bad({ user_input: 'x', wait: 'yes' }, 'wait');
    await bad({ user_input: 'x', context: [1] }, 'context');
    await bad({ user_input: 'x', speed: 9 }, 'speed');
    assert.equal(app.stubs.openai.requests.length, 0);
  });

  /* --- Cancel ---------------------------------------------------------------------------------- */
  for (const behaviour of ['stall', 'stall-mid'] as const)
    test(`cancel in a "${behaviour}" of the model takes effect at once`, async () => {
      app.stubs.openai.next(behaviour);
      const made = await person.createWorkflow(chainGraph(stub, stub));
      const id = await person.start(made.id);
      await app.stubs.openai.waitFor((record) => record.method === 'POST');
      const began = Date.now();
      const answer = await person.request('POST', `/api/v1/executions/${id}/cancel`, { expect: 202 });
      assert.equal(answer.body.execution_id, id);
      const run = await person.finish(id);
      assert.ok(Date.now() - began < 3000, `took ${Date.now() - began} ms`);
      assert.equal(run.status, 'cancelled');
      assert.notEqual(stepOf(run, 'first').status, 'completed');
      assert.equal(run.steps.filter((step: any) => step.node_id === 'second' && step.status === 'completed').length, 0);
      await app.stubs.openai.waitFor((record) => record.aborted);
      assert.equal(app.stubs.openai.requests.length, 1);
      assertProblem(await person.request('POST', `/api/v1/executions/${id}/cancel`), 409);
    });

  test('cancel breaks off a web search', async () => {
    app.stubs.brave.next('stall');
    const made = await person.createWorkflow(searchGraph({ provider: 'brave' }));
    const id = await person.start(made.id);
    await app.stubs.brave.waitFor(() => true);
    await person.request('POST', `/api/v1/executions/${id}/cancel`, { expect: 202 });
    assert.equal((await person.finish(id)).status, 'cancelled');
    await app.stubs.brave.waitFor((record) => record.aborted);
  });

  test('cancel while waiting to try again takes effect at once', async () => {
    app.stubs.openai.always('503');
    const made = await person.createWorkflow(llmGraph({ ...stub, max_attempts: 10 }));
    const id = await person.start(made.id);
    await app.stubs.openai.waitFor(() => true);
    await person.request('POST', `/api/v1/executions/${id}/cancel`, { expect: 202 });
    assert.equal((await person.finish(id)).status, 'cancelled');
  });

  test('a finished run cannot be cancelled', async () => {
    const run = await person.runGraph(llmGraph(stub));
    assertProblem(await person.request('POST', `/api/v1/executions/${run.id}/cancel`), 409);
    assert.equal((await person.execution(run.id)).status, 'completed');
  });

  /* --- What a failed node does ------------------------------------------------------------------ */
  test('on_error fail: the run fails and says which node and why', async () => {
    app.stubs.openai.always('forbidden');
    const run = await person.runGraph(chainGraph(stub, stub));
    assert.deepEqual([run.status, run.error.node_id, run.output], ['failed', 'first', null]);
    assert.ok(run.error.message.length > 10);
    assert.equal(stepOf(run, 'first').status, 'failed');
    assert.equal(stepOf(run, 'first').error.message, run.error.message);
    const later = run.steps.filter((step: any) => ['second', 'answer'].includes(step.node_id));
    for (const step of later) assert.ok(['skipped', 'pending'].includes(step.status), step.status);
  });

  test('on_error default: the run goes on with the default', async () => {
    app.stubs.openai.always('forbidden');
    const run = await person.runGraph(llmGraph({ ...stub, on_error: 'default', default_output: { text: 'Sorry, later.' } }));
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.output.text, 'Sorry, later.');
  });

  const branching = () => graph(
    [
      node('q', 'userQuery'), node('risky', 'llmEngine', { ...stub, on_error: 'branch' }),
      node('good', 'output', { template: 'good: {{risky.text}}' }),
      node('bad', 'output', { template: 'sorry' }),
    ],
    ['q:text -> risky:query', 'risky:answer -> good:input', 'risky:error -> bad:input']);

  test('on_error branch: the error output is followed, the other one skipped', async () => {
    app.stubs.openai.next('forbidden');
    const run = await person.runGraph(branching());
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.output.text, 'sorry');
    assert.equal(stepOf(run, 'good').status, 'skipped');
  });

  test('on_error branch: without an error the error branch is skipped', async () => {
    const run = await person.runGraph(branching());
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.output.text, `good: ${defaultAnswer}`);
    assert.equal(stepOf(run, 'bad').status, 'skipped');
  });

  test('timeout_seconds ends a node that stalls, with a reason', async () => {
    app.stubs.openai.always('stall');
    const began = Date.now();
    const run = await person.runGraph(llmGraph({ ...stub, timeout_seconds: 0.5, max_attempts: 1 }));
    assert.ok(Date.now() - began < 8000);
    assert.equal(run.status, 'failed');
    assert.match(run.error.message, /time|seconds|answer/i);
    await app.stubs.openai.waitFor((record) => record.aborted);
  });

  test('max_attempts tries again and says so', async () => {
    app.stubs.openai.next('500');
    const made = await person.createWorkflow(llmGraph({ ...stub, max_attempts: 3 }));
    const id = await person.start(made.id);
    const run = await person.finish(id);
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(app.stubs.openai.requests.length, 2);
  });

  test('100 runs at once all complete', async () => {
    const made = await person.createWorkflow(llmGraph(stub));
    const ids = await Promise.all(Array.from({ length: 100 }, (_, i) => person.start(made.id, `run ${i}`)));
    for (const id of ids) {
      const run = await person.finish(id);
      assert.equal(run.status, 'completed', JSON.stringify(run.error));
    }
    assert.equal(app.stubs.openai.requests.length, 100);
  });

  test('a graph of 300 nodes runs', async () => {
    const count = 300;
    const nodes = Array.from({ length: count }, (_, i) => node(`n${i}`, 'llmEngine', { provider: 'local' }));
    const data = graph([node('q', 'userQuery'), ...nodes, node('o', 'output')], []);
    data.edges = [edge('q:text -> n0:query'),
      ...nodes.slice(1).map((_, i) => edge(`n${i}:answer -> n${i + 1}:query`)), edge(`n${count - 1}:answer -> o:input`)];
    const run = await person.runGraph(data);
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    assert.equal(run.steps.length, count + 2);
  });

  test('the version that ran is told, whatever was saved meanwhile', async () => {
    app.stubs.openai.next('slow');
    const made = await person.createWorkflow(llmGraph(stub));
    const id = await person.start(made.id);
    await person.put(`/api/v1/workflows/${made.id}`, { workflow_data: documentGraph() });
    const run = await person.finish(id);
    assert.deepEqual([run.workflow_version, run.status], [1, 'completed']);
    assert.equal((await person.run(made.id)).workflow_version, 2);
  });
});

describeApp('executions: one at a time', (app) => {
  test('more wait as queued, in their order, and can be cancelled while they wait', async () => {
    const person = await app.person();
    app.stubs.openai.always('stall');
    const made = await person.createWorkflow(llmGraph(stub));
    const first = await person.start(made.id, 'first');
    await app.stubs.openai.waitFor(() => true);
    const [second, third] = [await person.start(made.id, 'second'), await person.start(made.id, 'third')];
    for (const id of [second, third]) {
      const waiting = await person.execution(id);
      assert.deepEqual([waiting.status, waiting.started_at], ['queued', null]);
    }
    const metrics = await app.client().get('/metrics');
    assert.match(metrics, /^flowgenix_workflow_executions_queued 2$/m);
    assert.match(metrics, /^flowgenix_workflow_executions_running 1$/m);
    await person.request('POST', `/api/v1/executions/${second}/cancel`, { expect: 202 });
    assert.equal((await person.finish(second)).status, 'cancelled');
    app.stubs.openai.always(null);
    await person.request('POST', `/api/v1/executions/${first}/cancel`, { expect: 202 });
    assert.equal((await person.finish(third)).status, 'completed');
    assert.equal(app.stubs.openai.requests.length, 2, 'the one cancelled in the queue never asked');
  });
}, { env: { EXECUTION_CONCURRENCY: '1' } });

const prices = join(mkdtempSync(join(tmpdir(), 'flowgenix-prices-')), 'prices.json');

describeApp('executions: prices', (app) => {
  after(() => rmSync(dirname(prices), { recursive: true }));

  test('cost follows the price table that was set', async () => {
    const person = await app.person();
    const run = await person.runGraph(chainGraph(stub, { ...stub, model: 'unknown-model' }));
    const [known, unknown] = [stepOf(run, 'first').usage, stepOf(run, 'second').usage];
    const expected = known.input_tokens * 2 + known.output_tokens * 3;
    assert.ok(Math.abs(known.cost_dollars - expected) < 1e-6, `${known.cost_dollars} instead of ${expected}`);
    assert.ok(unknown.cost_dollars === null || unknown.cost_dollars === 0);
    assert.ok(Math.abs(run.usage.cost_dollars - expected) < 1e-6);
    const metrics = await app.client().get('/metrics');
    const cost = /^flowgenix_llm_cost_dollars_total\{provider="openai",model="stub"\} (\S+)$/m.exec(metrics);
    assert.ok(Math.abs(Number(cost?.[1]) - expected) < 1e-6, cost?.[0]);
  });
}, { env: { PRICE_FILE: prices } });

writeFileSync(prices, JSON.stringify({
  updated: '2026-11-01', prices: [{ provider: 'openai', model: 'stub', input: 2_000_000, output: 3_000_000 }],
}));
