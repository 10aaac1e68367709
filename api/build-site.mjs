/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers what the program serves about its own API into a tree ready to embed.
 *
 *     node build-site.mjs OUT VERSION
 *
 * OUT gets openapi.json (openapi.yaml with VERSION as its version) and docs/ (our page and the
 * viewer). The page is served under `default-src 'self'`, so images that the viewer's style sheet
 * holds as data: addresses become files. */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const here = dirname(fileURLToPath(import.meta.url));
const viewer = join(here, 'node_modules', 'swagger-ui-dist');

const VIEWER_FILES = [
  ['swagger-ui-bundle.js', 'swagger-ui-bundle.js'],
  ['swagger-ui-bundle.js.LICENSE.txt', 'swagger-ui-bundle.js.LICENSE.txt'],
  ['LICENSE', 'swagger-ui.LICENSE.txt'],
  ['NOTICE', 'swagger-ui.NOTICE.txt'],
];
/* Names a file that is not embedded. */
const SOURCE_MAP = /\/\*# sourceMappingURL=.*?\*\//;
const IMAGE_EXTENSIONS = { 'image/svg+xml': 'svg', 'image/png': 'png', 'image/jpeg': 'jpg' };
/* url("data:TYPE[;base64],BYTES"); quotes inside are escaped, quotes outside may be missing. */
const DATA_URL = /url\((?:"(data:(?:[^"\\]|\\.)*)"|'(data:(?:[^'\\]|\\.)*)'|(data:[^)"']*))\)/g;

function decodeDataUrl(url) {
  const [, type, base64, body] = /^data:([\w/+.-]+)(?:;charset=[\w-]+)?(;base64)?,(.*)$/s.exec(url);
  if (!IMAGE_EXTENSIONS[type]) throw new Error(`the viewer's style sheet holds a ${type}`);
  const bytes = base64
    ? Buffer.from(body, 'base64')
    : Buffer.from(decodeURIComponent(body.replace(/\\(.)/g, '$1')));
  return { extension: IMAGE_EXTENSIONS[type], bytes };
}

/* The style sheet with each data: image moved to a file of `docs` named by its hash. */
function moveImages(css, docs) {
  return css.replace(DATA_URL, (_, doubleQuoted, singleQuoted, bare) => {
    const { extension, bytes } = decodeDataUrl(doubleQuoted ?? singleQuoted ?? bare);
    const name = `${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}.${extension}`;
    writeFileSync(join(docs, name), bytes);
    return `url("/docs/${name}")`;
  });
}

function buildSite(out, version) {
  const docs = join(out, 'docs');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(docs, { recursive: true });

  const definition = parse(readFileSync(join(here, 'openapi.yaml'), 'utf8'));
  definition.info.version = version;
  writeFileSync(join(out, 'openapi.json'), JSON.stringify(definition));

  for (const name of ['index.html', 'docs.js', 'docs.css', 'icon.svg'])
    copyFileSync(join(here, 'docs', name), join(docs, name));
  for (const [name, as] of VIEWER_FILES) copyFileSync(join(viewer, name), join(docs, as));
  const css = readFileSync(join(viewer, 'swagger-ui.css'), 'utf8');
  writeFileSync(join(docs, 'swagger-ui.css'), moveImages(css.replace(SOURCE_MAP, ''), docs));
}

const [out, version] = process.argv.slice(2);
if (!version) throw new Error('usage: node build-site.mjs OUT VERSION');
buildSite(out, version);
