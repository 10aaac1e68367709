/* SPDX-License-Identifier: Apache-2.0 */
/* Upload to ready of a 300-page PDF (Debian's policy manual, repeated), against pdftotext alone. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { median, number, run, startApp, type Row } from './tools.ts';

async function threeHundredPages(folder: string): Promise<string> {
  const source = join(folder, 'policy.pdf'), result = join(folder, 'pages.pdf');
  await writeFile(source, gunzipSync(await readFile('/usr/share/doc/debian-policy/policy.pdf.gz')));
  const pages = Number((await run('qpdf', ['--show-npages', source])).trim());
  const parts = Array.from({ length: Math.ceil(300 / pages) }, (_, i) => [source, `1-${Math.min(pages, 300 - i * pages)}`]);
  await run('qpdf', ['--empty', '--pages', ...parts.flat(), '--', result]);
  return result;
}

export async function documents(folder: string): Promise<Row[]> {
  const path = await threeHundredPages(folder);
  const bytes = await readFile(path);
  const { app, person } = await startApp();
  const ours: number[] = [], theirs: number[] = [];
  for (let i = 0; i < 5; i++) {
    const workflow = (await person.post('/api/v1/workflows', { name: `bench ${i}` }, 201)) as { id: string };
    let began = performance.now();
    await person.uploadReady('policy.pdf', bytes, workflow.id);
    ours.push(performance.now() - began);
    began = performance.now();
    await run('pdftotext', ['-enc', 'UTF-8', path, join(folder, 'policy.txt')]);
    theirs.push(performance.now() - began);
  }
  await app.stop();
  const [a, b] = [median(ours), median(theirs)];
  return [{
    what: 'upload to ready of a 300-page PDF', measured: `${number(a)} ms`, target: 'text at ≥ 0.8 × pdftotext',
    against: `pdftotext alone ${number(b)} ms: ${number(b / a, 2)} ×`,
  }];
}
