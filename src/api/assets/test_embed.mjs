/* SPDX-License-Identifier: Apache-2.0 */
/* The generator on small trees: order, packing, what it refuses. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { buildBlob, collectAssets, cString, writeAssets } from './embed.mjs';

let folder;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'embed-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function tree(name, files) {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name, path)), { recursive: true });
    writeFileSync(join(folder, name, path), content);
  }
  return join(folder, name);
}

test('rows of all trees are sorted by path in byte order', () => {
  const a = tree('a', { 'z.txt': 'z', 'b/a.txt': 'a', 'b-c.txt': 'c', 'ä.txt': 'e', 'B.txt': 'b' });
  const b = tree('b', { 'b/b.txt': 'd' });
  const paths = collectAssets([a, b]).map((asset) => asset.path);
  assert.deepEqual(paths, ['/B.txt', '/b-c.txt', '/b/a.txt', '/b/b.txt', '/z.txt', '/ä.txt']);
});

test('every asset can be cut out of the blob again', () => {
  const long = 'flowgenix '.repeat(1000);
  const random = Buffer.from('89504e470d0a1a0a0102030405060708', 'hex');
  const files = { 'empty.txt': '', 'long.js': long, 'pixel.png': random };
  const assets = collectAssets([tree('a', files)]);
  const blob = buildBlob(assets);
  const stored = (path) => {
    const { offset, data, gzip } = assets.find((asset) => asset.path === path);
    const bytes = blob.subarray(offset, offset + data.length);
    return { gzip, text: (gzip ? gunzipSync(bytes) : bytes).toString('latin1') };
  };
  assert.deepEqual(stored('/empty.txt'), { gzip: false, text: '' });
  assert.deepEqual(stored('/long.js'), { gzip: true, text: long });
  assert.deepEqual(stored('/pixel.png'), { gzip: false, text: random.toString('latin1') });
});

test('the tag changes with the content alone', () => {
  const tag = (name, content) => collectAssets([tree(name, { 'x.txt': content })])[0].etag;
  assert.equal(tag('a', 'one'), tag('b', 'one'));
  assert.notEqual(tag('a', 'one'), tag('c', 'two'));
  assert.match(tag('a', 'one'), /^"[0-9a-f]{32}"$/);
});

test('the same path twice, unknown types, links, long paths and nothing at all are refused', () => {
  const a = tree('a', { 'x.txt': '1' });
  const b = tree('b', { 'x.txt': '2' });
  assert.throws(() => collectAssets([a, b]), /\/x\.txt is there twice/);
  assert.throws(() => collectAssets([tree('c', { 'x.exe': '' })]), /no content type/);
  const deep = `${'d'.repeat(250)}/${'d'.repeat(250)}/x.txt`;
  assert.throws(() => collectAssets([tree('e', { [deep]: '' })]), /too long/);
  mkdirSync(join(folder, 'd'));
  assert.throws(() => collectAssets([join(folder, 'd')]), /no file/);
  symlinkSync('/etc/hostname', join(folder, 'd', 'x.txt'));
  assert.throws(() => collectAssets([join(folder, 'd')]), /no plain file/);
});

test('names with quotes, trigraphs and other bytes stay C strings', () => {
  assert.equal(cString('a"b\\c'), '"a\\042b\\134c"');
  assert.equal(cString('??/1'), '"\\077\\077/1"');
  assert.equal(cString('ä1'), '"\\303\\2441"');
});

test('the three files are written', () => {
  const out = join(folder, 'out');
  writeAssets(out, [tree('a', { 'x.txt': 'hello' })]);
  assert.equal(readFileSync(join(out, 'assets_blob.bin'), 'latin1'), 'hello');
  assert.match(readFileSync(join(out, 'assets_table.c'), 'utf8'), /\.path = "\/x\.txt"/);
  assert.match(readFileSync(join(out, 'assets_blob.S'), 'utf8'), /\.incbin "assets_blob\.bin"/);
});
