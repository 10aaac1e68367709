/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile files end as refused or `failed` with a reason, in bounded time and memory, and the
 * server lives on. All are uploaded first, so that they are worked on while the others are looked at. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, type Answer, type Client } from './harness.ts';
import { docx, docxBomb, docxExternal, docxLaughs, docxOf, manyPages, pdf, pdfBomb } from './files.ts';
import { documentGraph } from './graphs.ts';

const deepHtml = `<html><body>${'<div>'.repeat(200_000)}deep</body></html>`;

describeApp('hostile files', (app) => {
  let person: Client;
  let workflowId: string;
  let memoryBefore = 0;
  const answers = new Map<string, Answer>();

  const post = (name: string, content: string | Uint8Array) => {
    const form = new FormData();
    form.set('workflow_id', workflowId);
    form.set('file', new Blob([content as Uint8Array<ArrayBuffer>]), name);
    return person.request('POST', '/api/v1/documents/upload', { body: form });
  };

  before(async () => {
    person = await app.person();
    workflowId = (await person.createWorkflow(documentGraph())).id;
    await person.uploadReady('warm.txt', 'Warm-up.', workflowId);
    memoryBefore = await app.memoryMb();
    const good = await pdf(['Some text of a good page.', 'Another page.']);
    const word = docx(['A paragraph of text.']);
    const files: Record<string, string | Uint8Array> = {
      'bomb.docx': docxBomb(),
      'bomb.pdf': pdfBomb(),
      'pages.pdf': manyPages(10_000),
      'encrypted.pdf': await pdf(['Secret page.'], { userPassword: 'open sesame' }),
      'truncated.pdf': good.subarray(0, Math.floor(good.length * 0.4)),
      'header-only.pdf': '%PDF-1.7\n',
      'garbage.pdf': Buffer.concat([Buffer.from('%PDF-1.7\n'), Buffer.alloc(20_000, 0xa5)]),
      'truncated.docx': word.subarray(0, Math.floor(word.length * 0.6)),
      'no-document.docx': docxOf('').subarray(0, -30),
      'bad-xml.docx': docxOf('<w:document><w:body><w:p>never closed'),
      'laughs.docx': docxLaughs(),
      'external.docx': docxExternal(),
      'slip.docx': docxOf('<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>zip slip text</w:t></w:r></w:p></w:body></w:document>',
        { '../../../../tmp/flowgenix-slip.txt': 'slipped' }),
      'empty.txt': '',
      'empty.pdf': '',
      'blank.txt': ' \n\t\n ',
      'pdf-named.txt': good,
      'text-named.pdf': 'Just text, no PDF at all.',
      'zip-named.docx': Buffer.from('PK\x03\x04not really a zip file', 'latin1'),
      'program.txt': Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), Buffer.alloc(5000)]),
      'program.exe': Buffer.concat([Buffer.from('MZ'), Buffer.alloc(5000)]),
      'picture.png': Buffer.from('\x89PNG\r\n\x1a\n0000', 'latin1'),
      'latin1.txt': Buffer.from('na\xefve caf\xe9 is not UTF-8', 'latin1'),
      'nul.txt': 'text\0with\0nul',
      'deep.html': deepHtml,
      'line.txt': 'x'.repeat(3_000_000),
      'quotes.csv': `"never closed\n${'a,b\n'.repeat(1000)}`,
    };
    for (const [name, content] of Object.entries(files)) answers.set(name, await post(name, content));
  });

  /* Refused at the door (naming the reason), or accepted and then failed with a reason. */
  async function failsWith(name: string, reason: RegExp, timeoutMs = 60_000): Promise<void> {
    const answer = answers.get(name)!;
    if (answer.status !== 202) {
      assertProblem(answer, [400, 413, 415, 422]);
      assert.match(answer.body.detail, reason);
      return;
    }
    const status = await person.processed(answer.body.id, timeoutMs);
    assert.equal(status.status, 'failed', `${name} is ${status.status} with ${status.chunk_count} chunks`);
    assert.match(status.error ?? '', reason);
    assert.ok(!/\/tmp|\/work|errno|0x|NULL/.test(status.error), `no words for people: ${status.error}`);
  }

  /* Read as far as it goes, or failed: either way with bounded effort and an answer. */
  async function ends(name: string, timeoutMs = 60_000): Promise<any> {
    const answer = answers.get(name)!;
    if (answer.status !== 202) return assertProblem(answer, [400, 413, 415, 422]);
    return person.processed(answer.body.id, timeoutMs);
  }

  test('truncated and damaged PDFs', async () => {
    for (const name of ['header-only.pdf', 'garbage.pdf']) await failsWith(name, /PDF|damaged|read/i);
    await ends('truncated.pdf');
  });
  test('an encrypted PDF', () => failsWith('encrypted.pdf', /encrypt|password|protected/i));
  test('truncated and damaged DOCX', async () => {
    for (const name of ['truncated.docx', 'no-document.docx', 'bad-xml.docx', 'zip-named.docx'])
      await failsWith(name, /DOCX|Word|zip|archive|damaged|read|XML|type|content/i);
  });
  test('a billion laughs', () => failsWith('laughs.docx', /./));
  test('an external entity reads no file of the server', async () => {
    await ends('external.docx');
    const { results } = await person.post('/api/v1/search/documents', { query: 'root bash before after', workflow_id: workflowId });
    assert.ok(!JSON.stringify(results).includes('root:'), 'the password file was read');
  });
  test('a zip that names paths outside is no way out', async () => {
    await ends('slip.docx');
    const { existsSync } = await import('node:fs');
    assert.equal(existsSync('/tmp/flowgenix-slip.txt'), false);
  });
  test('empty and blank files', async () => {
    for (const name of ['empty.txt', 'empty.pdf', 'blank.txt']) await failsWith(name, /empty|no text|nothing/i);
  });
  test('a wrong extension is told, or the content is believed', async () => {
    const answer = answers.get('pdf-named.txt')!;
    if (answer.status === 202) assert.equal(answer.body.content_type, 'application/pdf');
    else assertProblem(answer, 415);
    await failsWith('text-named.pdf', /PDF/i);
  });
  test('programs and pictures are no documents', async () => {
    for (const name of ['program.txt', 'program.exe', 'picture.png']) await failsWith(name, /type|text|kind|document|binary|files/i);
  });
  test('text that is no UTF-8, or holds NUL', async () => {
    for (const name of ['latin1.txt', 'nul.txt']) {
      const status = await ends(name);
      if (status?.status === 'failed') assert.ok(status.error.length > 5);
    }
  });
  test('deep, long and unclosed text', async () => {
    for (const name of ['deep.html', 'line.txt', 'quotes.csv']) await ends(name);
  });
  test('10,000 pages', () => ends('pages.pdf'));
  test('a zip bomb', () => failsWith('bomb.docx', /large|long|big|much|bomb|limit|time|expand/i));
  test('a PDF that unpacks to a hundred megabytes', () => ends('bomb.pdf', 100_000));

  test('the server kept its memory and still does its job', async () => {
    const grown = (await app.memoryMb()) - memoryBefore;
    assert.ok(grown < 200, `${grown.toFixed(0)} MiB more`);
    const made = await person.uploadReady('after.txt', 'Afterwards all is well with the badger.', workflowId);
    assert.equal(made.status, 'ready');
    const health = await person.get('/health');
    assert.equal(health.status, 'healthy', JSON.stringify(health));
  });
});

describeApp('hostile uploads', (app) => {
  let person: Client;
  let workflowId: string;

  before(async () => {
    person = await app.person();
    workflowId = (await person.createWorkflow(documentGraph())).id;
  });

  const raw = (type: string, body: string | Uint8Array) =>
    person.request('POST', '/api/v1/documents/upload', { body, headers: { 'Content-Type': type } });
  const part = (disposition: string, content: string) =>
    `--b\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
  const field = () => part('name="workflow_id"', workflowId);

  test('a file past MAX_UPLOAD_BYTES is refused', async () => {
    const form = new FormData();
    form.set('workflow_id', workflowId);
    form.set('file', new Blob(['x'.repeat(300_000)]), 'big.txt');
    assertProblem(await person.request('POST', '/api/v1/documents/upload', { body: form }), 413);
    const { readdirSync } = await import('node:fs');
    const left = readdirSync(app.dataDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.parentPath.includes('documents'));
    assert.deepEqual(left.map((entry) => entry.name), [], 'a refused upload leaves nothing');
  });

  test('a form without a file, with two, or with strange fields', async () => {
    const type = 'multipart/form-data; boundary=b';
    assertField(await raw(type, `${field()}--b--\r\n`), 'file');
    const file = part('name="file"; filename="a.txt"', 'text');
    assertProblem(await raw(type, `${field()}${file}${file.replace('a.txt', 'b.txt')}--b--\r\n`), 400);
    assertProblem(await raw(type, `${field()}${file}${part('name="evil"', 'x')}--b--\r\n`), 400);
    assertProblem(await raw(type, `${part('name="workflow_id"', 'x'.repeat(100_000))}${file}--b--\r\n`), [400, 413]);
    assertProblem(await raw(type, `${part('name="workflow_id"', 'no id')}${file}--b--\r\n`), 400);
    assertProblem(await raw(type, `${field()}${part('name="file"', 'no name')}--b--\r\n`), 400);
    assertProblem(await raw(type, `${field()}${part('name="file"; filename=""', 'no name')}--b--\r\n`), 400);
  });

  test('broken multipart', async () => {
    const good = `${field()}${part('name="file"; filename="a.txt"', 'text')}--b--\r\n`;
    const broken: [string, string][] = [
      ['multipart/form-data', good],
      ['multipart/form-data; boundary=', good],
      [`multipart/form-data; boundary=${'b'.repeat(100)}`, good],
      ['multipart/form-data; boundary=other', good],
      ['multipart/form-data; boundary=b', good.slice(0, -10)],
      ['multipart/form-data; boundary=b', ''],
      ['multipart/form-data; boundary=b', 'no parts at all'],
      ['multipart/form-data; boundary=b', good.replace('form-data; name="file"', 'form-data')],
      ['multipart/form-data; boundary=b', good.replace('Content-Disposition', `X-Long: ${'x'.repeat(20_000)}\r\nContent-Disposition`)],
      ['multipart/form-data; boundary=b', `${part('name="x"', 'y').repeat(2000)}--b--\r\n`],
      ['multipart/mixed; boundary=b', good],
      ['application/json', '{}'],
      ['text/plain', 'text'],
      ['', good],
    ];
    for (const [type, body] of broken) {
      const answer = await raw(type, body);
      assert.ok([400, 413, 415, 431].includes(answer.status), `${type}: ${answer.status} ${answer.text.slice(0, 200)}`);
      assertProblem(answer, answer.status);
    }
    assert.equal((await person.get('/api/v1/documents')).total, 0);
  });

  test('a form sent in tiny pieces is read all the same', async () => {
    const body = `${field()}${part('name="file"; filename="tiny.txt"', 'A tiny tale of --b and\r\n--cubs.')}--b--\r\n`;
    const bytes = Buffer.from(body);
    const pieces = new ReadableStream({
      async start(controller) {
        for (let at = 0; at < bytes.length; at += 7) {
          controller.enqueue(bytes.subarray(at, at + 7));
          await new Promise((resolve) => setImmediate(resolve));
        }
        controller.close();
      },
    });
    const answer = await fetch(`${app.url}/api/v1/documents/upload`, {
      method: 'POST', body: pieces, duplex: 'half',
      headers: { Authorization: `Bearer ${person.token}`, 'Content-Type': 'multipart/form-data; boundary=b' },
    } as RequestInit);
    const made: any = await answer.json();
    assert.equal(answer.status, 202, JSON.stringify(made));
    const download = await person.request('GET', `/api/v1/documents/${made.id}/download`, { expect: 200 });
    assert.equal(download.text, 'A tiny tale of --b and\r\n--cubs.');
  });
}, { env: { MAX_UPLOAD_BYTES: '200000' } });
