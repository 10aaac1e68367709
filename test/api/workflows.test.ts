/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows: saved, versioned, listed, validated, carried from server to server, and private. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, uuidPattern, type Client } from './harness.ts';
import { documentGraph, edge, graph, llmGraph, node, type Graph } from './graphs.ts';

describeApp('workflows', (app) => {
  let person: Client;
  let other: Client;

  before(async () => {
    person = await app.person();
    other = await app.person();
  });

  test('a workflow keeps what it was given', async () => {
    const data = documentGraph();
    const answer = await person.request('POST', '/api/v1/workflows',
      { json: { name: 'Fragen 東京 🚀', description: 'Ünïcode', workflow_data: data }, expect: 201 });
    const made = answer.body;
    assert.match(made.id, uuidPattern);
    assert.equal(answer.headers.get('location'), `/api/v1/workflows/${made.id}`);
    assert.deepEqual([made.name, made.description, made.version], ['Fragen 東京 🚀', 'Ünïcode', 1]);
    assert.deepEqual(made.workflow_data, data);
    assert.deepEqual(await person.get(`/api/v1/workflows/${made.id}`), made);
  });

  test('an unfinished graph can be saved', async () => {
    const made = await person.createWorkflow({ nodes: [node('a', 'userQuery')], edges: [] });
    assert.equal(made.version, 1);
    assert.deepEqual((await person.post('/api/v1/workflows', { name: 'Empty' }, 201)).workflow_data.nodes, []);
  });

  test('every save makes a version, and each can be read', async () => {
    const made = await person.createWorkflow(llmGraph({ provider: 'local' }), 'First');
    const second = await person.put(`/api/v1/workflows/${made.id}`,
      { name: 'Second', workflow_data: documentGraph(), version: 1 });
    assert.deepEqual([second.version, second.name], [2, 'Second']);
    const third = await person.put(`/api/v1/workflows/${made.id}`, { name: 'Third' });
    assert.equal(third.version, 3);
    assert.deepEqual(third.workflow_data, documentGraph(), 'what is left out keeps its value');
    const versions = await person.get(`/api/v1/workflows/${made.id}/versions`);
    assert.deepEqual(versions.items.map((item: any) => item.version), [3, 2, 1]);
    assert.equal(versions.total, 3);
    const first = await person.get(`/api/v1/workflows/${made.id}/versions/1`);
    assert.deepEqual([first.name, first.workflow_data], ['First', llmGraph({ provider: 'local' })]);
    assertProblem(await person.request('GET', `/api/v1/workflows/${made.id}/versions/9`), 404);
  });

  test('a save from an older version is a conflict and changes nothing', async () => {
    const made = await person.createWorkflow(documentGraph());
    await person.put(`/api/v1/workflows/${made.id}`, { name: 'Mine', version: 1 });
    const late = await person.request('PUT', `/api/v1/workflows/${made.id}`, { json: { name: 'Late', version: 1 } });
    assertProblem(late, 409);
    const now = await person.get(`/api/v1/workflows/${made.id}`);
    assert.deepEqual([now.name, now.version], ['Mine', 2]);
  });

  test('of saves at once from one version exactly one succeeds', async () => {
    const made = await person.createWorkflow(documentGraph());
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) =>
      person.request('PUT', `/api/v1/workflows/${made.id}`, { json: { name: `Save ${i}`, version: 1 } })));
    assert.deepEqual(answers.map((answer) => answer.status).toSorted(), [200, 409, 409, 409, 409, 409]);
  });

  test('a deleted workflow is gone', async () => {
    const made = await person.createWorkflow(documentGraph());
    const run = await person.run(made.id);
    await person.delete(`/api/v1/workflows/${made.id}`);
    assertProblem(await person.request('GET', `/api/v1/workflows/${made.id}`), 404);
    assertProblem(await person.request('GET', `/api/v1/executions/${run.id}`), 404);
    assertProblem(await person.request('DELETE', `/api/v1/workflows/${made.id}`), 404);
  });

  test('lists page through everything once, newest change first', async () => {
    const lister = await app.person();
    const names = Array.from({ length: 7 }, (_, i) => `Workflow ${i}`);
    for (const name of names) await lister.post('/api/v1/workflows', { name }, 201);
    const seen: string[] = [];
    let cursor: string | null = '';
    let pages = 0;
    while (cursor !== null) {
      const page: any = await lister.get('/api/v1/workflows', 200, { limit: 3, ...(cursor ? { cursor } : {}) });
      assert.equal(page.total, 7);
      assert.ok(page.items.length <= 3);
      seen.push(...page.items.map((item: any) => item.name));
      cursor = page.next_cursor;
      pages++;
    }
    assert.equal(pages, 3);
    assert.deepEqual(seen, names.toReversed());
    const first = (await lister.get('/api/v1/workflows', 200, { limit: 1 })).items[0];
    assert.ok(!('workflow_data' in first));
    assert.equal(first.last_execution, null);
  });

  test('the list tells what ran last', async () => {
    const lister = await app.person();
    const made = await lister.createWorkflow(llmGraph({ provider: 'openai', model: 'stub' }));
    const run = await lister.run(made.id);
    const [item] = (await lister.get('/api/v1/workflows')).items;
    assert.deepEqual([item.last_execution.id, item.last_execution.status], [run.id, 'completed']);
  });

  test('bad limits and cursors are refused by name', async () => {
    for (const limit of ['0', '-1', '101', 'x', '1e2', '99999999999999999999', ''])
      assertField(await person.request('GET', '/api/v1/workflows', { query: { limit } }), 'limit');
    for (const cursor of ['forged', '../../etc/passwd', "' OR 1=1 --", 'x'.repeat(1000)])
      assertProblem(await person.request('GET', '/api/v1/workflows', { query: { cursor } }), 400);
  });

  test('a workflow of another is not there, whatever is done to it', async () => {
    const { id } = await person.createWorkflow(documentGraph());
    const attempts: [string, string, object?][] = [
      ['GET', ''], ['PUT', '', { name: 'Stolen' }], ['DELETE', ''], ['POST', '/validate'], ['GET', '/export'],
      ['GET', '/versions'], ['GET', '/versions/1'], ['GET', '/executions'], ['POST', '/execute', { user_input: 'x' }],
    ];
    for (const [method, path, json] of attempts) {
      const answer = await other.request(method, `/api/v1/workflows/${id}${path}`, json ? { json } : {});
      assertProblem(answer, 404);
    }
    for (const [method, json] of [['GET'], ['POST', { content: 'x' }], ['DELETE']] as const)
      assertProblem(await other.request(method, `/api/v1/chat/${id}/messages`, json ? { json } : {}), 404);
    assert.equal((await other.get('/api/v1/workflows')).items.some((item: any) => item.id === id), false);
    assert.equal((await person.get(`/api/v1/workflows/${id}`)).name, 'A workflow');
  });

  test('the administrator does not own what members own', async () => {
    const { id } = await other.createWorkflow(documentGraph());
    assertProblem(await person.request('GET', `/api/v1/workflows/${id}`), 404);
  });

  test('ids that are none are refused, ids of nothing are not found', async () => {
    for (const id of ['x', '1', 'null', '%00', '..%2f..', "'%20OR%201=1", '019a5c20-1111-7aaa-8bbb-0123456789abZ'])
      assertProblem(await person.request('GET', `/api/v1/workflows/${id}`), [400, 404]);
    assertProblem(await person.request('GET', '/api/v1/workflows/019a5c20-1111-7aaa-8bbb-0123456789ab'), 404);
  });

  test('bad bodies name the field', async () => {
    const bad = async (json: unknown, field: string | RegExp) =>
      assertField(await person.request('POST', '/api/v1/workflows', { json }), field);
    await bad({}, 'name');
    await bad({ name: '' }, 'name');
    await bad({ name: 7 }, 'name');
    await bad({ name: 'x'.repeat(1_000_000) }, 'name');
    await bad({ name: 'x', description: ['y'] }, 'description');
    await bad({ name: 'x', owner_id: 'me' }, 'owner_id');
    await bad({ name: 'x', workflow_data: 'graph' }, /^workflow_data/);
    await bad({ name: 'x', workflow_data: { nodes: {}, edges: [] } }, /nodes/);
    await bad({ name: 'x', workflow_data: { nodes: [] } }, /edges/);
    await bad({ name: 'x', workflow_data: { nodes: [7], edges: [] } }, /nodes\[0\]/);
  });
});

describeApp('workflows: validation', (app) => {
  let person: Client;

  before(async () => {
    person = await app.person();
  });

  async function problemsOf(data: Graph): Promise<any[]> {
    const made = await person.createWorkflow(data);
    const verdict = await person.post(`/api/v1/workflows/${made.id}/validate`, undefined);
    assert.equal(verdict.valid, verdict.problems.length === 0);
    return verdict.problems;
  }

  /* The problem must name the node and the place, and a run must be refused with it. */
  async function refused(data: Graph, nodeId: string | null, path: RegExp, message: RegExp = /./): Promise<void> {
    const problems = await problemsOf(data);
    const hit = problems.find((problem) =>
      (nodeId === null || problem.node_id === nodeId) && path.test(problem.path) && message.test(problem.message));
    assert.ok(hit, `no problem at ${nodeId} ${path} ${message} in ${JSON.stringify(problems)}`);
    const made = await person.createWorkflow(data);
    const run = await person.request('POST', `/api/v1/workflows/${made.id}/execute`, { json: { user_input: 'x', wait: true } });
    assertProblem(run, 422);
    assert.ok(run.body.errors.length > 0);
  }

  test('good graphs have no problems', async () => {
    assert.deepEqual(await problemsOf(documentGraph()), []);
    assert.deepEqual(await problemsOf(llmGraph({ provider: 'openai', model: 'm', temperature: 0.5, max_tokens: 10 })), []);
  });

  test('handles that are left out are inferred where there is no doubt', async () => {
    const data = graph(
      [node('q', 'userQuery'), node('k', 'knowledgeBase'), node('l', 'llmEngine', { provider: 'local' }), node('o', 'output')],
      ['q -> k', 'q -> l', 'k -> l', 'l -> o']);
    assert.deepEqual(await problemsOf(data), []);
    for (const each of data.edges) {
      delete each.sourceHandle;
      delete each.targetHandle;
    }
    assert.deepEqual(await problemsOf(data), []);
  });

  test('an unknown node type', () => {
    const data = llmGraph({ provider: 'local' });
    data.nodes[1]!.type = 'textToSpeech';
    return refused(data, 'llm', /nodes\[1\]/, /textToSpeech/);
  });

  test('a missing required input', () => {
    const data = documentGraph();
    data.edges = data.edges.filter((item) => item.target !== 'knowledge');
    return refused(data, 'knowledge', /./, /query/i);
  });

  test('a cycle', () => {
    const data = graph(
      [node('q', 'userQuery'), node('a', 'llmEngine', { provider: 'local' }), node('k', 'knowledgeBase'), node('o', 'output')],
      ['q:text -> a:query', 'a:answer -> k:query', 'k:context -> a:context', 'a:answer -> o:input']);
    return refused(data, null, /./, /cycle|circle|loop/i);
  });

  test('a node that feeds itself', () => {
    const data = llmGraph({ provider: 'local' });
    data.edges[0] = edge('llm:answer -> llm:query');
    return refused(data, null, /./, /cycle|circle|loop|itself/i);
  });

  test('an output that cannot be reached', () => {
    const data = llmGraph({ provider: 'local' });
    data.edges = data.edges.filter((item) => item.target !== 'answer');
    return refused(data, 'answer', /./);
  });

  test('no output, no start, no nodes at all', async () => {
    await refused(graph([node('q', 'userQuery')], []), null, /./, /output/i);
    await refused(graph([node('o', 'output')], []), null, /./);
    await refused(graph([], []), null, /^|nodes/);
  });

  test('bad parameters, each by name', async () => {
    await refused(documentGraph({ provider: 'local' }, { top_k: 0 }), 'knowledge', /nodes\[1\]\.data\.top_k/);
    await refused(documentGraph({ provider: 'local' }, { top_k: 'five' }), 'knowledge', /data\.top_k/);
    await refused(documentGraph({ provider: 'local' }, { mode: 'psychic' }), 'knowledge', /data\.mode/);
    await refused(documentGraph({ provider: 'local' }, { min_score: 7 }), 'knowledge', /data\.min_score/);
    await refused(documentGraph({ provider: 'local' }, { document_ids: ['nope'] }), 'knowledge', /data\.document_ids/);
    await refused(llmGraph({ provider: 'skynet' }), 'llm', /nodes\[1\]\.data\.provider/);
    await refused(llmGraph({ provider: 'local', temperature: 99 }), 'llm', /data\.temperature/);
    await refused(llmGraph({ provider: 'local', max_tokens: -1 }), 'llm', /data\.max_tokens/);
    await refused(llmGraph({ provider: 'local', on_error: 'shrug' }), 'llm', /data\.on_error/);
    await refused(llmGraph({ provider: 'local', timeout_seconds: -1 }), 'llm', /data\.timeout_seconds/);
    await refused(llmGraph({ provider: 'local', max_attempts: 1000 }), 'llm', /data\.max_attempts/);
    await refused(llmGraph({ provider: 'local' }, { format: 'pdf' }), 'answer', /data\.format/);
  });

  test('templates that name nothing, or what comes later', async () => {
    await refused(llmGraph({ provider: 'local', prompt: 'Say {{nobody.text}}' }), 'llm', /data\.prompt/, /nobody/);
    await refused(llmGraph({ provider: 'local', prompt: 'Say {{answer.text}}' }), 'llm', /data\.prompt/, /answer/);
    await refused(llmGraph({ provider: 'local', prompt: 'Say {{question.text' }), 'llm', /data\.prompt/);
  });

  test('edges to nowhere and unknown handles', async () => {
    const nowhere = llmGraph({ provider: 'local' });
    nowhere.edges.push(edge('llm:answer -> ghost:input'));
    await refused(nowhere, null, /edges\[2\]/, /ghost/);
    const handle = llmGraph({ provider: 'local' });
    handle.edges[0]!.targetHandle = 'elbow';
    await refused(handle, null, /edges\[0\]|nodes/, /elbow/);
  });

  test('ids that are used twice', async () => {
    const data = llmGraph({ provider: 'local' });
    data.nodes.push(node('llm', 'output'));
    await refused(data, null, /nodes\[3\]/, /llm|twice|unique|already/);
  });

  test('validation sees the saved graph without touching it', async () => {
    const made = await person.createWorkflow(documentGraph());
    await person.post(`/api/v1/workflows/${made.id}/validate`, undefined);
    assert.deepEqual(await person.get(`/api/v1/workflows/${made.id}`), made);
  });
});

describeApp('workflows: export and import', (app) => {
  let person: Client;

  before(async () => {
    person = await app.person();
  });

  /* As another React Flow tool saves it. */
  function foreignGraph(): Graph {
    const data = documentGraph();
    data['viewport'] = { x: 1.5, y: -2, zoom: 0.75 };
    data.nodes[0]!['width'] = 220;
    data.nodes[0]!['selected'] = true;
    data.nodes[2]!.data!['label'] = 'My model';
    data.nodes[2]!.data!['vendorSettings'] = { nested: [1, null, { deep: 'ü' }] };
    data.edges[0]!['animated'] = true;
    data.edges[0]!['style'] = { stroke: '#f00' };
    return data;
  }

  test('what is exported can be imported again, with every foreign field', async () => {
    const made = await person.post('/api/v1/workflows',
      { name: 'Travelling', description: 'Once around', workflow_data: foreignGraph() }, 201);
    const answer = await person.request('GET', `/api/v1/workflows/${made.id}/export`, { expect: 200 });
    assert.match(answer.headers.get('content-disposition') ?? '', /^attachment/);
    assert.ok(!answer.text.includes(made.id), 'an export holds no ids of this server');
    assert.deepEqual(answer.body.workflow_data, foreignGraph());
    const { problems, ...workflow } = await person.post('/api/v1/workflows/import', answer.body, 201);
    assert.deepEqual(problems, []);
    assert.notEqual(workflow.id, made.id);
    assert.deepEqual([workflow.name, workflow.description, workflow.version], ['Travelling', 'Once around', 1]);
    assert.deepEqual(workflow.workflow_data, foreignGraph());
  });

  test('foreign fields do not keep a graph from running', async () => {
    const workflow = await person.post('/api/v1/workflows/import',
      { name: 'Foreign', description: '', workflow_data: foreignGraph() }, 201);
    const verdict = await person.post(`/api/v1/workflows/${workflow.id}/validate`, undefined);
    assert.deepEqual(verdict.problems, []);
    assert.equal((await person.run(workflow.id)).status, 'completed');
  });

  test('a bare React Flow graph can be imported', async () => {
    const { problems, ...workflow } = await person.post('/api/v1/workflows/import', foreignGraph(), 201);
    assert.deepEqual(problems, []);
    assert.ok(workflow.name.length > 0);
    assert.deepEqual(workflow.workflow_data.nodes, foreignGraph().nodes);
  });

  test('unknown node types are kept and reported', async () => {
    const data = foreignGraph();
    data.nodes.push(node('voice', 'textToSpeech', { voice: 'alto' }));
    const { problems, ...workflow } = await person.post('/api/v1/workflows/import',
      { name: 'Voice', description: '', workflow_data: data }, 201);
    const problem = problems.find((item: any) => item.node_id === 'voice');
    assert.match(problem?.message ?? '', /textToSpeech/);
    assert.match(problem.path, /nodes\[4\]/);
    assert.deepEqual(workflow.workflow_data, data);
  });

  test('what is no graph is refused', async () => {
    for (const json of [{}, [], 'graph', 7, { name: 'x' }, { name: 'x', description: '', workflow_data: [] }, { nodes: 'many', edges: [] }])
      assertProblem(await person.request('POST', '/api/v1/workflows/import', { json }), 400);
  });
});
