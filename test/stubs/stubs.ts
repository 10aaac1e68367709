/* SPDX-License-Identifier: Apache-2.0 */
/* All stubs together, and the environment that points Flowgenix at them. */
import { BraveStub } from './brave.ts';
import { GeminiStub } from './gemini.ts';
import { OpenAiStub } from './openai.ts';
import { SearxngStub } from './searxng.ts';
import { SerpApiStub } from './serpapi.ts';

export class Stubs {
  readonly gemini = new GeminiStub();
  readonly openai = new OpenAiStub();
  readonly brave = new BraveStub();
  readonly serpapi = new SerpApiStub();
  readonly searxng = new SearxngStub();

  get all() {
    return [this.gemini, this.openai, this.brave, this.serpapi, this.searxng];
  }

  async start(): Promise<this> {
    await Promise.all(this.all.map((stub) => stub.start()));
    return this;
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((stub) => stub.stop()));
  }

  reset(): void {
    for (const stub of this.all) stub.reset();
  }

  /* Keys are of a form of their own, so that a log that shows one is found out. */
  environment(): Record<string, string> {
    return {
      GEMINI_BASE_URL: this.gemini.url,
      GEMINI_API_KEY: 'AQ.gemini-secret-4711',
      OPENAI_BASE_URL: `${this.openai.url}/v1`,
      OPENAI_API_KEY: 'sk-openai-secret-4711',
      BRAVE_BASE_URL: this.brave.url,
      BRAVE_API_KEY: 'brave-secret-4711',
      SERPAPI_BASE_URL: this.serpapi.url,
      SERPAPI_KEY: 'serpapi-secret-4711',
      SEARXNG_URL: this.searxng.url,
    };
  }
}
