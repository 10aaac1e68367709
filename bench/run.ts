/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the built program from outside and prints one table; script/bench writes it to
 * bench/RESULTS.md. Every ratio is against something measured in the same run. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';

import { App } from '../test/api/app.ts';
import { crud } from './crud.ts';
import { documents } from './documents.ts';
import { executions, waiting } from './executions.ts';
import { health } from './health.ts';
import { sockets } from './sockets.ts';
import { startup } from './startup.ts';
import { run, type Row } from './tools.ts';

type Section = (folder: string) => Promise<Row[]>;
const sections: Record<string, Section> = { startup, health, crud, executions, waiting, sockets, documents };

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in sections));
if (unknown.length > 0) {
  console.error(`no such section: ${unknown.join(', ')}; there are ${Object.keys(sections).join(', ')}`);
  process.exit(2);
}

const folder = await mkdtemp(join(tmpdir(), 'flowgenix-bench-'));
const rows: Row[] = [];
try {
  for (const [name, section] of Object.entries(sections)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    console.error(`bench: ${name}`);
    rows.push(...(await section(folder)));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

const commit = (await run('git', ['rev-parse', '--short', 'HEAD'])).trim();
const table = [
  `# Results`,
  ``,
  `Printed by \`./script/bench\` (release build) at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores`,
  `(${cpus()[0]?.model.trim()}), load generator, stubs and peers on the same cores. Medians. The machine is`,
  `shared: trust ratios, not absolute figures.`,
  ``,
  `| what | measured | target | against |`,
  `|---|---|---|---|`,
  ...rows.map((row) => `| ${row.what} | ${row.measured} | ${row.target ?? ''} | ${row.against ?? ''} |`),
  ``,
].join('\n');
console.log(table);
if (wanted.length === 0) await writeFile(new URL('RESULTS.md', import.meta.url), table);
