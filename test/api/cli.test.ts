/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: every command, as a shell sees it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { App, binary, describeApp } from './harness.ts';
import { docx, handbookPages, pdf } from './files.ts';
import { documentGraph, graph, llmGraph, node, researchGraph } from './graphs.ts';
import { Stubs } from '../stubs/stubs.ts';
import { defaultAnswer } from '../stubs/text.ts';

interface Result {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}

let folder = '';
const stubs = new Stubs();
const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const sanitizer = /Sanitizer|runtime error:/;

async function run(args: string[], options: { env?: Record<string, string>; input?: string; kill?: (child: any) => void } = {}): Promise<Result> {
  const env: Record<string, string> = {
    PATH: process.env['PATH']!, HOME: folder, TMPDIR: folder, LANG: 'C.UTF-8', DATA_DIR: join(folder, 'data'), ...stubs.environment(), ...options.env,
  };
  for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS']) if (process.env[name]) env[name] = process.env[name];
  const child = spawn(binary, args, { cwd: folder, env, stdio: 'pipe' });
  const result: Result = { code: null, signal: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.err += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  options.kill?.(child);
  const [code, signal] = await once(child, 'close');
  Object.assign(result, { code, signal });
  assert.ok(!sanitizer.test(result.err), result.err);
  return result;
}

async function save(name: string, content: string | Uint8Array | object): Promise<string> {
  const path = join(folder, name);
  const isText = typeof content === 'string' || content instanceof Uint8Array;
  await writeFile(path, isText ? content : JSON.stringify(content));
  return path;
}

describe('command line', () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flowgenix-cli-'));
    await stubs.start();
  });
  after(async () => {
    await stubs.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('--help of the program and of each command', async () => {
    const help = await run(['--help']);
    assert.equal(help.code, 0);
    for (const command of ['serve', 'run', 'migrate', 'user', 'check', 'version']) {
      assert.match(help.out, new RegExp(`\\b${command}\\b`));
      const own = await run([command, '--help']);
      assert.deepEqual([own.code, own.err], [0, ''], command);
      assert.match(own.out, new RegExp(command));
    }
    assert.equal(existsSync(join(folder, 'data')), false, 'help leaves nothing behind');
  });

  test('no command, or an unknown one, is wrong use', async () => {
    for (const args of [[], ['dance'], ['serve', 'extra'], ['run'], ['run', '--input', 'x'], ['run', 'a.json'], ['user'], ['user', 'remove'], ['version', 'x'], ['run', 'a.json', '--input', 'x', '--bogus']]) {
      const result = await run(args);
      assert.equal(result.code, 2, `${args}: ${result.code} ${result.err}`);
      assert.ok(result.err.length > 10 && result.out === '', String(args));
    }
  });

  test('version', async () => {
    assert.match((await run(['version'])).out, /^flowgenix \d+\.\d+\.\d+/);
    assert.match((await run(['--version'])).out, /^flowgenix \d/);
  });

  test('check prints what is in force and masks secrets', async () => {
    const env = { SECRET_KEY: 'a-very-secret-key-of-thirty-two-chars', PORT: '8123', MAX_UPLOAD_BYTES: '1234567', DATA_DIR: join(folder, 'check') };
    const result = await run(['check'], { env });
    assert.equal(result.code, 0, result.err);
    for (const name of ['HOST', 'PORT', 'METRICS_PORT', 'DATA_DIR', 'DATABASE_URL', 'SECRET_KEY', 'ENVIRONMENT', 'ALLOWED_ORIGINS', 'LOG_LEVEL', 'LOG_FILE',
      'GEMINI_API_KEY', 'GEMINI_BASE_URL', 'OPENAI_API_KEY', 'OPENAI_BASE_URL', 'BRAVE_API_KEY', 'SERPAPI_KEY', 'SEARXNG_URL', 'MAX_UPLOAD_BYTES',
      'EXECUTION_RETENTION_DAYS', 'EXECUTION_CONCURRENCY', 'WORKERS'])
      assert.match(result.out, new RegExp(`\\b${name}\\b`), name);
    assert.match(result.out, /8123/);
    assert.match(result.out, /1234567/);
    for (const secret of [env.SECRET_KEY, ...Object.values(stubs.environment()).filter((value) => value.includes('secret-4711'))])
      assert.ok(!(result.out + result.err).includes(secret), secret);
  });

  test('.env is read, and the environment goes before it', async () => {
    await save('.env', '# a comment\nPORT=8321\nLOG_LEVEL="WARN"\nexport ENVIRONMENT=staging\n\n');
    const result = await run(['check'], { env: { LOG_LEVEL: 'ERROR' } });
    await rm(join(folder, '.env'));
    assert.equal(result.code, 0, result.err);
    assert.match(result.out, /8321/);
    assert.match(result.out, /ENVIRONMENT\S*\W+staging/);
    assert.match(result.out, /LOG_LEVEL\S*\W+ERROR/);
  });

  test('bad values are named', async () => {
    for (const [name, value] of [['PORT', '99999'], ['PORT', 'http'], ['MAX_UPLOAD_BYTES', '-1'], ['LOG_LEVEL', 'LOUD'], ['ENVIRONMENT', 'moon'], ['DATABASE_URL', 'oracle://x'], ['SECRET_KEY', 'short']] as const) {
      const result = await run(['serve'], { env: { [name]: value } });
      assert.ok(result.code === 1 || result.code === 2, `${name}: ${result.code}`);
      assert.match(result.err, new RegExp(name.replace('_', '.'), 'i'), `${name}: ${result.err}`);
    }
  });

  test('migrate brings a database up to date, and again changes nothing', async () => {
    const env = { DATA_DIR: join(folder, 'migrate') };
    const first = await run(['migrate'], { env });
    assert.equal(first.code, 0, first.err);
    assert.ok(existsSync(join(folder, 'migrate', 'flowgenix.db')));
    const second = await run(['migrate'], { env });
    assert.deepEqual([second.code, /\b0 migrations applied/.test(second.out)], [0, true], second.out);
  });

  test('user add makes accounts, the first one an administrator', async () => {
    const env = { DATA_DIR: join(folder, 'users') };
    const add = (email: string, ...more: string[]) => run(['user', 'add', '--email', email, ...more], { env, input: 'a long enough password\n' });
    const first = await add('first@example.org', '--name', 'First');
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /admin/);
    assert.match((await add('second@example.org')).out, /member/);
    assert.match((await add('third@example.org', '--admin')).out, /admin/);
    const again = await add('FIRST@example.org');
    assert.equal(again.code, 1);
    const short = await run(['user', 'add', '--email', 'x@example.org'], { env, input: 'short\n' });
    assert.equal(short.code, 2);
    assert.ok(!`${first.out}${first.err}`.includes('a long enough password'));
  });

  /* --- run ------------------------------------------------------------------------------------- */
  test('run does the main job: the answer with its page on stdout, progress on stderr', async () => {
    const document = await save('handbook.pdf', await pdf(handbookPages));
    const result = await run(['run', join(examples, 'document-qa.json'), '--document', document, '--input', 'When is the lighthouse door code changed?']);
    assert.equal(result.code, 0, result.err);
    assert.match(result.out, /Wednesday/);
    assert.match(result.out, /handbook\.pdf/);
    assert.match(result.out, /page 4/);
    assert.match(result.err, /handbook\.pdf/);
    assert.ok(!result.err.includes('Wednesday'), 'the answer is on stdout only');
    const left = (await readdir(folder)).filter((name) => name.startsWith('flowgenix-run'));
    assert.deepEqual(left, [], 'nothing is left behind');
  });

  test('run --json prints the whole execution', async () => {
    const document = await save('letter.docx', docx(['The ferry to Harwich leaves at noon.', 'Nothing else is known.']));
    const text = await save('notes.txt', 'The ferry to Dover leaves at dusk.');
    const result = await run(['run', join(examples, 'document-qa.json'), '--document', document, '--document', text, '--input', 'When does the ferry to Dover leave?', '--json']);
    assert.equal(result.code, 0, result.err);
    const execution = JSON.parse(result.out);
    assert.equal(execution.status, 'completed');
    assert.match(execution.output.text, /dusk/);
    assert.equal(execution.output.citations[0].filename, 'notes.txt');
    assert.deepEqual(execution.steps.map((step: any) => step.status), ['completed', 'completed', 'completed', 'completed']);
  });

  test('run takes the input from stdin, and models and engines from the environment', async () => {
    const path = await save('llm.json', { name: 'x', description: '', workflow_data: llmGraph({ provider: 'openai', model: 'stub' }) });
    const result = await run(['run', path, '--input', '-', '--quiet'], { input: 'from stdin' });
    assert.deepEqual([result.code, result.out.trim(), result.err], [0, defaultAnswer, '']);
    assert.match(stubs.openai.requests.at(-1)!.body, /from stdin/);
    const research = await save('research.json', researchGraph({ provider: 'local' }, { provider: 'brave' }));
    const found = await run(['run', research, '--input', 'what does the web say about otters']);
    assert.equal(found.code, 0, found.err);
    assert.match(found.out, /https:\/\/example\.org\/what-does-the-web-say-about-otters/);
  });

  test('run fails with a reason and a status', async () => {
    const good = await save('good.json', documentGraph());
    const cases: [string[], RegExp, number[]][] = [
      [['run', join(folder, 'missing.json'), '--input', 'x'], /missing\.json/, [1, 2]],
      [['run', await save('broken.json', '{"nodes": ['), '--input', 'x'], /broken\.json.*line 1/s, [1, 2]],
      [['run', await save('shape.json', { nodes: 7 }), '--input', 'x'], /shape\.json.*(nodes|graph)/s, [1, 2]],
      [['run', await save('cycle.json', graph([node('a', 'llmEngine')], ['a:answer -> a:query'])), '--input', 'x'], /cycle|circle|loop|itself/i, [1, 2]],
      [['run', good, '--document', join(folder, 'nothing.pdf'), '--input', 'x'], /nothing\.pdf/, [1, 2]],
      [['run', good, '--document', await save('bad.pdf', '%PDF-1.7 broken'), '--input', 'x'], /bad\.pdf/, [1]],
      [['run', good, '--document', await save('locked.pdf', await pdf(['x'], { userPassword: 'u' })), '--input', 'x'], /locked\.pdf.*(password|encrypt|protect)/is, [1]],
      [['run', await save('refused.json', llmGraph({ provider: 'openai', model: 'stub-invalid-key', max_attempts: 1 })), '--input', 'x'], /key/i, [1]],
    ];
    for (const [args, words, codes] of cases) {
      const result = await run(args);
      assert.ok(codes.includes(result.code!), `${args[1]}: ${result.code} ${result.err}`);
      assert.match(result.err, words);
      assert.equal(result.out, '', 'no answer on stdout');
      assert.ok(!result.err.includes('secret-4711'));
    }
  });

  test('run --json tells a failed execution as JSON too', async () => {
    const path = await save('failing.json', llmGraph({ provider: 'openai', model: 'stub-forbidden', max_attempts: 1 }));
    const result = await run(['run', path, '--input', 'x', '--json']);
    assert.equal(result.code, 1);
    const execution = JSON.parse(result.out);
    assert.deepEqual([execution.status, execution.error.node_id], ['failed', 'llm']);
  });

  test('Ctrl+C ends a run at once and leaves nothing behind', async () => {
    stubs.reset();
    const path = await save('stall.json', llmGraph({ provider: 'openai', model: 'stub-stall' }));
    const result = await run(['run', path, '--input', 'x'], {
      kill: (child) => void stubs.openai.waitFor(() => true).then(() => child.kill('SIGINT')),
    });
    assert.ok(result.code !== 0 || result.signal === 'SIGINT');
    await stubs.openai.waitFor((record) => record.aborted);
    assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith('flowgenix-run')), []);
  });

  test('every example is valid', async () => {
    const files = (await readdir(examples)).filter((name) => name.endsWith('.json'));
    assert.ok(files.length >= 3, String(files));
    const document = await save('facts.txt', 'Otters hold hands while they sleep.');
    for (const name of files) {
      const result = await run(['run', join(examples, name), '--document', document, '--input', 'What do otters do?']);
      assert.equal(result.code, 0, `${name}: ${result.err}`);
      assert.ok(result.out.length > 20, name);
    }
  });
});

describeApp('command line beside a server', (app: App) => {
  test('a user added on the command line can log in', async () => {
    const child = spawn(binary, ['user', 'add', '--email', 'cli@example.org'], { cwd: app.dataDir, env: app.environment(), stdio: 'pipe' });
    child.stdin.end('a long enough password\n');
    assert.equal((await once(child, 'close'))[0], 0);
    app.secrets.add('a long enough password');
    const client = app.client();
    await client.login('cli@example.org', 'a long enough password');
    assert.equal((await client.get('/api/v1/auth/me')).role, 'admin');
  });
});
