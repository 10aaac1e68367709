/* SPDX-License-Identifier: Apache-2.0 */
/* Bad input: whatever is sent, the answer is a 4xx that names its cause or a closed connection,
 * never a 5xx, and the server lives on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, type App, type Client, type Socket } from './harness.ts';
import { edge, graph, llmGraph, node } from './graphs.ts';
import { exchange, receive, type RawAnswer } from './raw.ts';
import type { SseEvent, SseReader } from './sse.ts';

async function assertAlive(app: App): Promise<void> {
  assert.ok(app.running, `the program is gone: ${app.stderr.slice(-2000)}`);
  assert.equal((await app.client().get('/health/live')).status, 'healthy');
}

describeApp('bad bodies', (app) => {
  let person: Client;
  let workflowId: string;

  before(async () => {
    person = await app.person();
    workflowId = (await person.createWorkflow(llmGraph({ provider: 'local' }))).id;
  });
  const jsonRoutes = () => [
    ['POST', '/api/v1/auth/register'], ['POST', '/api/v1/auth/login'], ['POST', '/api/v1/auth/refresh'],
    ['POST', '/api/v1/workflows'], ['POST', '/api/v1/workflows/import'], ['PUT', `/api/v1/workflows/${workflowId}`],
    ['POST', `/api/v1/workflows/${workflowId}/execute`], ['POST', `/api/v1/chat/${workflowId}/messages`],
    ['POST', '/api/v1/search/documents'], ['POST', '/api/v1/search/web'], ['POST', '/api/v1/api-keys'],
    ['PUT', '/api/v1/credentials/openai'], ['PATCH', '/api/v1/auth/me'], ['POST', '/api/v1/auth/password'],
  ] as const;

  const bodies: Record<string, string | Uint8Array> = {
    empty: '',
    'no JSON': 'name=value',
    'cut JSON': '{"name": "x"',
    'two values': '{"name":"x"}{"name":"y"}',
    'trailing comma': '{"name":"x",}',
    'single quotes': "{'name':'x'}",
    comment: '{"name":"x" /* why not */}',
    NaN: '{"name":NaN}',
    array: '[]',
    number: '7',
    null: 'null',
    'duplicate keys': '{"name":"x","name":"y","email":"a","email":"b"}',
    'deep nesting': '['.repeat(100_000),
    'deep object': `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
    'NUL in a string': '{"name":"a\\u0000b","query":"a\\u0000b","content":"a\\u0000b","user_input":"a\\u0000b","email":"a\\u0000b"}',
    'lone surrogate': '{"name":"\\ud800","query":"\\ud800","content":"\\ud800","user_input":"\\ud800"}',
    'invalid UTF-8': Buffer.from('7b226e616d65223a22c3286122 7d'.replace(' ', ''), 'hex'),
    'overlong UTF-8': Buffer.from('7b226e616d65223a22c0af227d', 'hex'),
    'cut UTF-8': Buffer.from('7b226e616d65223a22e282227d', 'hex'),
    BOM: Buffer.from('efbbbf7b226e616d65223a2278227d', 'hex'),
    'UTF-16': Buffer.from('{"name":"x"}', 'utf16le'),
    'huge number': `{"name":${'9'.repeat(400)}}`,
    'huge exponent': '{"name":1e999999}',
  };

  for (const [name, body] of Object.entries(bodies))
    test(`${name} is refused by every route`, async () => {
      for (const [method, path] of jsonRoutes()) {
        const answer = await person.request(method, path, { body, headers: { 'Content-Type': 'application/json' } });
        assert.ok(answer.status >= 400 && answer.status < 500, `${method} ${path}: ${answer.status}`);
        assertProblem(answer, answer.status);
      }
    });

  test('malformed JSON is told with its place', async () => {
    const answer = await person.request('POST', '/api/v1/workflows', { body: '{\n"name": oops}', headers: { 'Content-Type': 'application/json' } });
    assertProblem(answer, 400, /line 2/);
  });

  test('wrong types and unknown fields are named', async () => {
    const answer = await person.request('POST', '/api/v1/workflows',
      { json: { name: 1, description: true, workflow_data: 'x', colour: 'red', __proto__x: {} } });
    for (const path of ['name', 'description', 'workflow_data', 'colour']) assertField(answer, path);
  });

  test('other content types are refused', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp']) {
      const answer = await person.request('POST', '/api/v1/workflows', { body: '{"name":"x"}', headers: { 'Content-Type': type } });
      assertProblem(answer, 415);
    }
    for (const type of ['application/json; charset=utf-8', 'APPLICATION/JSON', 'application/json;charset="UTF-8"'])
      await person.request('POST', '/api/v1/workflows', { body: '{"name":"x"}', headers: { 'Content-Type': type }, expect: 201 });
  });

  test('a body that is too large is refused without reading it to the end', async () => {
    const answer = await person.request('POST', '/api/v1/auth/login', { body: 'x'.repeat(5_000_000), headers: { 'Content-Type': 'application/json' } })
      .catch(() => null);
    if (answer) assertProblem(answer, 413);
    const declared = await exchange(app.port, 'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{');
    assert.ok([0, 400, 413].includes(declared.status), declared.text);
    const chunked = 'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
      + `10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(40);
    assert.ok([0, 400, 413].includes((await exchange(app.port, chunked)).status));
  });

  test('names of a megabyte', async () => {
    const long = 'n'.repeat(1_048_576);
    for (const [method, path] of [['POST', '/api/v1/workflows'], ['PUT', `/api/v1/workflows/${workflowId}`]] as const)
      assertField(await person.request(method, path, { json: { name: long } }), 'name');
    assertProblem(await app.client().request('POST', '/api/v1/auth/register', { json: { email: 'a@example.org', password: 'x'.repeat(20), full_name: long } }), [400, 413]);
    assertProblem(await person.request('POST', '/api/v1/api-keys', { json: { name: long } }), [400, 413]);
  });

  test('a graph of 5,000 nodes is refused, at once and by name', async () => {
    const nodes = Array.from({ length: 5000 }, (_, i) => node(`n${i}`, 'output'));
    const began = Date.now();
    const answer = await person.request('POST', '/api/v1/workflows', { json: { name: 'big', workflow_data: graph(nodes, []) } });
    assertField(answer, /nodes/);
    assert.ok(Date.now() - began < 5000);
    const edges = Array.from({ length: 20_000 }, (_, i) => ({ ...edge('n0 -> n1'), id: `e${i}` }));
    assertField(await person.request('POST', '/api/v1/workflows', { json: { name: 'big', workflow_data: { nodes: nodes.slice(0, 2), edges } } }), /edges/);
  });

  test('1,000 nodes in one great cycle are validated at once', async () => {
    const nodes = Array.from({ length: 998 }, (_, i) => node(`n${i}`, 'llmEngine', { provider: 'local' }));
    const data = graph([node('q', 'userQuery'), ...nodes, node('o', 'output')], ['n997:answer -> o:input']);
    for (let i = 0; i < 998; i++) data.edges.push(edge(`n${i}:answer -> n${(i + 1) % 998}:query`));
    const made = await person.createWorkflow(data);
    const began = Date.now();
    const verdict = await person.post(`/api/v1/workflows/${made.id}/validate`, undefined);
    assert.equal(verdict.valid, false);
    assert.ok(Date.now() - began < 5000);
    assertProblem(await person.request('POST', `/api/v1/workflows/${made.id}/execute`, { json: { user_input: 'x' } }), 422);
  });

  test('graphs of odd shapes are refused or kept, never fatal', async () => {
    const odd: unknown[] = [
      { nodes: [{}], edges: [] }, { nodes: [{ id: 1, type: 'output' }], edges: [] }, { nodes: [null], edges: [null] },
      { nodes: [{ id: 'a', type: ['output'] }], edges: [] }, { nodes: [{ id: '', type: '' }], edges: [] },
      { nodes: [{ id: 'a', type: 'output', data: 'text' }], edges: [] }, { nodes: [{ id: 'a', type: 'output', data: null }], edges: [] },
      { nodes: [], edges: [{ source: 'a' }] }, { nodes: [], edges: [{ id: 'e', source: {}, target: [] }] },
      { nodes: [node('{{x}}', 'output')], edges: [] }, { nodes: [node('x'.repeat(10_000), 'output')], edges: [] },
      { nodes: [node('a', 'llmEngine', { prompt: '{{'.repeat(100_000) })], edges: [] },
      { nodes: [node('a', 'llmEngine', { prompt: '{{a.b[99999999999999999999]}}', top_k: 1e308 })], edges: [] },
      { nodes: [node('a', 'webSearch', { query: '{{a.text}}'.repeat(10_000) })], edges: [edge('a -> a')] },
    ];
    for (const workflow_data of odd) {
      const answer = await person.request('POST', '/api/v1/workflows', { json: { name: 'odd', workflow_data } });
      if (answer.status === 201) {
        const verdict = await person.post(`/api/v1/workflows/${answer.body.id}/validate`, undefined);
        assert.equal(verdict.valid, false, JSON.stringify(workflow_data).slice(0, 200));
        assertProblem(await person.request('POST', `/api/v1/workflows/${answer.body.id}/execute`, { json: { user_input: 'x' } }), 422);
      } else assertProblem(answer, 400);
    }
  });

  test('odd paths and queries', async () => {
    for (const path of ['//', '/api', '/api/v1', '/api/v1/workflows/', '/api/v2/workflows', '/API/V1/WORKFLOWS', '/%', '/%zz',
      '/api/v1/workflows/%2e%2e/%2e%2e/etc/passwd', '/docs/../../etc/passwd', '/docs/%2e%2e%2fetc%2fpasswd', '/docs/..%5c..%5cx', '/%00', `/${'a'.repeat(3000)}`]) {
      const answer = await exchange(app.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.ok(answer.status === 0 || (answer.status >= 400 && answer.status < 500), `${path}: ${answer.status}`);
      assert.ok(!answer.text.includes('root:'), path);
    }
    await assertAlive(app);
    for (const query of ['limit=%ff', 'limit=1&limit=2', '&&&=', 'cursor=%00', `x=${'y'.repeat(2000)}`]) {
      const answer = await person.request('GET', `/api/v1/workflows?${query}`);
      assert.ok([200, 400].includes(answer.status), `${query}: ${answer.status}`);
    }
  });

  test('wrong methods are answered 405 with what is allowed', async () => {
    const cases: [string, string][] = [['DELETE', '/api/v1/workflows'], ['POST', '/health'], ['PATCH', '/api/v1/node-types'], ['PUT', '/api/v1/auth/login']];
    for (const [method, path] of cases) {
      const answer = await person.request(method, path);
      assertProblem(answer, 405);
      assert.match(answer.headers.get('allow') ?? '', /[A-Z]+/);
    }
    for (const method of ['BREW', 'G\u00cbT', 'get']) {
      const raw = await exchange(app.port, `${method} /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.ok(raw.status === 0 || (raw.status >= 400 && raw.status < 500) || raw.status === 501, `${method}: ${raw.status}`);
    }
    const head = await person.request('HEAD', '/health');
    assert.deepEqual([head.status, head.text], [200, '']);
  });
});

describeApp('bad HTTP', (app) => {
  let person: Client;
  const slow: Promise<RawAnswer>[] = [];
  let socket: Socket;
  let pings = 0;
  let quiet: SseReader;
  let quietEvents: Promise<SseEvent[]>;
  const body = '{"email":"a@example.org","password":"xxxxxxxx"}';
  const post = (headers: string[], content = '') =>
    [`POST /api/v1/auth/login HTTP/1.1`, ...headers, 'Content-Type: application/json', '', ''].join('\r\n') + content;

  before(async () => {
    person = await app.person();
    /* Begun now, looked at in the last tests: what only time shows. */
    app.stubs.openai.always('stall');
    const made = await person.createWorkflow(llmGraph({ provider: 'openai', model: 'stub', max_attempts: 1, timeout_seconds: 32 }));
    socket = await person.socket(made.id);
    socket.ws.on('ping', () => pings++);
    quiet = await person.events(`/api/v1/executions/${await person.start(made.id)}/events`);
    quietEvents = quiet.until(() => false, 100_000);
    slow.push(dribble('POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n', '{'));
    slow.push(dribble('GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ', 'a'));
    slow.push(dribble('', ''));
    slow.push(dribble(`POST /api/v1/documents/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${person.token}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n--b\r\n`, '-'));
  });

  /* Sends `head`, then `drop` every 5 s, until the server has had enough. */
  async function dribble(head: string, drop: string): Promise<RawAnswer> {
    const socket = connect(app.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(head);
    const timer = setInterval(() => drop && socket.writable && socket.write(drop), 5000);
    const answer = await receive(socket, 110_000);
    clearInterval(timer);
    socket.destroy();
    return answer;
  }

  const refused: Record<string, string | Buffer> = {
    'conflicting Content-Length': post(['Host: x', `Content-Length: ${body.length}`, 'Content-Length: 5'], body),
    'Content-Length list': post(['Host: x', `Content-Length: ${body.length}, 5`], body),
    'negative Content-Length': post(['Host: x', 'Content-Length: -1'], body),
    'signed Content-Length': post(['Host: x', `Content-Length: +${body.length}`], body),
    'hexadecimal Content-Length': post(['Host: x', 'Content-Length: 0x10'], body),
    'Content-Length with words': post(['Host: x', `Content-Length: ${body.length} bytes`], body),
    'Content-Length past 64 bits': post(['Host: x', 'Content-Length: 99999999999999999999999'], body),
    'Transfer-Encoding and Content-Length': post(['Host: x', `Content-Length: ${body.length}`, 'Transfer-Encoding: chunked'], `0\r\n\r\n`),
    'unknown Transfer-Encoding': post(['Host: x', 'Transfer-Encoding: snappy'], body),
    'chunked not last': post(['Host: x', 'Transfer-Encoding: chunked, gzip'], '0\r\n\r\n'),
    'chunked hidden': post(['Host: x', 'Transfer-Encoding: xchunked'], '0\r\n\r\n'),
    'chunked twice': post(['Host: x', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    'bad chunk size': post(['Host: x', 'Transfer-Encoding: chunked'], 'zz\r\nabc\r\n0\r\n\r\n'),
    'chunk size past 64 bits': post(['Host: x', 'Transfer-Encoding: chunked'], 'fffffffffffffffff\r\nabc\r\n'),
    'negative chunk size': post(['Host: x', 'Transfer-Encoding: chunked'], '-1\r\nabc\r\n0\r\n\r\n'),
    'chunk without its line end': post(['Host: x', 'Transfer-Encoding: chunked'], '3\r\nabcdef\r\n0\r\n\r\n'),
    'missing Host': 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n',
    'two Hosts': 'GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'bare LF': 'GET /health HTTP/1.1\nHost: x\n\n',
    'bare CR in a header': 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: b\r\n\r\n',
    'LF smuggled into a header': 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\nX-B: b\r\n\r\n',
    'obs-fold': 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\r\n  folded\r\n\r\n',
    'space before colon': 'GET /health HTTP/1.1\r\nHost: x\r\nX-A : a\r\n\r\n',
    'space before colon of Content-Length': post(['Host: x', `Content-Length : ${body.length}`], body),
    'space in front of the first header': 'GET /health HTTP/1.1\r\n Host: x\r\n\r\n',
    'header without a name': 'GET /health HTTP/1.1\r\nHost: x\r\n: value\r\n\r\n',
    'header without a colon': 'GET /health HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n',
    'NUL in a header': 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n',
    'NUL in the path': 'GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n',
    'no version': 'GET /health\r\nHost: x\r\n\r\n',
    'strange version': 'GET /health HTTP/9.9\r\nHost: x\r\n\r\n',
    'HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'TLS hello': Buffer.concat([Buffer.from('16030100c8010000c40303', 'hex'), Buffer.alloc(180, 0x41), Buffer.from('\r\n\r\n')]),
    'random bytes': Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919 + 13) % 256)),
    'oversized header': `GET /health HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(100_000)}\r\n\r\n`,
    'oversized request line': `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'a thousand headers': `GET /health HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 1000 }, (_, i) => `X-${i}: v\r\n`).join('')}\r\n`,
    'invalid UTF-8 in the path': 'GET /api/v1/workflows/\xc3\x28 HTTP/1.1\r\nHost: x\r\n\r\n',
  };
  for (const [name, bytes] of Object.entries(refused))
    test(`${name}: 4xx or a closed connection`, async () => {
      const answer = await exchange(app.port, bytes, 3000);
      assert.ok(answer.closed || answer.status >= 400, `no answer and no end within 3 s: ${JSON.stringify(answer.text.slice(0, 200))}`);
      assert.ok(answer.status === 0 || (answer.status >= 400 && answer.status < 500) || answer.status === 505,
        `${answer.status}: ${answer.text.slice(0, 300)}`);
      if (answer.status && /content-type: application\/problem\+json/i.test(answer.text)) {
        const problem = JSON.parse(answer.body);
        assert.equal(problem.status, answer.status);
        assert.ok(problem.detail.length > 3);
      }
      await assertAlive(app);
    });

  test('what the program checks itself is told as a problem', async () => {
    for (const name of ['conflicting Content-Length', 'Transfer-Encoding and Content-Length', 'missing Host', 'unknown Transfer-Encoding']) {
      const answer = await exchange(app.port, refused[name]!, 3000);
      assert.match(answer.text, /^content-type: application\/problem\+json/im, name);
    }
  });

  test('nothing after a refused request is taken for a request of its own', async () => {
    const smuggled = 'GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
    for (const head of [['Host: x', 'Content-Length: 5', `Content-Length: ${5 + smuggled.length}`],
      ['Host: x', 'Content-Length: 4', 'Transfer-Encoding: chunked']]) {
      const socket = connect(app.port, '127.0.0.1');
      socket.on('error', () => undefined);
      const pieces: Buffer[] = [];
      socket.on('data', (piece) => pieces.push(piece));
      await once(socket, 'connect');
      socket.end(post(head, `0\r\n\r\n${smuggled}`));
      await once(socket, 'close');
      const text = Buffer.concat(pieces).toString('latin1');
      assert.equal(text.split('HTTP/1.1 ').length - 1 <= 1, true, text);
    }
    assert.ok(!app.logs.some((line) => JSON.stringify(line).includes('smuggled')));
  });

  test('good HTTP of the unusual kind is served', async () => {
    const one = await exchange(app.port, 'GET /health/live HTTP/1.0\r\n\r\n');
    assert.equal(one.status, 200, 'HTTP/1.0 needs no Host');
    const pieces = await exchange(app.port, post(['Host: x', 'Transfer-Encoding: Chunked'],
      `5\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)};ext=1\r\n${body.slice(5)}\r\n0\r\nTrailer: x\r\n\r\n`));
    assert.equal(pieces.status, 401, pieces.text);
    const absolute = await exchange(app.port, `GET http://127.0.0.1:${app.port}/health/live HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.ok([200, 404].includes(absolute.status), absolute.text);
    const same = await exchange(app.port, post(['Host: x', `Content-Length: ${body.length}`, 'X-Empty:'], body));
    assert.equal(same.status, 401);
  });

  test('pipelined requests are answered in order', async () => {
    const socket = connect(app.port, '127.0.0.1');
    const pieces: Buffer[] = [];
    socket.on('data', (piece) => pieces.push(piece));
    await once(socket, 'connect');
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await once(socket, 'close');
    const statuses = Buffer.concat(pieces).toString('latin1').match(/HTTP\/1\.1 \d{3}/g);
    assert.deepEqual(statuses, ['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200']);
  });

  test('clients that leave in the middle of everything', async () => {
    const leave = async (bytes: string) => {
      const socket = connect(app.port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(bytes, () => socket.resetAndDestroy());
      await once(socket, 'close');
    };
    const token = `Authorization: Bearer ${person.token}`;
    const login = post(['Host: x', `Content-Length: ${body.length}`], body);
    await Promise.all(Array.from({ length: 20 }, () => Promise.all([
      leave('GET /heal'), leave(login), leave(login.slice(0, -10)),
      leave(`GET /api/v1/workflows HTTP/1.1\r\nHost: x\r\n${token}\r\n\r\n`),
      leave(`POST /api/v1/documents/upload HTTP/1.1\r\nHost: x\r\n${token}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 500\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\nhalf`),
    ])));
    await assertAlive(app);
  });

  test('600 connections at once, half of them waiting for the database, all are answered', async () => {
    const made = await person.createWorkflow(llmGraph({ provider: 'local' }));
    const statuses = await Promise.all(Array.from({ length: 600 }, (_, i) =>
      exchange(app.port, i % 2
        ? 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
        : `GET /api/v1/workflows/${made.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${person.token}\r\nConnection: close\r\n\r\n`, 20_000)));
    const counts = Object.groupBy(statuses, (answer) => String(answer.status));
    assert.equal(counts['200']?.length, 600, JSON.stringify(Object.entries(counts).map(([k, v]) => [k, v!.length])));
  });

  test('CORS: no origin is let in that was not named', async () => {
    const preflight = (origin: string) => person.request('OPTIONS', '/api/v1/workflows', {
      headers: { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type' },
    });
    const evil = await preflight('https://evil.example');
    assert.equal(evil.headers.get('access-control-allow-origin'), null);
    const good = await preflight('https://allowed.example');
    assert.ok([200, 204].includes(good.status));
    assert.equal(good.headers.get('access-control-allow-origin'), 'https://allowed.example');
    assert.match(good.headers.get('access-control-allow-methods') ?? '', /POST/);
    const plain = await person.request('GET', '/api/v1/workflows', { headers: { Origin: 'https://evil.example' } });
    assert.notEqual(plain.headers.get('access-control-allow-origin'), 'https://evil.example');
    assert.notEqual(plain.headers.get('access-control-allow-origin'), '*');
  });

  test('a stream in which nothing happens is kept open by comments', async () => {
    const events = await quietEvents;
    assert.equal(events.at(-1)?.event, 'execution_failed', 'the model was silent for 32 s');
    assert.ok(quiet.comments.length >= 1, 'no comment in 32 s: proxies would have dropped the stream');
  });

  test('slow clients are sent away and did not hold up the others', async () => {
    await assertAlive(app);
    for (const [i, answer] of (await Promise.all(slow)).entries()) {
      assert.ok(answer.closed || answer.status === 408, `slow connection ${i} is still open after 110 s: ${answer.text}`);
      assert.ok([0, 408].includes(answer.status), `slow connection ${i}: ${answer.text.slice(0, 200)}`);
    }
  });

  test('a WebSocket in which nothing happens was pinged every 20 seconds and is still open', async () => {
    assert.equal(socket.closed, null);
    assert.ok(pings >= 2, `${pings} pings`);
    await socket.close();
  });
}, { env: { ALLOWED_ORIGINS: 'https://allowed.example' } });
