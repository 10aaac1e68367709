/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini stub: generateContent, streamGenerateContent, embeddings, countTokens and models. */
import { llmBehaviours, type LlmBehaviour } from './behaviours.ts';
import {
  batchEmbedRequest, countTokensRequest, embedRequest, generateRequest, violations,
} from './gemini-schema.ts';
import { LlmPlayer, type Answer, type Call, type Dialect, type Refusal } from './llm.ts';
import { Stub, type Order, type Recorded, type Reply } from './stub.ts';
import { embed, tokens } from './text.ts';

const BATCH_MAX = 100;
const PAYLOAD_MAX = 4_194_304;
const TYPE = 'type.googleapis.com/google.rpc.';
const safetyRatings = [{ category: 'HARM_CATEGORY_DANGEROUS_CONTENT', probability: 'HIGH', blocked: true }];

function fail(reply: Reply, code: number, status: string, message: string, details: object[] = []): void {
  const error = { code, message, status, ...(details.length ? { details } : {}) };
  reply.json(code, { error });
}

function invalid(reply: Reply, message: string, places: string[] = []): void {
  const fieldViolations = places.map((description) => ({ description }));
  fail(reply, 400, 'INVALID_ARGUMENT', message,
    places.length ? [{ '@type': `${TYPE}BadRequest`, fieldViolations }] : []);
}

function usage(call: Call, answer: Answer, shown: string): object {
  if (!answer.usage) return {};
  const promptTokenCount = tokens(call.prompt);
  const candidatesTokenCount = tokens(shown);
  const thoughtsTokenCount = tokens(answer.thinking);
  return {
    usageMetadata: {
      promptTokenCount,
      ...(candidatesTokenCount ? { candidatesTokenCount } : {}),
      ...(thoughtsTokenCount ? { thoughtsTokenCount } : {}),
      totalTokenCount: promptTokenCount + candidatesTokenCount + thoughtsTokenCount,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: promptTokenCount }],
    },
  };
}

const finishReasons = { stop: 'STOP', length: 'MAX_TOKENS', safety: 'SAFETY' };

/* One GenerateContentResponse with the parts given; `end` adds the finish reason. */
function response(call: Call, answer: Answer, parts: object[], shown: string, end: boolean): object {
  const candidate = {
    index: 0,
    ...(parts.length ? { content: { role: 'model', parts } } : {}),
    ...(end ? { finishReason: finishReasons[answer.finish] } : {}),
    ...(answer.finish === 'safety' && end ? { safetyRatings } : {}),
  };
  return {
    candidates: [candidate],
    ...usage(call, answer, shown),
    modelVersion: call.model,
    responseId: 'stub-response',
  };
}

const dialect: Dialect = {
  whole(call, answer) {
    const parts = [
      ...(answer.thinking ? [{ text: answer.thinking, thought: true }] : []),
      ...(answer.text ? [{ text: answer.text, thoughtSignature: 'c3R1Yg==' }] : []),
    ];
    return response(call, answer, answer.finish === 'stop' ? parts : parts.slice(0, answer.text ? 2 : 0),
      answer.text, true);
  },
  events(call, answer, texts) {
    const events: object[] = [];
    let shown = '';
    if (answer.thinking)
      events.push(response(call, answer, [{ text: answer.thinking, thought: true }], '', false));
    for (const text of texts.filter((piece) => piece !== '')) {
      shown += text;
      events.push(response(call, answer, [{ text }], shown, false));
    }
    const last = answer.finish === 'stop' ? [{ text: '', thoughtSignature: 'c3R1Yg==' }] : [];
    return [...events, response(call, answer, last, shown, true)];
  },
  blocked(call) {
    return {
      promptFeedback: { blockReason: 'SAFETY', safetyRatings },
      usageMetadata: { promptTokenCount: tokens(call.prompt), totalTokenCount: tokens(call.prompt) },
      modelVersion: call.model,
    };
  },
  refuse,
  errorInStream() {
    const error = { code: 503, message: 'The model is overloaded. Please try again later.', status: 'UNAVAILABLE' };
    return `${JSON.stringify({ error }, null, 2)}\n`;
  },
};

function refuseQuota(reply: Reply, quotaId: string, retryDelay: string | null): void {
  fail(reply, 429, 'RESOURCE_EXHAUSTED',
    'You exceeded your current quota, please check your plan and billing details.', [
      {
        '@type': `${TYPE}QuotaFailure`,
        violations: [{
          quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests', quotaId,
        }],
      },
      { '@type': `${TYPE}Help`, links: [{ description: 'Learn more about Gemini API quotas' }] },
      ...(retryDelay ? [{ '@type': `${TYPE}RetryInfo`, retryDelay }] : []),
    ]);
}

function refuse(call: Call, reply: Reply, refusal: Refusal): void {
  switch (refusal) {
    case 'rate-limited':
    case 'rate-limited-date':
      return refuseQuota(reply, 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier', '0.2s');
    case 'rate-limited-bare':
      return fail(reply, 429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).');
    case 'quota':
      return refuseQuota(reply, 'GenerateRequestsPerDayPerProjectPerModel-FreeTier', '17s');
    case 'invalid-key':
      return fail(reply, 400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [
        { '@type': `${TYPE}ErrorInfo`, reason: 'API_KEY_INVALID', domain: 'googleapis.com' },
      ]);
    case 'forbidden':
      return fail(reply, 403, 'PERMISSION_DENIED', 'Your project has been denied access. Please contact support.');
    case 'not-found':
      return fail(reply, 404, 'NOT_FOUND', `models/${call.model} is not found for API version v1beta`);
    case 'too-long':
    case 'strict-tokens':
      return invalid(reply, 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).');
    case 'internal':
      return fail(reply, 500, 'INTERNAL', 'An internal error has occurred.');
    case 'unavailable':
      return fail(reply, 503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.');
  }
}

/* The faults of a well-shaped generate request, or null. */
function fault(body: any): string | null {
  if (!Array.isArray(body.contents) || body.contents.length === 0)
    return 'GenerateContentRequest.contents: contents is not specified';
  for (const content of [...body.contents, ...(body.systemInstruction ? [body.systemInstruction] : [])])
    if (!Array.isArray(content.parts) || content.parts.length === 0)
      return 'GenerateContentRequest.contents.parts: contents.parts must not be empty.';
  if (body.contents.some((content: any) => !['user', 'model', undefined].includes(content.role)))
    return 'Please use a valid role: user, model.';
  const temperature = body.generationConfig?.temperature;
  if (temperature !== undefined && !(temperature >= 0 && temperature <= 2))
    return 'Unable to submit request because temperature is out of range [0, 2].';
  const config = body.generationConfig ?? {};
  if ((config.responseSchema || config.responseJsonSchema) && config.responseMimeType !== 'application/json')
    return 'responseSchema needs responseMimeType application/json';
  return null;
}

function textOf(content: any): string {
  return (content?.parts ?? []).map((part: any) => part.text ?? '').join('');
}

export class GeminiStub extends Stub<LlmBehaviour> {
  override readonly name = 'gemini';
  #player = new LlmPlayer(dialect);

  protected override isBehaviour(name: string): name is LlmBehaviour {
    return name in llmBehaviours;
  }

  protected override async handle(record: Recorded, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    if (!this.#admits(record, reply)) return;
    const models = /^\/v1beta\/models(?:\/([^/:]+))?$/.exec(record.path);
    if (record.method === 'GET' && models) return listModels(reply, models[1]);
    const call = /^\/v1beta\/models\/([^/:]+):(\w+)$/.exec(record.path);
    if (record.method !== 'POST' || !call) return fail(reply, 404, 'NOT_FOUND', 'Method not found.');
    if (record.json === null) return invalid(reply, 'Invalid JSON payload received. Unexpected token.');
    return this.#call(record, reply, decodeURIComponent(call[1]!), call[2]!, order);
  }

  /* One credential, and one that is not known to be bad. */
  #admits(record: Recorded, reply: Reply): boolean {
    const key = record.headers['x-goog-api-key'] ?? record.query['key'];
    const call: Call = { record, model: '', key: key ?? '', prompt: '', stream: false };
    if (key === undefined)
      fail(reply, 403, 'PERMISSION_DENIED', "Method doesn't allow unregistered callers (callers without established identity).");
    else if (record.headers['authorization'])
      fail(reply, 400, 'INVALID_ARGUMENT', 'Multiple authentication credentials received. Please pass only one.');
    else if (key.startsWith('invalid')) refuse(call, reply, 'invalid-key');
    else return true;
    return false;
  }

  async #call(record: Recorded, reply: Reply, model: string, method: string, order: Order<LlmBehaviour> | null): Promise<void> {
    const stream = method === 'streamGenerateContent';
    const body = record.json;
    const shape = { generateContent: generateRequest, streamGenerateContent: generateRequest,
      embedContent: embedRequest, batchEmbedContents: batchEmbedRequest, countTokens: countTokensRequest }[method];
    if (!shape) return fail(reply, 404, 'NOT_FOUND', 'Method not found.');
    const places = violations(body, shape);
    if (places.length) return invalid(reply, places.join('\n'), places);
    const contents = body.contents ?? [];
    const key = record.headers['x-goog-api-key'] ?? record.query['key'] ?? '';
    const call: Call = { record, model, key, prompt: textOf(contents.at(-1)), stream };
    if (method === 'countTokens') return reply.json(200, { totalTokens: tokens(contents.map(textOf).join('')) });
    if (method.endsWith('Contents') || method === 'embedContent') return this.#embed(call, reply, order);
    const wrong = fault(body);
    if (wrong) return invalid(reply, wrong);
    if (stream && record.query['alt'] !== 'sse') return sendArray(call, reply, order?.text);
    return this.#player.play(call, reply, order);
  }

  async #embed(call: Call, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    const { body, json, path } = call.record;
    const many = path.endsWith(':batchEmbedContents');
    const requests: any[] = many ? json.requests ?? [] : [json];
    if (!(await this.#player.misbehave(call, reply, order))) return;
    if (Buffer.byteLength(body) > PAYLOAD_MAX)
      return invalid(reply, `Request payload size exceeds the limit: ${PAYLOAD_MAX} bytes.`);
    if (requests.length > BATCH_MAX)
      return invalid(reply, '* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch');
    const wrong = requests.map((request) => embedFault(request, call.model, many)).find((text) => text);
    if (wrong || requests.length === 0) return invalid(reply, wrong ?? 'requests must not be empty');
    const embeddings = requests.map((request) => ({
      values: embed(textOf(request.content), request.outputDimensionality ?? 3072),
    }));
    reply.json(200, many ? { embeddings } : { embedding: embeddings[0] });
  }
}

function embedFault(request: any, model: string, many: boolean): string | null {
  if (many && request.model !== `models/${model}`)
    return `BatchEmbedContentsRequest.requests.model: must be models/${model}`;
  if (textOf(request.content) === '') return 'content is empty';
  if (request.taskType && model.startsWith('gemini-embedding-2')) return 'taskType is not supported by this model';
  if (request.title && request.taskType !== 'RETRIEVAL_DOCUMENT') return 'title needs taskType RETRIEVAL_DOCUMENT';
  const dimensions = request.outputDimensionality ?? 3072;
  if (!(dimensions >= 1 && dimensions <= 3072)) return 'outputDimensionality must be between 1 and 3072';
  return null;
}

/* Without alt=sse the stream is one JSON array. */
async function sendArray(call: Call, reply: Reply, text = 'Not a stream of events'): Promise<void> {
  const events = dialect.events(call, { text, finish: 'stop', thinking: '', usage: true }, [text]);
  reply.json(200, events);
}

function listModels(reply: Reply, id: string | undefined): void {
  const model = (name: string) => ({
    name: `models/${name}`, version: '001', displayName: name, inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536, supportedGenerationMethods: ['generateContent', 'countTokens'],
    temperature: 1, topP: 0.95, topK: 64, maxTemperature: 2, thinking: true,
  });
  if (id === undefined)
    return reply.json(200, { models: ['gemini-flash-latest', 'gemini-embedding-001'].map(model) });
  if (id.startsWith('stub-not-found'))
    return fail(reply, 404, 'NOT_FOUND', `Model is not found: models/${id} for api version v1beta`);
  return reply.json(200, model(id));
}
