/* SPDX-License-Identifier: Apache-2.0 */
/* What is seen from outside of a running server: health, metrics, logs, documentation. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { assertProblem, binary, describeApp, eventually, freePort, type Client } from './harness.ts';
import { llmGraph, researchGraph, stepOf } from './graphs.ts';

/* Every family of the contract that the parts built so far feed, with its labels. */
const families: Record<string, string[]> = {
  flowgenix_http_requests_total: ['method', 'route', 'status'],
  flowgenix_http_request_duration_seconds: ['method', 'route'],
  flowgenix_http_requests_in_flight: [],
  flowgenix_workflow_executions_total: ['status'],
  flowgenix_workflow_execution_duration_seconds: ['status'],
  flowgenix_workflow_executions_queued: [],
  flowgenix_workflow_executions_running: [],
  flowgenix_node_executions_total: ['type', 'status'],
  flowgenix_node_execution_duration_seconds: ['type'],
  flowgenix_websocket_connections_active: [],
  flowgenix_websocket_connections_total: [],
  flowgenix_websocket_disconnections_total: ['code'],
  flowgenix_websocket_connection_duration_seconds: [],
  flowgenix_websocket_messages_total: ['direction'],
  flowgenix_db_pool_connections: ['state'],
  flowgenix_db_pool_wait_seconds: [],
  flowgenix_db_query_duration_seconds: ['operation'],
  flowgenix_db_errors_total: [],
  flowgenix_document_uploads_total: ['status'],
  flowgenix_document_upload_bytes: [],
  flowgenix_document_processing_duration_seconds: ['stage'],
  flowgenix_llm_requests_total: ['provider', 'model', 'status'],
  flowgenix_llm_request_duration_seconds: ['provider', 'model'],
  flowgenix_llm_time_to_first_token_seconds: ['provider', 'model'],
  flowgenix_llm_tokens_total: ['provider', 'model', 'type'],
  flowgenix_llm_cost_dollars_total: ['provider', 'model'],
  flowgenix_web_search_requests_total: ['provider', 'status'],
  flowgenix_web_search_request_duration_seconds: ['provider'],
  flowgenix_retrieval_duration_seconds: [],
  flowgenix_log_records_total: ['level'],
  flowgenix_logins_total: ['result'],
  flowgenix_users_active: [],
  flowgenix_build_info: ['version'],
  process_cpu_seconds_total: [],
  process_resident_memory_bytes: [],
  process_virtual_memory_bytes: [],
  process_open_fds: [],
  process_max_fds: [],
  process_start_time_seconds: [],
};

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/* The exposition format, strictly. */
function parseMetrics(text: string): { samples: Sample[]; types: Map<string, string>; helps: Set<string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const helps = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '' || line === '# EOF') continue;
    const comment = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line);
    if (comment) {
      if (comment[1] === 'TYPE') types.set(comment[2]!, comment[3]!);
      if (comment[1] === 'HELP') helps.add(comment[2]!);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)(?: # \{.*\} \S+(?: \S+)?)?$/.exec(line);
    assert.ok(sample, `not a line of the exposition format: ${line}`);
    const labels = Object.fromEntries([...(sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((m) => [m[1]!, m[2]!]));
    const value = sample[3] === '+Inf' ? Infinity : Number(sample[3]);
    assert.ok(!Number.isNaN(value), line);
    samples.push({ name: sample[1]!, labels, value });
  }
  return { samples, types, helps };
}

describeApp('system', (app) => {
  let person: Client;

  before(async () => {
    person = await app.person();
    await exercise();
  });

  /* Once through everything that has a metric. */
  async function exercise(): Promise<void> {
    const data = researchGraph({ provider: 'openai', model: 'gpt-4o-mini' }, { provider: 'brave' });
    data.nodes.push({ id: 'knowledge', type: 'knowledgeBase', position: { x: 0, y: 0 }, data: {} });
    data.edges.push(
      { id: 'k1', source: 'question', target: 'knowledge', sourceHandle: 'text', targetHandle: 'query' },
      { id: 'k2', source: 'knowledge', target: 'llm', sourceHandle: 'context', targetHandle: 'context' });
    const made = await person.createWorkflow(data);
    await person.uploadReady('facts.txt', 'Otters hold hands while they sleep.', made.id);
    const socket = await person.socket(made.id);
    const run = await person.run(made.id, 'What do otters do?');
    assert.equal(run.status, 'completed', JSON.stringify(run.error));
    await socket.untilType('execution_completed');
    await socket.close();
    await person.runGraph(llmGraph({ provider: 'gemini', model: 'stub-invalid-key', max_attempts: 1 }));
    await app.client().request('POST', '/api/v1/auth/login', { json: { email: 'nobody@example.org', password: 'wrong password' } });
  }

  const metrics = async () => parseMetrics(await app.client().get('/metrics'));

  /* --- Health ---------------------------------------------------------------------------------- */
  test('health checks what there is, with the time each check took', async () => {
    const health = await app.client().get('/health');
    assert.equal(health.status, 'healthy', JSON.stringify(health));
    assert.ok(health.uptime_seconds > 0 && health.uptime_seconds < 600);
    assert.ok(health.version.length > 0);
    for (const name of ['database', 'disk', 'queue']) assert.equal(health.checks[name]?.status, 'healthy', name);
    for (const check of Object.values<any>(health.checks)) assert.ok(check.latency_ms >= 0);
    assert.ok(health.checks.database.latency_ms > 0, 'a real write takes time');
    assert.ok(!JSON.stringify(health).includes(app.dataDir), 'no paths for strangers');
  });

  test('live and ready', async () => {
    assert.equal((await app.client().get('/health/live')).status, 'healthy');
    assert.equal((await app.client().get('/health/ready')).status, 'healthy');
  });

  /* --- Metrics --------------------------------------------------------------------------------- */
  test('every family of the contract is there, typed, explained and labelled', async () => {
    const { samples, types, helps } = await metrics();
    const missing: string[] = [];
    for (const [name, labels] of Object.entries(families)) {
      if (!types.has(name) || !helps.has(name)) missing.push(name);
      const own = samples.filter((sample) => sample.name === name || sample.name.startsWith(`${name}_`));
      if (own.length === 0 && labels.length === 0) missing.push(`${name} (no sample)`);
      for (const sample of own.filter((item) => item.name === name || item.name === `${name}_count`))
        for (const label of labels) if (!(label in sample.labels)) missing.push(`${name}{${label}}`);
    }
    assert.deepEqual([...new Set(missing)], []);
  });

  test('they moved with what was done', async () => {
    const { samples } = await metrics();
    const value = (name: string, labels: Record<string, string> = {}) =>
      samples.filter((sample) => sample.name === name && Object.entries(labels).every(([k, v]) => sample.labels[k] === v))
        .reduce((sum, sample) => sum + sample.value, 0);
    const atLeast = (least: number, name: string, labels: Record<string, string> = {}) =>
      assert.ok(value(name, labels) >= least, `${name}${JSON.stringify(labels)} is ${value(name, labels)}`);
    atLeast(1, 'flowgenix_workflow_executions_total', { status: 'completed' });
    atLeast(1, 'flowgenix_workflow_executions_total', { status: 'failed' });
    atLeast(1, 'flowgenix_workflow_execution_duration_seconds_count', { status: 'completed' });
    for (const type of ['userQuery', 'knowledgeBase', 'webSearch', 'llmEngine', 'output']) {
      atLeast(1, 'flowgenix_node_executions_total', { type, status: 'completed' });
      atLeast(1, 'flowgenix_node_execution_duration_seconds_count', { type });
    }
    atLeast(1, 'flowgenix_node_executions_total', { type: 'llmEngine', status: 'failed' });
    atLeast(1, 'flowgenix_llm_requests_total', { provider: 'openai', model: 'gpt-4o-mini' });
    atLeast(1, 'flowgenix_llm_requests_total', { provider: 'gemini' });
    atLeast(1, 'flowgenix_llm_request_duration_seconds_count', { provider: 'openai' });
    atLeast(1, 'flowgenix_llm_time_to_first_token_seconds_count', { provider: 'openai' });
    atLeast(5, 'flowgenix_llm_tokens_total', { provider: 'openai', type: 'input' });
    atLeast(5, 'flowgenix_llm_tokens_total', { provider: 'openai', type: 'output' });
    assert.ok(value('flowgenix_llm_cost_dollars_total', { model: 'gpt-4o-mini' }) >= 0);
    atLeast(1, 'flowgenix_web_search_requests_total', { provider: 'brave' });
    atLeast(1, 'flowgenix_web_search_request_duration_seconds_count', { provider: 'brave' });
    atLeast(1, 'flowgenix_retrieval_duration_seconds_count');
    atLeast(1, 'flowgenix_document_uploads_total');
    atLeast(1, 'flowgenix_document_upload_bytes_count');
    atLeast(2, 'flowgenix_document_processing_duration_seconds_count');
    atLeast(1, 'flowgenix_websocket_connections_total');
    atLeast(1, 'flowgenix_websocket_disconnections_total', { code: '1000' });
    atLeast(5, 'flowgenix_websocket_messages_total', { direction: 'out' });
    assert.equal(value('flowgenix_websocket_connections_active'), 0);
    atLeast(1, 'flowgenix_logins_total', { result: 'success' });
    atLeast(1, 'flowgenix_logins_total', { result: 'failure' });
    atLeast(1, 'flowgenix_users_active');
    atLeast(10, 'flowgenix_log_records_total', { level: 'INFO' });
    atLeast(1, 'flowgenix_db_query_duration_seconds_count');
    atLeast(1, 'flowgenix_db_pool_connections');
    atLeast(1_000_000, 'process_resident_memory_bytes');
    atLeast(4, 'process_open_fds');
    assert.equal(value('flowgenix_db_errors_total'), 0);
    assert.equal(value('flowgenix_build_info'), 1);
  });

  test('routes are patterns: no id is ever a label', async () => {
    await person.request('GET', '/api/v1/workflows/019a5c20-1111-7aaa-8bbb-0123456789ab');
    for (let i = 0; i < 50; i++) await person.request('GET', `/nothing/here/${i}`);
    const { samples } = await metrics();
    const routes = samples.filter((sample) => sample.name === 'flowgenix_http_requests_total').map((sample) => sample.labels['route']!);
    assert.ok(routes.includes('/api/v1/workflows/{id}'), routes.join(' '));
    for (const route of routes) assert.ok(!/[0-9a-f]{8}-|\/nothing/.test(route), route);
  });

  test('histograms add up and those of long work reach ten minutes', async () => {
    const { samples } = await metrics();
    for (const name of ['flowgenix_http_request_duration_seconds', 'flowgenix_workflow_execution_duration_seconds', 'flowgenix_llm_request_duration_seconds']) {
      const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
      assert.ok(buckets.length > 0, name);
      const series = Object.groupBy(buckets, ({ labels: { le: _, ...rest } }) => JSON.stringify(rest));
      for (const [key, list] of Object.entries(series)) {
        const values = list!.map((sample) => sample.value);
        assert.deepEqual(values, values.toSorted((a, b) => a - b), `${name}${key} rises`);
        assert.equal(list!.at(-1)!.labels['le'], '+Inf');
        const count = samples.find((sample) => sample.name === `${name}_count` && JSON.stringify(sample.labels) === key);
        assert.equal(count?.value, values.at(-1), `${name}${key} count`);
      }
      if (!name.includes('http'))
        assert.ok(buckets.some((sample) => Number(sample.labels['le']) >= 600), `${name} reaches 10 minutes`);
    }
  });

  test('OpenMetrics by Accept, with exemplars and an end', async () => {
    const answer = await app.client().request('GET', '/metrics',
      { headers: { Accept: 'application/openmetrics-text; version=1.0.0' }, expect: 200 });
    assert.match(answer.headers.get('content-type')!, /^application\/openmetrics-text; ?version=1\.0\.0/);
    assert.ok(answer.text.endsWith('# EOF\n'));
    assert.match(answer.text, /^# TYPE flowgenix_http_requests counter$/m, 'a counter family is named without _total');
    assert.match(answer.text, / # \{trace_id="[0-9a-f]{32}"\} \d/);
    parseMetrics(answer.text);
    const plain = await app.client().request('GET', '/metrics', { expect: 200 });
    assert.match(plain.headers.get('content-type')!, /^text\/plain; ?version=0\.0\.4/);
    assert.ok(!plain.text.includes('# EOF') && !plain.text.includes(' # {'));
  });

  /* --- Logs ------------------------------------------------------------------------------------ */
  test('one request can be followed: HTTP line, execution, node, model call', async () => {
    const made = await person.createWorkflow(llmGraph({ provider: 'openai', model: 'stub' }));
    const trace = 'abcdefabcdefabcdefabcdefabcdef01';
    const answer = await person.request('POST', `/api/v1/workflows/${made.id}/execute`, {
      json: { user_input: 'x', wait: true }, expect: 200, headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    });
    const id = answer.body.id;
    const find = (event_type: string, more: Record<string, unknown> = {}) => app.log((line) =>
      line.event_type === event_type && line['request_id'] === answer.requestId && Object.entries(more).every(([k, v]) => line[k] === v));
    const http = await find('http_request');
    assert.equal(http['trace_id'], trace);
    assert.equal(http['user_id'], person.user.id);
    assert.equal(http['workflow_id'], made.id);
    assert.ok(http['duration_ms'] >= 0);
    assert.deepEqual([http['method'], http['route'], http['status']], ['POST', '/api/v1/workflows/{id}/execute', 200]);
    const execution = await find('workflow_execution', { execution_id: id });
    assert.equal(execution['trace_id'], trace);
    const node = await find('node_execution', { execution_id: id, node_id: 'llm' });
    assert.ok(node['duration_ms'] >= 0);
    const llm = await find('llm_request', { execution_id: id, node_id: 'llm' });
    assert.deepEqual([llm['provider'], llm['model']], ['openai', 'stub']);
    assert.ok(llm['duration_ms'] >= 0);
    assert.equal(stepOf(answer.body, 'llm').status, 'completed');
  });

  test('a bad traceparent is ignored, a good one continued', async () => {
    for (const bad of ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7', 'nonsense', '']) {
      const answer = await person.request('GET', '/api/v1/workflows', { headers: { traceparent: bad }, expect: 200 });
      const line = await app.log((item) => item['request_id'] === answer.requestId && item.event_type === 'http_request');
      assert.match(line['trace_id'], /^[0-9a-f]{32}$/);
      assert.ok(!bad.toLowerCase().includes(line['trace_id']), bad);
    }
  });

  test('every document and search leaves its lines', async () => {
    await app.log((line) => line.event_type === 'document_upload');
    await app.log((line) => line.event_type === 'web_search');
    await app.log((line) => line.event_type === 'websocket_event');
    await app.log((line) => line.event_type === 'auth');
  });

  test('prompts and documents are in no line', () => {
    for (const text of ['What do otters do?', 'Otters hold hands']) {
      const line = app.lines.find((item) => item.includes(text));
      assert.equal(line, undefined);
    }
  });

  /* --- Documentation --------------------------------------------------------------------------- */
  test('/openapi.json is api/openapi.yaml', async () => {
    const served = await app.client().get('/openapi.json');
    assert.deepEqual(served, app.contract!.document);
  });

  test('/docs is a page with everything from this server', async () => {
    const page = await app.client().request('GET', '/docs', { expect: 200 });
    assert.match(page.headers.get('content-type')!, /^text\/html/);
    assert.ok(!/(src|href)="(https?:)?\/\//.test(page.text), 'nothing comes from elsewhere');
    const files = [...page.text.matchAll(/(?:src|href)="(\/docs\/[^"]+|docs\/[^"]+|\.\/[^"]+)"/g)].map((match) => match[1]!);
    assert.ok(files.length > 0);
    for (const file of files) {
      const answer = await app.client().request('GET', new URL(file, `${app.url}/docs`).pathname, { expect: 200 });
      assert.ok(answer.bytes.length > 100, file);
    }
    const etag = page.headers.get('etag');
    const again = await app.client().request('GET', '/docs', { headers: { 'If-None-Match': etag! } });
    assert.equal(again.status, 304);
    assertProblem(await app.client().request('GET', '/docs/missing.js'), 404);
  });

  test('answers carry what keeps browsers safe', async () => {
    const answer = await person.request('GET', '/api/v1/workflows', { expect: 200 });
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.match(answer.headers.get('cache-control') ?? '', /no-store/);
    assert.equal(answer.headers.get('x-powered-by'), null);
  });

  test('node types describe the forms of all five nodes', async () => {
    const { items, total } = await person.get('/api/v1/node-types');
    assert.deepEqual(items.map((item: any) => item.type).toSorted(), ['knowledgeBase', 'llmEngine', 'output', 'userQuery', 'webSearch']);
    assert.equal(total, 5);
    const find = (type: string) => items.find((item: any) => item.type === type);
    const param = (type: string, name: string) => find(type).parameters.find((item: any) => item.name === name);
    assert.deepEqual([param('knowledgeBase', 'top_k').minimum, param('knowledgeBase', 'top_k').default], [1, 5]);
    assert.deepEqual(param('llmEngine', 'provider').options, ['local', 'gemini', 'openai']);
    assert.deepEqual(param('webSearch', 'provider').options.toSorted(), ['brave', 'searxng', 'serpapi']);
    for (const item of items) for (const each of item.parameters) assert.ok(each.help.length > 0 && each.label.length > 0, `${item.type}.${each.name}`);
    assert.deepEqual(find('knowledgeBase').outputs.map((port: any) => port.id).filter((id: string) => id !== 'error'), ['context']);
  });
});

describeApp('system: log file', (app) => {
  test('LOG_FILE takes the lines instead of stdout', async () => {
    const person = await app.person();
    const file = join(app.dataDir, 'logs.json');
    const text = await eventually(async () => {
      const content = await readFile(file, 'utf8');
      assert.ok(content.includes(person.user.id));
      return content;
    });
    for (const line of text.trimEnd().split('\n')) JSON.parse(line);
    assert.deepEqual(app.lines.filter((line) => line.startsWith('{')), []);
  });
}, { env: { LOG_FILE: 'logs.json' } });

describeApp('system: start and stop', (app) => {
  test('it is ready soon and ends in order when it is told to, in mid-work', async () => {
    /* A timing is never a pass/fail test; this bound is for a program that hangs. */
    assert.ok(app.readyMs < 5000, `${app.readyMs} ms`);
    const person = await app.person();
    app.stubs.openai.always('stall');
    const made = await person.createWorkflow(llmGraph({ provider: 'openai', model: 'stub' }));
    const waiting = person.fetch('POST', `/api/v1/workflows/${made.id}/execute`, { json: { user_input: 'x', wait: true } }).catch(() => null);
    await app.stubs.openai.waitFor(() => true);
    const began = Date.now();
    await app.terminate();
    assert.ok(Date.now() - began < 17_000);
    const answer = await waiting;
    if (answer) assert.ok([200, 503].includes(answer.status), String(answer.status));
    app.stubs.reset();
    await app.launch();
  });

  test('a second server on the same port says so and ends', async () => {
    const env = { ...app.environment(), DATA_DIR: join(app.dataDir, 'other') };
    const child = spawn(binary, ['serve'], { cwd: app.dataDir, env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    const [code, signal] = await once(child, 'close');
    assert.deepEqual([code, signal], [1, null], words);
    assert.match(words, /address|in use|port|already/i);
  });
});

describeApp('system: metrics on a port of their own', (app) => {
  test('METRICS_PORT serves /metrics, and PORT does not', async () => {
    const port = Number(app.environment()['METRICS_PORT']);
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(text, /^flowgenix_build_info/m);
    assertProblem(await app.client().request('GET', '/metrics'), 404);
  });
}, { env: { METRICS_PORT: String(await freePort()) } });
