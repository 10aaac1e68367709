/* SPDX-License-Identifier: Apache-2.0 */
/* Turns directory trees into a table of assets inside the program.
 *
 *     node embed.mjs OUT TREE...
 *
 * Every file of every TREE becomes one row whose path is the file's path below its tree
 * ("TREE/docs/docs.js" is served as "/docs/docs.js"). What gets smaller by it is stored gzipped.
 * OUT gets assets_blob.bin (all bytes), assets_blob.S (puts them into the program) and
 * assets_table.c (the rows, sorted by path in byte order for asset_find). */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const CONTENT_TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml',
};

function listFiles(folder, prefix = '') {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${prefix}/${entry.name}`;
    if (entry.isDirectory()) return listFiles(join(folder, entry.name), path);
    if (!entry.isFile()) throw new Error(`${join(folder, entry.name)} is no plain file`);
    return [{ path, file: join(folder, entry.name) }];
  });
}

/* As in assets.c. */
const PATH_MAX = 500;

function readAsset({ path, file }) {
  if (Buffer.byteLength(path) > PATH_MAX) throw new Error(`${file}: the path is too long`);
  const contentType = CONTENT_TYPES[extname(path).toLowerCase()];
  if (!contentType) throw new Error(`${file}: no content type is known for "${extname(path)}"`);
  const plain = readFileSync(file);
  const packed = gzipSync(plain, { level: 9 });
  const gzip = packed.length < plain.length;
  return {
    path,
    contentType,
    etag: `"${createHash('sha256').update(plain).digest('hex').slice(0, 32)}"`,
    data: gzip ? packed : plain,
    gzip,
  };
}

export function collectAssets(trees) {
  const assets = trees.flatMap((tree) => listFiles(tree)).map(readAsset);
  assets.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  assets.forEach((asset, i) => {
    if (i > 0 && assets[i - 1].path === asset.path) throw new Error(`${asset.path} is there twice`);
  });
  if (assets.length === 0) throw new Error('there is no file to embed');
  return assets;
}

/* Sets each asset's offset. */
export function buildBlob(assets) {
  let length = 0;
  for (const asset of assets) {
    asset.offset = length;
    length += asset.data.length;
  }
  return Buffer.concat(assets.map((asset) => asset.data));
}

/* A C string literal; bytes outside printable ASCII in octal, which ends after three digits. */
export function cString(text) {
  const bytes = [...Buffer.from(text)].map((byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c || byte === 0x3f
      ? `\\${byte.toString(8).padStart(3, '0')}`
      : String.fromCharCode(byte),
  );
  return `"${bytes.join('')}"`;
}

const ASSEMBLER = `        .section .rodata
        .globl assets_blob
        .type assets_blob, %object
assets_blob:
        .incbin "assets_blob.bin"
        .size assets_blob, . - assets_blob
        .section .note.GNU-stack, "", %progbits
`;

function tableSource(assets) {
  const rows = assets.map(
    (asset) => `        {
                .path = ${cString(asset.path)},
                .content_type = ${cString(asset.contentType)},
                .etag = ${cString(asset.etag)},
                .data = assets_blob + ${asset.offset},
                .length = ${asset.data.length},
                .gzip = ${asset.gzip},
        },`,
  );
  return `/* Made by embed.mjs. */
#include "api/assets/assets_internal.h"

const struct asset assets_table[] = {
${rows.join('\n')}
};
const size_t assets_count = ${assets.length};
`;
}

export function writeAssets(out, trees) {
  const assets = collectAssets(trees);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'assets_blob.bin'), buildBlob(assets));
  writeFileSync(join(out, 'assets_blob.S'), ASSEMBLER);
  writeFileSync(join(out, 'assets_table.c'), tableSource(assets));
}

if (import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  const [out, ...trees] = process.argv.slice(2);
  if (trees.length === 0) throw new Error('usage: node embed.mjs OUT TREE...');
  writeAssets(out, trees);
}
