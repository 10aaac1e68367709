/* SPDX-License-Identifier: Apache-2.0 */
/* The stubs as a program: `npx node stubs/main.ts` prints one JSON line with the ports and the
 * environment for Flowgenix, and serves until SIGTERM or SIGINT. */
import { llmBehaviours, searchBehaviours } from './behaviours.ts';
import { Stubs } from './stubs.ts';

if (process.argv.includes('--help')) {
  console.log('usage: node stubs/main.ts [--help]\n\nBehaviours of gemini and openai (model stub-NAME):');
  for (const [name, text] of Object.entries(llmBehaviours)) console.log(`  ${name.padEnd(20)} ${text}`);
  console.log('\nBehaviours of brave, serpapi and searxng (key stub-NAME, or stub:NAME in the query):');
  for (const [name, text] of Object.entries(searchBehaviours)) console.log(`  ${name.padEnd(20)} ${text}`);
  process.exit(0);
}

const stubs = await new Stubs().start();
const ports = Object.fromEntries(stubs.all.map((stub) => [stub.name, stub.port]));
console.log(JSON.stringify({ ports, env: stubs.environment() }));

async function stop(): Promise<void> {
  await stubs.stop();
  process.exit(0);
}
process.once('SIGTERM', () => void stop());
process.once('SIGINT', () => void stop());
