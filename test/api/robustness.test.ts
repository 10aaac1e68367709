/* SPDX-License-Identifier: Apache-2.0 */
/* Robustness: things that happen at the same moment, or at the wrong one. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';

import { App, assertProblem, binary, describeApp, eventually, type Client } from './harness.ts';
import { graph, llmGraph, node } from './graphs.ts';

const instant = graph([node('question', 'userQuery'), node('answer', 'output')], ['question:text -> answer:input']);
const stalling = llmGraph({ provider: 'openai', model: 'stub-stall' });

function times<T>(count: number, call: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index)));
}

describeApp('robustness', (app) => {
  let person: Client;
  before(async () => {
    person = await app.person();
  });

  /* The run may be over before its messages are stored. */
  test('many turns at once of a workflow that needs no time are all answered', async () => {
    const { id } = await person.createWorkflow(instant);
    const path = `/api/v1/chat/${id}/messages`;
    await times(120, async (index) => {
      if (index % 2) {
        const answer = await person.post(path, { content: `turn ${index}` });
        assert.deepEqual([answer.content, answer.status], [`turn ${index}`, 'complete']);
        return;
      }
      const events = await (await person.events(path, { json: { content: `turn ${index}` } })).all();
      const last = events.at(-1)!;
      assert.deepEqual([last.event, last.data.content, last.data.status], ['message', `turn ${index}`, 'complete']);
    });
    assert.equal((await person.get(path)).total, 240);
  });

  test('a conversation cleared in mid-turn: the turn is answered all the same', async () => {
    const { id } = await person.createWorkflow(llmGraph({ provider: 'openai', model: 'stub-slow' }));
    const path = `/api/v1/chat/${id}/messages`;
    const turn = person.post(path, { content: 'Hello' });
    await eventually(async () => assert.equal((await person.get(path)).total, 2));
    await person.delete(path);
    assert.equal((await turn).status, 'complete');
    assert.equal((await person.get(path)).total, 0);
  });

  test('deleting a workflow ends its runs for everybody who waits', async () => {
    const workflow = await person.createWorkflow(stalling);
    const base = `/api/v1/workflows/${workflow.id}`;
    const id = await person.start(workflow.id);
    const stream = (await person.events(`/api/v1/executions/${id}/events`)).all();
    const waiting = person.run(workflow.id);
    const turn = person.post(`/api/v1/chat/${workflow.id}/messages`, { content: 'Hello' });
    await eventually(async () => assert.equal((await person.get(`${base}/executions`, 200, { status: 'running' })).total, 3));

    const began = performance.now();
    await person.delete(base);
    assert.equal((await stream).at(-1)!.event, 'execution_cancelled');
    /* The row may be gone before the answer is read from it. */
    await Promise.allSettled([waiting, turn]);
    assert.ok(performance.now() - began < 10_000, 'nobody waits for the model');
    assertProblem(await person.request('GET', `/api/v1/executions/${id}`), 404);
  });

  test('what a cancel answers is what became of the run', async () => {
    const { id } = await person.createWorkflow(instant);
    await times(40, async () => {
      const execution = await person.start(id);
      const answer = await person.request('POST', `/api/v1/executions/${execution}/cancel`, { expect: [202, 409] });
      const { status } = await person.execution(execution);
      assert.equal(status, answer.status === 202 ? 'cancelled' : 'completed');
    });
  });

  test('saves at once that name no version do not undo each other', async () => {
    const { id } = await person.createWorkflow(instant);
    const path = `/api/v1/workflows/${id}`;
    for (let round = 0; round < 10; round++) {
      const description = `round ${round}`, name = `name ${round}`;
      const workflow_data = graph([node(`question${round}`, 'userQuery')], []);
      await Promise.all([{ description }, { name }, { workflow_data }].map((body) => person.put(path, body)));
      const saved = await person.get(path);
      assert.deepEqual([saved.description, saved.name, saved.workflow_data.nodes[0].id], [description, name, `question${round}`]);
    }
  });

  test('a token made after a password change works at once', async () => {
    const other = await app.person('changing');
    const { email } = other.user;
    let password = 'correct horse battery staple';
    for (let round = 0; round < 4; round++) {
      const next = `another password ${round}`;
      app.secrets.add(next);
      const asking = times(8, () => other.request('GET', '/api/v1/auth/me', { expect: [200, 401] }));
      await other.request('POST', '/api/v1/auth/password', { json: { current_password: password, new_password: next }, expect: 204 });
      await asking;
      password = next;
      await other.login(email, password);
      await other.get('/api/v1/auth/me');
    }
  });

  test('a subprotocol that only begins with "bearer" is no token', async () => {
    const { id } = await person.createWorkflow(instant);
    const answer = await person.withToken(null).request('GET', `/ws/${id}`, {
      headers: { 'Sec-WebSocket-Protocol': `bearers, ${person.token}` }, expect: 401,
    });
    assertProblem(answer, 401);
  });

  /* A leak here is LeakSanitizer's to tell, at the end. */
  test('a WebSocket path asked without a handshake answers 426 and keeps nothing', async () => {
    const { id } = await person.createWorkflow(instant);
    for (let i = 0; i < 5; i++) assertProblem(await person.request('GET', `/ws/${id}`), 426);
  });

  test('a NUL in a form\'s workflow_id is refused', async () => {
    const { id } = await person.createWorkflow(instant);
    assertProblem(await person.request('POST', '/api/v1/documents/upload', {
      headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
      body: `--b\r\nContent-Disposition: form-data; name="workflow_id"\r\n\r\n${id}\0x\r\n`
        + '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n',
    }), 400);
  });

  test('probes from the first moment on find a program that answers', async () => {
    await app.terminate();
    const starting = app.launch();
    const probing = times(20, async () => {
      for (let i = 0; i < 20; i++) await fetch(`${app.url}/health`).then((response) => response.arrayBuffer()).catch(() => undefined);
    });
    await Promise.all([starting, probing]);
    assert.equal((await person.get('/health')).status, 'healthy');
  });
});

/* --- Data folders ------------------------------------------------------------------------------ */
async function serve(dataDir: string, env: Record<string, string> = {}): Promise<{ code: number | null; err: string }> {
  const child = spawn(binary, ['serve'], {
    cwd: tmpdir(), stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH']!, DATA_DIR: dataDir, PORT: '0', ...env },
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    if (err.includes('is ready')) child.kill('SIGTERM');
  });
  const [code] = await once(child, 'close');
  return { code, err };
}

describe('data folders', () => {
  async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'flowgenix-data-'));
    await work(folder).finally(() => rm(folder, { recursive: true, force: true }));
  }

  test('a second program on the same data is refused, and works once the first has ended', async () => {
    const app = await new App().start();
    const data = app.environment()['DATA_DIR']!;
    try {
      const second = await serve(data);
      assert.equal(second.code, 1);
      assert.match(second.err, /in use by another flowgenix/);
      await app.kill();
      assert.equal((await serve(data)).code, 0);
      await app.launch();
    } finally {
      await app.stop();
    }
    assert.deepEqual(app.faults, []);
  });

  test('secret.key is made once, whole and private', () => inFolder(async (folder) => {
    assert.equal((await serve(folder)).code, 0);
    const path = join(folder, 'secret.key');
    const key = await readFile(path, 'utf8');
    assert.ok(key.length >= 32);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith('secret')), ['secret.key']);
    await writeFile(path, `${key}\n`);
    assert.equal((await serve(folder)).code, 0);
    assert.equal(await readFile(path, 'utf8'), `${key}\n`);
  }));

  test('an empty secret.key is named, not replaced', () => inFolder(async (folder) => {
    await writeFile(join(folder, 'secret.key'), '');
    const result = await serve(folder);
    assert.equal(result.code, 1);
    assert.match(result.err, /secret\.key is empty/);
    assert.equal(await readFile(join(folder, 'secret.key'), 'utf8'), '');
  }));

  test('a folder that cannot be written is named', { skip: process.getuid?.() === 0 && 'root may write anywhere' }, () => inFolder(async (folder) => {
    await chmod(folder, 0o500);
    const result = await serve(folder);
    assert.equal(result.code, 1);
    assert.ok(result.err.includes(folder));
  }));
});

/* --- Commands ---------------------------------------------------------------------------------- */
async function command(args: string[], input: string, signal?: NodeJS.Signals): Promise<{ code: number | null; err: string; left: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'flowgenix-command-'));
  const workflow = join(folder, 'workflow.json');
  await writeFile(workflow, JSON.stringify(instant));
  const child = spawn(binary, args.map((arg) => (arg === 'WORKFLOW' ? workflow : arg)), {
    cwd: folder, env: { PATH: process.env['PATH']!, TMPDIR: folder, DATA_DIR: join(folder, 'data') }, stdio: ['pipe', 'ignore', 'pipe'],
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    if (signal) child.kill(signal);
  });
  child.stdin.on('error', () => undefined).end(input);
  const [code] = await once(child, 'close');
  const left = (await readdir(folder)).filter((name) => name.startsWith('flowgenix-run-'));
  await rm(folder, { recursive: true, force: true });
  return { code, err, left };
}

describe('commands', () => {
  test('an endless workflow file is too large, not for ever', async () => {
    const { code, err } = await command(['run', '/dev/zero', '--input', 'x'], '');
    assert.equal(code, 1);
    assert.match(err, /larger than the limit/);
  });

  test('a NUL in the input is refused, not where the input ends', async () => {
    const { code, err } = await command(['run', 'WORKFLOW', '--input', '-'], 'a\0b');
    assert.equal(code, 2);
    assert.match(err, /NUL/);
  });

  test('a hang-up leaves no folder behind', async () => {
    assert.deepEqual((await command(['run', 'WORKFLOW', '--input', 'x'], '', 'SIGHUP')).left, []);
  });

  test('user add refuses what register refuses', async () => {
    for (const args of [['--email', 'a b@example.org'], ['--email', `${'a'.repeat(250)}@example.org`], ['--email', 'a@example.org', '--name', 'n'.repeat(201)]]) {
      const { code, err } = await command(['user', 'add', ...args], 'long enough\n');
      assert.equal(code, 2, err);
    }
  });
});
