// npm run bench: what large flame graphs cost, in the system's Chromium.

import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';
import { launch } from '../e2e/browser.mjs';

const server = await createServer({ root: fileURLToPath(new URL('..', import.meta.url)), server: { port: 0, host: '127.0.0.1' }, logLevel: 'error' });
await server.listen();
const browser = await launch();
if (browser) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`${server.resolvedUrls.local[0]}bench/index.html`);
  await page.waitForFunction(() => 'bench' in window);
  for (const nodes of [10_000, 100_000, 200_000]) {
    console.log(`\n${nodes.toLocaleString('en-US')} nodes        median    worst   (ms, 1440 x 900)`);
    const rows = await page.evaluate((count) => window.bench(count), nodes);
    for (const [name, { median, worst }] of Object.entries(rows)) console.log(`${name.padEnd(28)}${median.toFixed(2).padStart(8)}${worst.toFixed(2).padStart(9)}`);
  }
  console.log();
  for (const nodes of [10_000, 100_000, 200_000]) console.log(`${nodes.toLocaleString('en-US')} nodes, scrolled: ${(await page.evaluate((count) => window.framesOf(count), nodes)).toFixed(0)} frames a second`);
  await browser.close();
}
await server.close();
