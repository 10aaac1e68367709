/* SPDX-License-Identifier: Apache-2.0 */
/* Events: numbered, in one shape, told by server-sent events and by WebSocket, and never missed. */
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';

import { assertProblem, describeApp, password, Refused, Socket, type Client } from './harness.ts';
import { llmGraph } from './graphs.ts';
import { exchange } from './raw.ts';
import { takeApart, sign } from './tokens.ts';
import { defaultAnswer } from '../stubs/text.ts';

const stub = { provider: 'openai', model: 'stub' };
const finals = ['execution_completed', 'execution_failed', 'execution_cancelled'];
const types = ['execution_started', 'node_started', 'node_token', 'node_completed', 'node_failed', 'node_skipped',
  'node_retrying', ...finals];

/* The contract's shape, and numbers that only rise. */
function assertEvents(events: any[], workflowId: string): void {
  for (const event of events) {
    assert.ok(types.includes(event.type), event.type);
    assert.equal(event.workflow_id, workflowId);
    assert.match(event.execution_id, /^[0-9a-f-]{36}$/);
    assert.match(event.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    assert.equal(typeof event.data, 'object');
    assert.equal(typeof event.node_id, event.type.startsWith('node_') ? 'string' : 'undefined', event.type);
  }
  const numbers = events.map((event) => event.seq);
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), 'numbers rise');
  assert.equal(new Set(numbers).size, numbers.length, 'no number twice');
}

function tokenText(events: any[], nodeId = 'llm'): string {
  return events.filter((event) => event.type === 'node_token' && event.node_id === nodeId).map((event) => event.data.text).join('');
}

describeApp('events: SSE', (app) => {
  let person: Client;
  let workflowId: string;

  before(async () => {
    person = await app.person();
    workflowId = (await person.createWorkflow(llmGraph(stub))).id;
  });
  beforeEach(() => app.stubs.reset());

  async function follow(id: string, options = {}): Promise<any[]> {
    const stream = await person.events(`/api/v1/executions/${id}/events`, options);
    const events = await stream.all();
    for (const event of events) {
      assert.equal(event.id, String(event.data.seq));
      assert.equal(event.event, event.data.type);
    }
    return events.map((event) => event.data);
  }

  test('a run is told from its start to its end, token by token', async () => {
    app.stubs.openai.next('slow');
    const id = await person.start(workflowId);
    const stream = await person.events(`/api/v1/executions/${id}/events`);
    assert.match(stream.response.headers.get('cache-control') ?? '', /no-cache/);
    assert.equal(stream.response.headers.get('x-accel-buffering'), 'no');
    const events = (await stream.all()).map((event) => event.data);
    assertEvents(events, workflowId);
    assert.equal(events[0].type, 'execution_started');
    assert.equal(events.at(-1).type, 'execution_completed');
    assert.equal(tokenText(events), defaultAnswer);
    assert.ok(events.filter((event) => event.type === 'node_token').length >= 3, 'tokens are not gathered into one event');
    for (const nodeId of ['question', 'llm', 'answer']) {
      const own = events.filter((event) => event.node_id === nodeId).map((event) => event.type);
      assert.deepEqual([own[0], own.at(-1)], ['node_started', 'node_completed'], nodeId);
    }
  });

  test('tokens arrive while the model still speaks', async () => {
    app.stubs.openai.next('stall-mid');
    const id = await person.start(workflowId);
    const stream = await person.events(`/api/v1/executions/${id}/events`);
    await stream.until((event) => event.data.type === 'node_token', 4000);
    assert.equal(stream.seen.at(-1)?.data.type, 'node_token', 'nothing is held back for the end');
    await person.request('POST', `/api/v1/executions/${id}/cancel`, { expect: 202 });
    assert.equal((await stream.all()).at(-1)?.data.type, 'execution_cancelled');
  });

  test('a finished run is told again in full, or from where one left', async () => {
    const { id } = await person.run(workflowId);
    const all = await follow(id);
    assertEvents(all, workflowId);
    assert.deepEqual(await follow(id), all, 'the same events every time');
    const middle = all[Math.floor(all.length / 2)].seq;
    const rest = all.filter((event) => event.seq > middle);
    assert.deepEqual(await follow(id, { query: { after: middle } }), rest);
    assert.deepEqual(await follow(id, { headers: { 'Last-Event-ID': String(middle) } }), rest);
    assert.deepEqual(await follow(id, { query: { after: all.at(-1).seq } }), []);
  });

  test('a reader that breaks off again and again misses nothing', async () => {
    app.stubs.openai.next('slow');
    const id = await person.start(workflowId);
    const events: any[] = [];
    while (!finals.includes(events.at(-1)?.type)) {
      const stream = await person.events(`/api/v1/executions/${id}/events`, { query: { after: events.at(-1)?.seq ?? 0 } });
      for (let i = 0; i < 2; i++) {
        const event = await stream.next();
        if (event) events.push(event.data);
      }
      stream.close();
    }
    assert.deepEqual(events, await follow(id));
  });

  test('a failed run is told as failed, retries as retries', async () => {
    app.stubs.openai.next('forbidden');
    const failed = await follow((await person.run(workflowId)).id);
    assert.ok(failed.some((event) => event.type === 'node_failed' && event.node_id === 'llm'));
    assert.equal(failed.at(-1).type, 'execution_failed');
    app.stubs.openai.next('503', { times: 3 });
    const made = await person.createWorkflow(llmGraph({ ...stub, max_attempts: 10 }));
    const events = await follow(await person.start(made.id));
    assert.equal(events.at(-1).type, 'execution_completed');
    assert.equal(app.stubs.openai.requests.length, 5, 'one refused, three overloaded, one answered');
  });

  test('a node that is tried again says so', async () => {
    app.stubs.openai.always('503');
    const made = await person.createWorkflow(llmGraph({ ...stub, max_attempts: 2 }));
    const events = await follow(await person.start(made.id));
    const own = events.filter((event) => event.node_id === 'llm').map((event) => event.type);
    assert.ok(own.includes('node_retrying'), own.join());
    assert.equal(own.at(-1), 'node_failed');
    const run = await person.execution(events[0].execution_id);
    assert.equal(run.steps.find((step: any) => step.node_id === 'llm').attempt, 2);
  });

  test('bad numbers, other people and no token are refused', async () => {
    const { id } = await person.run(workflowId);
    const path = `/api/v1/executions/${id}/events`;
    for (const after of ['-1', 'x', '99999999999999999999', '1.5'])
      assertProblem(await person.request('GET', path, { query: { after } }), 400, /after/);
    assertProblem(await (await app.person()).request('GET', path), 404);
    assertProblem(await app.client().request('GET', path), 401);
  });
});

describeApp('events: WebSocket', (app) => {
  let person: Client;
  let workflowId: string;

  before(async () => {
    person = await app.person();
    workflowId = (await person.createWorkflow(llmGraph(stub))).id;
  });
  beforeEach(() => app.stubs.reset());

  const ended = (count: number) => (messages: any[]) =>
    messages.filter((message) => finals.includes(message.type)).length >= count;

  test('two tabs, signed in in different ways, see the same events of every run', async () => {
    const byProtocol = await person.socket(workflowId);
    assert.equal(byProtocol.ws.protocol, 'bearer');
    const byQuery = await app.client().socket(workflowId, { query: { token: person.token! } });
    const byHeader = await app.client().socket(workflowId, { headers: { Authorization: `Bearer ${person.token}` } });
    const first = await person.run(workflowId, 'one');
    const second = await person.run(workflowId, 'two');
    for (const socket of [byProtocol, byQuery, byHeader]) await socket.until(ended(2));
    assertEvents(byProtocol.messages, workflowId);
    assert.deepEqual(byQuery.messages, byProtocol.messages);
    assert.deepEqual(byHeader.messages, byProtocol.messages);
    assert.deepEqual([...new Set(byProtocol.messages.map((message) => message.execution_id))], [first.id, second.id]);
    assert.equal(tokenText(byProtocol.messages.filter((message) => message.execution_id === first.id)), defaultAnswer);
    /* SSE tells the same. */
    const stream = await person.events(`/api/v1/executions/${first.id}/events`);
    const told = (await stream.all()).map((event) => event.data);
    assert.deepEqual(told, byProtocol.messages.filter((message) => message.execution_id === first.id));
    for (const socket of [byProtocol, byQuery, byHeader]) await socket.close();
  });

  test('numbers of a workflow rise by one over all its runs', async () => {
    const socket = await person.socket(workflowId, { query: { after: '0' } });
    await Promise.all([person.run(workflowId), person.run(workflowId), person.run(workflowId)]);
    await socket.until(ended(3));
    const numbers = socket.messages.map((message) => message.seq);
    assert.deepEqual(numbers, numbers.map((_, i) => numbers[0] + i));
    await socket.close();
  });

  test('one that reconnects with after= misses nothing and sees nothing twice', async () => {
    const witness = await person.socket(workflowId);
    app.stubs.openai.always('slow');
    const runs = [person.run(workflowId), person.run(workflowId)];
    const seen: any[] = [];
    await witness.until((messages) => messages.length > 0);
    let after = witness.messages[0].seq - 1;
    while (!ended(2)(seen)) {
      const socket = await person.socket(workflowId, { query: { after: String(after) } });
      await socket.until((messages) => messages.length >= 3 || ended(2)([...seen, ...messages]));
      /* Broken off without a good-bye, in mid-stream. */
      const got = [...socket.messages];
      socket.ws.terminate();
      seen.push(...got);
      after = seen.at(-1).seq;
    }
    await Promise.all(runs);
    await witness.until(ended(2));
    assert.deepEqual(seen, witness.messages.slice(0, seen.length));
    await witness.close();
  });

  test('without after= only what happens from now on is told', async () => {
    const before = await person.run(workflowId);
    const socket = await person.socket(workflowId);
    const run = await person.run(workflowId);
    await socket.until(ended(1));
    assert.ok(socket.messages.every((message) => message.execution_id === run.id), before.id);
    await socket.close();
  });

  test('bad tokens are refused before the upgrade', async () => {
    const { header, claims } = takeApart(person.token!);
    const expired = sign(header, { ...claims, iat: 1_700_000_000, exp: 1_700_000_900 });
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${person.token!.split('.')[1]}.`;
    for (const token of ['nonsense', '', expired, none]) {
      await assertRefused(app.client().socket(workflowId, { query: { token } }), 401);
      if (token) await assertRefused(app.client().socket(workflowId, { protocols: ['bearer', token] }), 401);
    }
    await assertRefused(app.client().socket(workflowId), 401);
    await assertRefused(app.client().socket(workflowId, { protocols: ['bearer'] }), 401);
  });

  async function assertRefused(attempt: Promise<Socket>, status: number): Promise<Refused> {
    const refused = await attempt.then(() => null, (error: unknown) => error);
    assert.ok(refused instanceof Refused, String(refused));
    assert.equal(refused.status, status, refused.body);
    assert.match(String(refused.headers['content-type']), /^application\/problem\+json/);
    assert.equal(JSON.parse(refused.body).status, status);
    return refused;
  }

  test('workflows of others and of nobody are not there', async () => {
    const other = await app.person();
    await assertRefused(other.socket(workflowId), 404);
    await assertRefused(person.socket('019a5c20-1111-7aaa-8bbb-0123456789ab'), 404);
  });

  test('a page of another origin is refused', async () => {
    for (const origin of ['https://evil.example', 'null', `${app.url}.evil.example`])
      await assertRefused(person.socket(workflowId, { headers: { Origin: origin } }), 403);
    const own = await person.socket(workflowId, { headers: { Origin: app.url, Host: `127.0.0.1:${app.port}` } });
    await own.close();
    const allowed = await person.socket(workflowId, { headers: { Origin: 'https://allowed.example' } });
    await allowed.close();
  });

  test('what is no WebSocket handshake is told so', async () => {
    const head = (lines: string[]) =>
      [`GET /ws/${workflowId} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${person.token}`, ...lines, '', ''].join('\r\n');
    const upgrade = ['Upgrade: websocket', 'Connection: Upgrade'];
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    const version = await exchange(app.port, head([...upgrade, key, 'Sec-WebSocket-Version: 8']));
    assert.equal(version.status, 426);
    assert.match(version.text, /sec-websocket-version: 13/i);
    const noKey = await exchange(app.port, head([...upgrade, 'Sec-WebSocket-Version: 13']));
    assert.equal(noKey.status, 400);
    const shortKey = await exchange(app.port, head([...upgrade, 'Sec-WebSocket-Key: c2hvcnQ=', 'Sec-WebSocket-Version: 13']));
    assert.equal(shortKey.status, 400);
    const plain = await exchange(app.port, head([]));
    assert.ok([400, 426].includes(plain.status), plain.text);
    const good = await exchange(app.port, head([...upgrade, key, 'Sec-WebSocket-Version: 13']), 1000);
    assert.equal(good.status, 101);
    assert.match(good.text, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  });

  test('frames against the protocol close with the right code', async () => {
    const codeAfter = async (bytes: Buffer) => {
      const socket = await person.socket(workflowId);
      (socket.ws as any)._socket.write(bytes);
      return (await socket.untilClosed()).code;
    };
    assert.equal(await codeAfter(Buffer.from([0x81, 0x02, 0x68, 0x69])), 1002, 'unmasked');
    assert.equal(await codeAfter(Buffer.from([0xc1, 0x80, 1, 2, 3, 4])), 1002, 'RSV bit');
    assert.equal(await codeAfter(Buffer.from([0x83, 0x80, 1, 2, 3, 4])), 1002, 'unknown opcode');
    assert.equal(await codeAfter(Buffer.from([0x80, 0x80, 1, 2, 3, 4])), 1002, 'continuation of nothing');
    assert.equal(await codeAfter(Buffer.from([0x09, 0x80, 1, 2, 3, 4])), 1002, 'fragmented ping');
    assert.equal(await codeAfter(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff])), 1007, 'text that is no UTF-8');
    const huge = Buffer.alloc(200);
    huge.set([0x81, 0xff]);
    huge.writeBigUInt64BE(1n << 40n, 2);
    assert.equal(await codeAfter(huge), 1009, 'a message of a terabyte');
  });

  test('a socket that says good-bye is let go at once', async () => {
    for (let i = 0; i < 5; i++) {
      const socket = await person.socket(workflowId);
      const began = Date.now();
      await socket.close();
      assert.ok(Date.now() - began < 1500, `${Date.now() - began} ms`);
    }
  });

  test('a ping is answered with its payload, a close with a close', async () => {
    const socket = await person.socket(workflowId);
    const pong = new Promise<Buffer>((resolve) => socket.ws.once('pong', resolve));
    socket.ws.ping('are you there');
    assert.equal(String(await pong), 'are you there');
    socket.ws.close(1000, 'bye');
    assert.equal((await socket.untilClosed()).code, 1000);
  });

  test('a tab that does not read costs the server no memory and the others nothing', async () => {
    const lazy = await person.socket(workflowId);
    (lazy.ws as any)._socket.pause();
    const awake = await person.socket(workflowId);
    const before = await app.memoryMb();
    app.stubs.openai.always('big-event');
    for (let i = 0; i < 40; i++) await person.run(workflowId);
    await awake.until(ended(40), 30_000);
    const grown = (await app.memoryMb()) - before;
    assert.ok(grown < 96, `${grown.toFixed(0)} MiB more`);
    (lazy.ws as any)._socket.resume();
    lazy.ws.terminate();
    await awake.close();
  });

  test('at the end of the server sockets are closed with 1001 or 1012', async () => {
    const socket = await person.socket(workflowId);
    await app.terminate();
    const { code } = await socket.untilClosed();
    assert.ok([1001, 1012].includes(code), String(code));
    await app.launch();
    await person.login(person.user.email, password);
  });
}, { env: { ALLOWED_ORIGINS: 'https://allowed.example' } });
