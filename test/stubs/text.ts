/* SPDX-License-Identifier: Apache-2.0 */
/* Text: what the LLM stubs make of words: answers, token counts and embeddings.
 *
 * An embedding is a hashed bag of words, so that texts that share words are near each other. Words
 * of one meaning fall on one hash: a semantic search finds what a keyword search cannot. */

export const defaultAnswer = 'The stub answers: café, naïve, 東京 and 🚀 are “words” as good as any. [1]';

const meanings: Record<string, string> = {
  automobile: 'car', vehicle: 'car', cars: 'car',
  physician: 'doctor', medic: 'doctor', doctors: 'doctor',
  feline: 'cat', kitten: 'cat', cats: 'cat',
  sofa: 'couch', settee: 'couch',
};

export function words(text: string): string[] {
  const found = text.toLowerCase().normalize('NFC').match(/[\p{L}\p{N}]+/gu) ?? [];
  return found.map((word) => meanings[word] ?? word);
}

function hash(word: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(word)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  value ^= value >>> 16;
  return Math.imul(value, 0x7feb352d) >>> 0;
}

/* A vector of unit length (or all zero but one for a text without words). */
export function embed(text: string, dimensions: number): number[] {
  const vector = new Array<number>(dimensions).fill(0);
  for (const word of words(text)) {
    const value = hash(word);
    vector[value % dimensions]! += value & 0x40000000 ? 1 : -1;
  }
  const length = Math.hypot(...vector);
  if (length === 0) vector[0] = 1;
  return length === 0 ? vector : vector.map((x) => x / length);
}

/* About four characters a token, as models count. */
export function tokens(text: string): number {
  return Math.ceil([...text].length / 4);
}

/* About `count` pieces of whole characters. */
export function pieces(text: string, count = 6): string[] {
  const characters = [...text];
  const size = Math.max(1, Math.ceil(characters.length / count));
  const result: string[] = [];
  for (let at = 0; at < characters.length; at += size)
    result.push(characters.slice(at, at + size).join(''));
  return result.length ? result : [''];
}
