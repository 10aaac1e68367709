/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini's request shape, as far as the real server checks it: an unknown field anywhere is an
 * error with the place it stands at. */

/* A message's fields: another message, a list of one, or `null` for a value that is not looked into. */
type Shape = { [field: string]: Shape | [Shape] | null };

const part: Shape = {
  text: null, inlineData: null, fileData: null, functionCall: null, functionResponse: null,
  executableCode: null, codeExecutionResult: null, thought: null, thoughtSignature: null,
  partMetadata: null, videoMetadata: null, mediaResolution: null,
};
const content: Shape = { parts: [part], role: null };
const thinkingConfig: Shape = { includeThoughts: null, thinkingBudget: null, thinkingLevel: null };
const generationConfig: Shape = {
  candidateCount: null, stopSequences: null, maxOutputTokens: null, temperature: null, topP: null,
  topK: null, seed: null, responseMimeType: null, responseSchema: null, responseJsonSchema: null,
  presencePenalty: null, frequencyPenalty: null, responseLogprobs: null, logprobs: null,
  enableEnhancedCivicAnswers: null, responseModalities: null, speechConfig: null, thinkingConfig,
  imageConfig: null, mediaResolution: null,
};

export const generateRequest: Shape = {
  model: null, systemInstruction: content, contents: [content], tools: null, toolConfig: null,
  safetySettings: [{ category: null, threshold: null }], generationConfig, cachedContent: null,
  store: null, serviceTier: null,
};
export const embedRequest: Shape = {
  model: null, content, taskType: null, title: null, outputDimensionality: null,
};
export const batchEmbedRequest: Shape = { requests: [embedRequest] };
export const countTokensRequest: Shape = { contents: [content], generateContentRequest: generateRequest };

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/* The places of all unknown or ill-typed fields, as the real server words them; [] when all is well. */
export function violations(value: unknown, shape: Shape, at = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [`Invalid value at '${at || 'request'}'`];
  const found: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    const field = shape[camel(name)];
    const path = at ? `${at}.${snake(name)}` : snake(name);
    if (field === undefined)
      found.push(`Invalid JSON payload received. Unknown name "${name}"${at ? ` at '${at}'` : ''}: Cannot find field.`);
    else if (Array.isArray(field)) {
      if (!Array.isArray(member)) found.push(`Invalid value at '${path}'`);
      else member.forEach((item, i) => found.push(...violations(item, field[0], `${path}[${i}]`)));
    } else if (field !== null) found.push(...violations(member, field, path));
  }
  return found;
}
