/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI-compatible stub: chat completions, embeddings and models below /v1. */
import { llmBehaviours, type LlmBehaviour } from './behaviours.ts';
import { LlmPlayer, type Answer, type Call, type Dialect, type Refusal } from './llm.ts';
import { Stub, type Order, type Recorded, type Reply } from './stub.ts';
import { embed, tokens } from './text.ts';

const INPUTS_MAX = 2048;
const chatFields = new Set([
  'model', 'messages', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'temperature',
  'top_p', 'n', 'stop', 'presence_penalty', 'frequency_penalty', 'logit_bias', 'logprobs', 'top_logprobs',
  'user', 'seed', 'response_format', 'tools', 'tool_choice', 'parallel_tool_calls', 'reasoning_effort',
  'metadata', 'store', 'service_tier', 'modalities', 'prediction', 'verbosity', 'safety_identifier',
]);
const embeddingFields = new Set(['model', 'input', 'dimensions', 'encoding_format', 'user']);
const roles = new Set(['developer', 'system', 'user', 'assistant', 'tool']);

type Code = string | null;

function fail(reply: Reply, status: number, type: string, code: Code, message: string,
  extra: { param?: string; headers?: Record<string, string> } = {}): void {
  const error = { message, type, param: extra.param ?? null, code };
  reply.json(status, { error }, { 'x-request-id': 'req_stub', ...extra.headers });
}

function usage(call: Call, answer: Answer): object {
  const prompt_tokens = call.record.json.messages.reduce(
    (sum: number, message: any) => sum + tokens(contentText(message.content)), 0);
  const reasoning_tokens = tokens(answer.thinking);
  const completion_tokens = tokens(answer.text) + reasoning_tokens;
  return {
    prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens },
  };
}

const finishReasons = { stop: 'stop', length: 'length', safety: 'content_filter' };

function contentText(content: any): string {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? content.map((part: any) => part.text ?? '').join('') : '';
}

const dialect: Dialect = {
  whole(call, answer) {
    const message = {
      role: 'assistant', content: answer.text, refusal: null,
      ...(answer.thinking ? { reasoning_content: answer.thinking } : {}),
    };
    return {
      id: 'chatcmpl-stub', object: 'chat.completion', created: 1_795_000_000, model: call.model,
      choices: [{ index: 0, message, finish_reason: finishReasons[answer.finish] }],
      ...(answer.usage ? { usage: usage(call, answer) } : {}),
    };
  },
  events(call, answer, texts) {
    const wantsUsage = answer.usage && call.record.json.stream_options?.include_usage === true;
    const chunk = (choices: object[], more: object = wantsUsage ? { usage: null } : {}) => ({
      id: 'chatcmpl-stub', object: 'chat.completion.chunk', created: 1_795_000_000, model: call.model,
      choices, ...more, obfuscation: 'x7Yq',
    });
    const delta = (content: object, finish_reason: string | null = null) =>
      chunk([{ index: 0, delta: content, finish_reason }]);
    return [
      delta({ role: 'assistant', content: '' }),
      ...(answer.thinking ? [delta({ reasoning_content: answer.thinking }), delta({ reasoning: answer.thinking })] : []),
      ...texts.filter((text) => text !== '').map((content) => delta({ content })),
      delta({}, finishReasons[answer.finish]),
      ...(wantsUsage ? [chunk([], { usage: usage(call, answer) })] : []),
      'data: [DONE]\n\n',
    ];
  },
  blocked(call) {
    return dialect.whole(call, { text: '', finish: 'safety', thinking: '', usage: true });
  },
  refuse,
  errorInStream() {
    return `data: ${JSON.stringify({ error: { message: 'The server had an error', type: 'server_error', param: null, code: null } })}\n\n`;
  },
};

function refuse(call: Call, reply: Reply, refusal: Refusal): void {
  const limited = (headers: Record<string, string>) =>
    fail(reply, 429, 'requests', 'rate_limit_exceeded', 'Rate limit reached for requests', { headers });
  switch (refusal) {
    case 'rate-limited':
      return limited({ 'retry-after-ms': '200', 'retry-after': '1', 'x-ratelimit-reset-requests': '200ms' });
    case 'rate-limited-date':
      return limited({ 'retry-after': new Date(Date.now() + 1000).toUTCString() });
    case 'rate-limited-bare':
      return limited({});
    case 'quota':
      return fail(reply, 429, 'insufficient_quota', 'insufficient_quota',
        'You exceeded your current quota, please check your plan and billing details.',
        { headers: { 'retry-after': '1' } });
    case 'invalid-key':
      return fail(reply, 401, 'invalid_request_error', 'invalid_api_key',
        `Incorrect API key provided: ${call.key.slice(0, 3)}***. You can find your API key in your dashboard.`);
    case 'forbidden':
      return fail(reply, 403, 'invalid_request_error', 'unsupported_country_region_territory',
        'Country, region, or territory not supported');
    case 'not-found':
      return fail(reply, 404, 'invalid_request_error', 'model_not_found',
        `The model \`${call.model}\` does not exist or you do not have access to it.`);
    case 'too-long':
      return fail(reply, 400, 'invalid_request_error', 'context_length_exceeded',
        "This model's maximum context length is 8192 tokens.", { param: 'messages' });
    case 'strict-tokens':
      return fail(reply, 400, 'invalid_request_error', 'unsupported_parameter',
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        { param: 'max_tokens' });
    case 'internal':
      return fail(reply, 500, 'server_error', null, 'The server had an error while processing your request.');
    case 'unavailable':
      /* As llama.cpp says it while it loads: the code is a number. */
      return reply.json(503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } });
  }
}

function invalid(reply: Reply, message: string, param?: string): void {
  fail(reply, 400, 'invalid_request_error', null, message, param === undefined ? {} : { param });
}

function unknownField(body: object, fields: Set<string>): string | undefined {
  return Object.keys(body).find((name) => !fields.has(name) || (body as any)[name] === null);
}

/* The fault of a chat request as [message, param], or null. */
function chatFault(body: any): [string, string] | null {
  const unknown = unknownField(body, chatFields);
  if (unknown) return [`Unrecognized request argument supplied: ${unknown}`, unknown];
  if (!Array.isArray(body.messages) || body.messages.length === 0)
    return ["Invalid 'messages': empty array.", 'messages'];
  for (const [i, message] of body.messages.entries()) {
    if (!roles.has(message.role)) return [`Invalid value: '${message.role}'.`, `messages[${i}].role`];
    if (typeof message.content !== 'string' && !Array.isArray(message.content))
      return [`Invalid type for 'messages[${i}].content'.`, `messages[${i}].content`];
  }
  if (body.stream_options && body.stream !== true)
    return ["The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options'];
  if (body.temperature !== undefined && !(body.temperature >= 0 && body.temperature <= 2))
    return ["Invalid 'temperature'.", 'temperature'];
  return null;
}

export class OpenAiStub extends Stub<LlmBehaviour> {
  override readonly name = 'openai';
  #player = new LlmPlayer(dialect);

  protected override isBehaviour(name: string): name is LlmBehaviour {
    return name in llmBehaviours;
  }

  protected override async handle(record: Recorded, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    const key = /^Bearer (.+)$/.exec(record.headers['authorization'] ?? '')?.[1];
    if (key === undefined)
      return fail(reply, 401, 'invalid_request_error', null, "You didn't provide an API key.");
    const call: Call = {
      record, model: String(record.json?.model ?? ''), key,
      prompt: contentText(record.json?.messages?.at?.(-1)?.content), stream: record.json?.stream === true,
    };
    if (key.startsWith('invalid')) return refuse(call, reply, 'invalid-key');
    if (record.method === 'GET' && record.path === '/v1/models')
      return reply.json(200, { object: 'list', data: [{ id: 'stub', object: 'model', owned_by: 'stub' }] });
    if (record.method !== 'POST') return fail(reply, 404, 'invalid_request_error', null, 'Not found');
    if (record.json === null) return invalid(reply, 'We could not parse the JSON body of your request.');
    if (call.model === '') return invalid(reply, 'you must provide a model parameter', 'model');
    if (record.path === '/v1/chat/completions') return this.#chat(call, reply, order);
    if (record.path === '/v1/embeddings') return this.#embed(call, reply, order);
    return fail(reply, 404, 'invalid_request_error', 'unknown_url', `Invalid URL (POST ${record.path})`);
  }

  async #chat(call: Call, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    const wrong = chatFault(call.record.json);
    if (wrong) return invalid(reply, ...wrong);
    const strict = (order?.behaviour ?? call.model).includes('strict-tokens');
    if (strict && call.record.json.max_tokens !== undefined) return refuse(call, reply, 'strict-tokens');
    return this.#player.play(call, reply, order);
  }

  async #embed(call: Call, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    const body = call.record.json;
    const unknown = unknownField(body, embeddingFields);
    if (unknown) return invalid(reply, `Unrecognized request argument supplied: ${unknown}`, unknown);
    const inputs: unknown[] = Array.isArray(body.input) ? body.input : [body.input];
    if (inputs.length === 0 || inputs.length > INPUTS_MAX)
      return invalid(reply, `'$.input' must have 1 to ${INPUTS_MAX} items.`, 'input');
    if (inputs.some((input) => typeof input !== 'string' || input === ''))
      return invalid(reply, "'$.input' is invalid.", 'input');
    if (!(await this.#player.misbehave(call, reply, order))) return;
    sendEmbeddings(call, reply, inputs as string[]);
  }
}

/* In reverse order: the index counts, not the place. */
function sendEmbeddings(call: Call, reply: Reply, inputs: string[]): void {
  const { dimensions, encoding_format } = call.record.json;
  const usual = call.model.includes('large') ? 3072 : call.model.startsWith('text-embedding') ? 1536 : 256;
  const data = inputs.map((input, index) => {
    const vector = embed(input, dimensions ?? usual);
    const embedding = encoding_format === 'base64'
      ? Buffer.from(Float32Array.from(vector).buffer).toString('base64') : vector;
    return { object: 'embedding', index, embedding };
  });
  const prompt_tokens = inputs.reduce((sum, input) => sum + tokens(input), 0);
  reply.json(200, {
    object: 'list', data: data.reverse(), model: call.model, usage: { prompt_tokens, total_tokens: prompt_tokens },
  });
}
