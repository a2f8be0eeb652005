// The pictures of docs/images, of data that we made up.
//
// usage: node e2e/screenshots.mjs http://127.0.0.1:4040 [folder]     (seeds it first with --seed; --dist: the page of web/dist)

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { front } from './dist.mjs';
import { seed } from './seed.mjs';

const args = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const server = args[0] ?? 'http://127.0.0.1:4040';
const url = process.argv.includes('--dist') ? await front(server) : server;
const folder = args[1] ?? fileURLToPath(new URL('../../docs/images', import.meta.url));
const base = 'service=shop%2Fcheckout&type=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds';
const versions = 'left.filter=version%3D%222.3.1%22&right.filter=version%3D%222.4.0%22';

export const SHOTS = [
  { name: 'explore-light', scheme: 'light', query: base },
  { name: 'explore-dark', scheme: 'dark', query: `${base}&group=version` },
  { name: 'search-dark', scheme: 'dark', query: `${base}&search=json&pane=flame` },
  { name: 'sandwich-light', scheme: 'light', query: `${base}&pane=sandwich&func=runtime.mallocgc` },
  { name: 'diff-light', scheme: 'light', query: `${base}&view=compare&${versions}` },
  { name: 'changes-light', scheme: 'light', query: `${base}&view=compare&${versions}&pane=changes&from=now-30m&until=now-25m&func=regexp.(*machine).backtrack` },
  { name: 'heatmap-light', scheme: 'light', query: `${base}&view=heatmap` },
  { name: 'spans-dark', scheme: 'dark', query: `${base}&view=spans`, height: 700, before: async (page) => { for (const i of [0, 2, 4]) await page.locator('.exemplars tbody tr').nth(i).click(); } },
  { name: 'functions-light', scheme: 'light', query: 'view=functions&find=regexp&func=regexp.(*machine).backtrack' },
  { name: 'over-time-light', scheme: 'light', query: `${base}&pane=trend` },
  { name: 'phone-light', scheme: 'light', query: base, width: 360, height: 780 },
];

if (process.argv.includes('--seed')) await seed(server);
const browser = await launch();
if (browser) {
  mkdirSync(folder, { recursive: true });
  const only = process.env.ONLY;
  for (const { name, scheme, query, width = 1280, height = 800, before } of SHOTS) {
    if (only && !name.includes(only)) continue;
    const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: width < 500 ? 2 : 1 });
    page.on('console', (message) => message.type() === 'error' && console.log(name, message.text()));
    page.on('pageerror', (error) => console.log(name, error.message));
    await page.goto(`${url}/?${query}`);
    await page.waitForLoadState('networkidle');
    await page.locator('main[aria-busy=false]').filter({ hasNot: page.locator('.skeleton') }).waitFor();
    await before?.(page);
    await page.locator('main[aria-busy=false]').waitFor();
    // Two frames: what came last is drawn.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.screenshot({ path: `${folder}/${name}.png` });
    await page.close();
  }
  await browser.close();
}
