/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the test files: `npm test [-- [REPORT.xml] [FILE.test.ts]...]`. Results go to stdout for
 * people and to a JUnit file for programs; the exit status is 0 if every test passed. */
import { spawnSync } from 'node:child_process';
import { globSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = import.meta.dirname;
const words = process.argv.slice(2);
const chosen = words.filter((word) => word.endsWith('.test.ts')).map((word) => resolve(word));
const report = resolve(words.find((word) => !word.endsWith('.test.ts')) ?? resolve(folder, 'junit.xml'));
/* The longest files first, so that two at a time end together. */
const longest = ['bad-input', 'hostile-files', 'providers', 'events', 'executions'];
const rank = (file: string) => {
  const place = longest.findIndex((name) => file.includes(`/${name}.`));
  return place < 0 ? longest.length : place;
};
const files = globSync(['stubs/*.test.ts', 'api/*.test.ts'], { cwd: folder })
  .map((file) => resolve(folder, file)).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

rmSync(report, { force: true });
const { status } = spawnSync(process.execPath, [
  '--test', '--test-concurrency=2', '--test-timeout=150000',
  '--test-reporter=spec', '--test-reporter-destination=stdout',
  '--test-reporter=junit', `--test-reporter-destination=${report}`,
  ...(chosen.length ? chosen : files),
], { cwd: folder, stdio: 'inherit' });
process.exit(status ?? 1);
