/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: uploaded, read, found again with their pages, and gone when deleted. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, eventually, type Client } from './harness.ts';
import { documentGraph } from './graphs.ts';
import { docx, handbookPages, pdf } from './files.ts';

const unknownId = '019a5c20-1111-7aaa-8bbb-0123456789ab';

describeApp('documents', (app) => {
  let person: Client;
  let other: Client;
  let workflowId: string;
  let handbook: Buffer;

  before(async () => {
    person = await app.person();
    other = await app.person();
    workflowId = (await person.createWorkflow(documentGraph())).id;
    handbook = await pdf(handbookPages);
  });

  const freshWorkflow = async () => (await person.createWorkflow(documentGraph())).id as string;

  test('an upload is accepted at once and processed to ready', async () => {
    const made = await person.upload('handbook.pdf', handbook, workflowId);
    assert.deepEqual([made.filename, made.content_type, made.file_size, made.workflow_id],
      ['handbook.pdf', 'application/pdf', handbook.length, workflowId]);
    assert.ok(['queued', 'extracting', 'chunking', 'embedding', 'ready'].includes(made.status));
    assert.equal(made.sha256, createHash('sha256').update(handbook).digest('hex'));
    const status = await person.processed(made.id);
    assert.deepEqual([status.status, status.progress, status.error, status.page_count], ['ready', 1, null, 4]);
    assert.ok(status.chunk_count >= 4);
    assert.equal((await person.get(`/api/v1/documents/${made.id}`)).status, 'ready');
  });

  test('the main job: a question is answered with the page it stands on, without any key', async () => {
    const ask = async (question: string) => person.run(workflowId, question);
    const leave = await ask('How many days of paid leave does an employee have?');
    assert.equal(leave.status, 'completed', JSON.stringify(leave.error));
    assert.match(leave.output.text, /thirty days/);
    const [citation] = leave.output.citations;
    assert.deepEqual([citation.filename, citation.page], ['handbook.pdf', 2]);
    assert.match(citation.quote, /thirty days of paid leave/);
    assert.ok(citation.end > citation.start);
    const code = await ask('When is the lighthouse door code changed?');
    assert.match(code.output.text, /Wednesday/);
    assert.equal(code.output.citations[0].page, 4);
    const again = await ask('When is the lighthouse door code changed?');
    assert.equal(again.output.text, code.output.text, 'the local engine is deterministic');
  });

  test('a citation points at its text: chunk, bytes and quote agree', async () => {
    const run = await person.run(workflowId, 'How many days of paid leave does an employee have?');
    const [citation] = run.output.citations;
    const chunks = (await person.get(`/api/v1/documents/${citation.document_id}/chunks`, 200, { limit: 100 })).items;
    const chunk = chunks.find((item: any) => item.id === citation.chunk_id);
    assert.equal(chunk.page, citation.page);
    assert.ok(citation.start >= chunk.start && citation.end <= chunk.end, JSON.stringify([citation, chunk]));
    const bytes = Buffer.from(chunk.content).subarray(citation.start - chunk.start, citation.end - chunk.start);
    const plain = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
    assert.equal(plain(bytes.toString('utf8')), plain(citation.quote));
  });

  const sentence = 'The purple submarine surfaces near Greenwich on the third of May.';
  const formats: Record<string, { type: string; content: () => string | Buffer }> = {
    'notes.txt': { type: 'text/plain', content: () => `Preface.\n\n${sentence}\n\nEnd — naïve café 東京.` },
    'notes.md': { type: 'text/markdown', content: () => `# Submarines\n\nSome *words*.\n\n## Timetable\n\n${sentence}\n` },
    'page.html': {
      type: 'text/html',
      content: () => `<!DOCTYPE html><html><head><title>T</title><script>var hidden = "scriptword";</script><style>p{}</style></head>`
        + `<body><h1>Submarines &amp; more</h1><p>${sentence}</p></body></html>`,
    },
    'table.csv': { type: 'text/csv', content: () => `vessel,place,date\n"purple submarine","Greenwich, London",third of May\nferry,Dover,June\n` },
    'letter.docx': {
      type: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
      content: () => docx(['# Timetable', sentence, 'Tom & Jerry <3']),
    },
    'paper.pdf': { type: 'application/pdf', content: () => handbook },
  };
  for (const [name, { type, content }] of Object.entries(formats))
    test(`${name} is read and told by its content`, async () => {
      const id = await freshWorkflow();
      const made = await person.uploadReady(name, content(), id);
      assert.equal(made.content_type, type);
      if (type === 'application/pdf') return;
      const { results } = await person.post('/api/v1/search/documents', { query: 'purple submarine Greenwich', workflow_id: id });
      assert.match(results[0].content, /purple submarine/);
      assert.equal(results[0].metadata.filename, name);
      assert.equal(results[0].metadata.page, null);
      assert.ok(!results[0].content.includes('scriptword'), 'scripts are no text');
      assert.ok(!/<p>|<w:t>|&amp;/.test(results[0].content), results[0].content);
    });

  test('the name that a browser sends is kept, as a name only', async () => {
    const names: Record<string, RegExp> = {
      'Überblick 東京 (2).txt': /^Überblick 東京 \(2\)\.txt$/,
      '../../../../etc/cron.d/evil.txt': /^[^/\\]*evil\.txt$/,
      '..\\..\\windows\\evil2.txt': /^[^/\\]*evil2\.txt$/,
      '/etc/passwd.txt': /^[^/]*passwd\.txt$/,
      'two\r\nlines.txt': /^[^\r\n]+$/,
      'quote".txt': /^[^\r\n]+$/,
      [`${'n'.repeat(250)}.txt`]: /^n{100,255}/,
    };
    for (const [name, expected] of Object.entries(names)) {
      const made = await person.upload(name, `Text of ${name}`, workflowId, [202, 400]);
      if (made.status === 400) continue;
      assert.match(made.filename, expected);
      const answer = await person.request('GET', `/api/v1/documents/${made.id}/download`, { expect: 200 });
      assert.equal(answer.text, `Text of ${name}`);
      assert.match(answer.headers.get('content-disposition')!, /^attachment/);
      assert.ok(!/[\r\n]/.test(answer.headers.get('content-disposition')!));
    }
    const files = readdirSync(app.dataDir, { recursive: true }).map(String);
    assert.ok(!files.some((file) => /evil|passwd/.test(file)), 'files are stored under names of the server');
  });

  test('what was uploaded comes back byte by byte, never to be shown in place', async () => {
    const html = '<script>alert(document.cookie)</script><p>Stored page about zeppelins.</p>';
    const made = await person.uploadReady('attack.html', html, workflowId);
    const answer = await person.request('GET', `/api/v1/documents/${made.id}/download`, { expect: 200 });
    assert.equal(answer.text, html);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.match(answer.headers.get('content-disposition')!, /^attachment; *filename/);
    const file = await person.uploadReady('again.pdf', handbook, await freshWorkflow());
    assert.ok((await person.request('GET', `/api/v1/documents/${file.id}/download`)).bytes.equals(handbook));
  });

  test('the same bytes again are recognised', async () => {
    const id = await freshWorkflow();
    const first = await person.uploadReady('one.txt', 'The same bytes about otters.', id);
    const second = await person.upload('two.txt', 'The same bytes about otters.', id);
    assert.ok(second.id === first.id || second.duplicate_of === first.id, JSON.stringify(second));
    await person.processed(second.id);
    const { results } = await person.post('/api/v1/search/documents', { query: 'otters', workflow_id: id });
    assert.equal(results.length, 1, 'a passage is not found twice');
    const theirs = await other.upload('one.txt', 'The same bytes about otters.', (await other.createWorkflow(documentGraph())).id);
    assert.notEqual(theirs.id, first.id);
    assert.equal(theirs.duplicate_of, undefined, 'nobody learns what another has');
  });

  test('a deleted document is gone: list, text, search and file', async () => {
    const id = await freshWorkflow();
    const made = await person.uploadReady('gone.txt', 'Ephemeral walrus.', id);
    await person.delete(`/api/v1/documents/${made.id}`);
    for (const path of ['', '/status', '/download', '/chunks'])
      assertProblem(await person.request('GET', `/api/v1/documents/${made.id}${path}`), 404);
    assert.equal((await person.get('/api/v1/documents', 200, { workflow_id: id })).total, 0);
    assert.deepEqual((await person.post('/api/v1/search/documents', { query: 'walrus', workflow_id: id })).results, []);
    await eventually(() => {
      const left = readdirSync(join(app.dataDir, 'data'), { recursive: true }).map(String);
      assert.deepEqual(left.filter((name) => name.includes(made.id)), [], 'its files are still there');
    });
    /* The same bytes can come back. */
    await person.uploadReady('gone.txt', 'Ephemeral walrus.', id);
  });

  test('lists are per workflow, with pages', async () => {
    const id = await freshWorkflow();
    for (let i = 0; i < 4; i++) await person.upload(`n${i}.txt`, `Document number ${i}.`, id);
    const first = await person.get('/api/v1/documents', 200, { workflow_id: id, limit: 3 });
    const second = await person.get('/api/v1/documents', 200, { workflow_id: id, limit: 3, cursor: first.next_cursor });
    assert.deepEqual([...first.items, ...second.items].map((item: any) => item.filename), ['n3.txt', 'n2.txt', 'n1.txt', 'n0.txt']);
    assert.equal(first.total, 4);
    assertField(await person.request('GET', '/api/v1/documents', { query: { workflow_id: 'x' } }), 'workflow_id');
  });

  test('chunks cover the text in reading order', async () => {
    const id = await freshWorkflow();
    const text = Array.from({ length: 120 }, (_, i) => `Paragraph ${i} speaks of topic number ${i} at some length, with a naïve café.`).join('\n\n');
    const made = await person.uploadReady('long.txt', text, id);
    const chunks = (await person.get(`/api/v1/documents/${made.id}/chunks`, 200, { limit: 100 })).items;
    assert.deepEqual(chunks.map((chunk: any) => chunk.ordinal), chunks.map((_: any, i: number) => chunks[0].ordinal + i));
    for (const chunk of chunks) assert.ok(chunk.end > chunk.start);
    const all = chunks.map((chunk: any) => chunk.content).join(' ');
    for (const i of [0, 60, 119]) assert.ok(all.includes(`topic number ${i} `), `paragraph ${i} is missing`);
  });

  test('documents of others are not there', async () => {
    const made = await person.uploadReady('mine.txt', 'My private llama.', workflowId);
    for (const [method, path] of [['GET', ''], ['GET', '/status'], ['GET', '/download'], ['GET', '/chunks'], ['DELETE', '']])
      assertProblem(await other.request(method!, `/api/v1/documents/${made.id}${path}`), 404);
    assertProblem(await other.request('GET', `/api/v1/documents/${unknownId}`), 404);
    const search = await other.request('POST', '/api/v1/search/documents', { json: { query: 'llama', workflow_id: workflowId } });
    assert.equal(search.status, 404);
    await assertUploadRefused(other, workflowId, 404);
    await assertUploadRefused(person, unknownId, 404);
  });

  async function assertUploadRefused(client: Client, id: string, status: number): Promise<void> {
    const form = new FormData();
    form.set('workflow_id', id);
    form.set('file', new Blob(['text']), 'x.txt');
    assertProblem(await client.request('POST', '/api/v1/documents/upload', { body: form }), status);
  }

  test('a workflow\'s own document_ids narrow the search', async () => {
    const id = await freshWorkflow();
    const red = await person.uploadReady('red.txt', 'The secret number of the red team is eleven.', id);
    await person.uploadReady('blue.txt', 'The secret number of the blue team is twelve.', id);
    await person.put(`/api/v1/workflows/${id}`, { workflow_data: documentGraph({ provider: 'local' }, { document_ids: [red.id] }) });
    const run = await person.run(id, 'What is the secret number of the team?');
    assert.match(run.output.text, /eleven/);
    assert.ok(!run.output.text.includes('twelve'));
  });
});
