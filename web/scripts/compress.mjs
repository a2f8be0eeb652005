// Gzips the built files once, so that the server sends bytes as they are.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** The first view's scripts may weigh this much, zipped. */
const BUDGET = 150 * 1024;

function files(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

let scripts = 0;
for (const path of files('dist')) {
  if (path.endsWith('.gz')) continue;
  const zipped = gzipSync(readFileSync(path), { level: 9 });
  writeFileSync(`${path}.gz`, zipped);
  if (path.endsWith('.js')) scripts += zipped.length;
}
console.log(`scripts: ${scripts} bytes of ${BUDGET}`);
if (scripts > BUDGET) {
  console.error('the scripts are too large for the first view');
  process.exit(1);
}
