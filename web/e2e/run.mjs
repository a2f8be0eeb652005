// The page from end to end in the system's Chromium, against a running server with its own made-up profiles.
//
// usage: node e2e/run.mjs http://127.0.0.1:4040 [--seed]     (PAGE=url where the page is not served by the server itself)

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { launch } from './browser.mjs';
import { seed } from './seed.mjs';

const server = process.argv[2] ?? 'http://127.0.0.1:4040';
const base = process.env.PAGE ?? server;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const CPU = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds';
const SHOP = `service=${encodeURIComponent('shop/checkout')}&type=${encodeURIComponent(CPU)}`;
const SERVICES = 10_000;
const SCRIPT_BYTES_MAX = 150 * 1024;
/** For each step; a busy machine is slow. */
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 45_000);
/** For all of it: whoever started this waits no longer. */
const ALL_MS = 15 * 60_000;
setTimeout(() => {
  console.log('FAIL  it takes too long');
  process.exit(1);
}, ALL_MS).unref();

if (process.argv.includes('--seed')) await seed(server, { services: SERVICES });
const browser = await launch();
if (!browser) process.exit(0);

/** Everything that went wrong on any page: errors, breaches of the policy, requests to other places. */
const wrong = [];

async function open(query = SHOP, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && !/status of (4|5)\d\d/.test(message.text()) && wrong.push(`console: ${message.text()}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(base) && !/^(data|blob):/.test(request.url())) wrong.push(`request to ${request.url()}`);
  });
  await page.goto(`${base}/${query ? `?${query}` : ''}`);
  return page;
}

const state = (page) => new URL(page.url()).searchParams;
const graph = (page) => page.locator('.flame-scroll canvas').first();
const drawn = async (page) => {
  await graph(page).waitFor();
  await page.locator('main[aria-busy=false]').waitFor();
};

const tests = {
  async 'a plain address shows a service and its flame graph'() {
    const page = await open('');
    await drawn(page);
    assert.ok(state(page).get('service'));
    assert.ok(await page.getByRole('row').count() > 3);
    return page;
  },

  async 'picks one of ten thousand services without drawing them all'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('p');
    await page.getByRole('option').first().waitFor();
    assert.ok((await page.getByRole('option').count()) < 60);
    await page.keyboard.type('edge gate');
    await page.getByRole('option', { name: 'edge/gateway' }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/edge%2Fgateway/);
    await drawn(page);
    return page;
  },

  async 'picks a type by key'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('t');
    await page.keyboard.type('memory in use');
    await page.keyboard.press('Enter');
    await page.waitForURL(/inuse_space/);
    await drawn(page);
    assert.match(await page.locator('.crumb-value').innerText(), /B$/);
    return page;
  },

  async 'zooms by click and by keys, and goes back'() {
    const page = await open();
    await drawn(page);
    const box = await graph(page).boundingBox();
    await page.mouse.click(box.x + 40, box.y + 5 * 20 + 8);
    await page.waitForURL(/focus=/);
    assert.match(await page.locator('.crumbs').innerText(), /middleware/);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !location.search.includes('focus='));
    await page.keyboard.press('g');
    for (const key of ['Home', 'ArrowDown', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
    await page.waitForURL(/focus=/);
    assert.match(await page.locator('#flame-selection').innerText(), /total .* self /);
    await page.goBack();
    await page.waitForFunction(() => !location.search.includes('focus='));
    return page;
  },

  async 'searches and says the share'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('/');
    await page.keyboard.type('json');
    assert.match(await page.locator('.search-share').innerText(), /^\d+(\.\d+)? %/);
    assert.equal(state(page).get('search'), 'json');
    const names = await page.locator('.table-row .name').allInnerTexts();
    assert.ok(names.length > 0 && names.every((name) => name.toLowerCase().includes('json')));
    return page;
  },

  async 'completes labels and filters by them'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('l');
    await page.keyboard.type('ver');
    await page.getByRole('option', { name: 'version' }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('option', { name: '2.4.0' }).waitFor();
    await page.keyboard.type('"2.4');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/filter=version/);
    assert.equal(state(page).get('filter'), 'version="2.4.0"');
    await drawn(page);
    return page;
  },

  async 'brushes a range'() {
    const page = await open();
    await drawn(page);
    const box = await page.locator('.chart .u-over').boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 30, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=\d{13}/);
    await drawn(page);
    return page;
  },

  async 'shows callers and callees'() {
    const page = await open(`${SHOP}&pane=sandwich&func=encoding%2Fjson.Marshal`);
    await page.getByText('Callers of').waitFor();
    assert.equal(await page.locator('.half').count(), 2);
    return page;
  },

  async 'shows the top functions over time'() {
    const page = await open(`${SHOP}&pane=trend`);
    await page.getByText('Own time of the top functions').waitFor();
    assert.ok((await page.locator('.legend.column li').count()) >= 5);
    return page;
  },

  async 'compares two versions'() {
    const page = await open(`${SHOP}&view=compare&left.filter=${encodeURIComponent('version="2.3.1"')}&right.filter=${encodeURIComponent('version="2.4.0"')}`);
    await drawn(page);
    const first = await page.locator('.table-row').first().innerText();
    assert.match(first, /pricing/);
    assert.match(first, /\+\d/);
    await page.getByRole('radio', { name: 'Side by side' }).click();
    await page.waitForURL(/side=both/);
    await page.locator('.twin canvas').nth(1).waitFor();
    return page;
  },

  async 'a link shows the same to somebody else'() {
    const page = await open(`${SHOP}&search=pq&orientation=flame&color=function&sort=total&from=now-30m`);
    await drawn(page);
    await page.locator('.table-row').first().click();
    await page.waitForURL(/func=/);
    const other = await open(page.url().split('?')[1]);
    await drawn(other);
    assert.equal(await other.locator('#search').inputValue(), 'pq');
    assert.equal(await other.getByRole('radio', { name: 'Flame', exact: true }).getAttribute('aria-checked'), 'true');
    assert.equal(await other.locator('.table-row.marked').count(), 1);
    assert.equal(other.url(), page.url());
    await other.context().close();
    return page;
  },

  async 'opens a profile and a span from the heatmap'() {
    const page = await open(`${SHOP}&view=heatmap`);
    await page.locator('.exemplars .link').first().click();
    await page.waitForURL(/profile=/);
    await drawn(page);
    await page.getByText('Single profile').waitFor();
    await page.goto(`${base}/?${SHOP}&view=heatmap&heat=spans`);
    await page.locator('.exemplars .link').first().click();
    await page.waitForURL(/span=[0-9a-f]{16}/);
    await drawn(page);
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.waitForFunction(() => !location.search.includes('span='));
    return page;
  },

  async 'uploads a file'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('u');
    const folded = 'main;load;parse 30\nmain;load;read 12\nmain;report 8\n';
    await page.locator('input[type=file]').setInputFiles({ name: 'my tool.folded', mimeType: 'text/plain', buffer: Buffer.from(folded) });
    await page.getByText('folded · 46 B').or(page.getByText(/folded · \d+ B/)).waitFor();
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await page.waitForURL(/service=my-tool/);
    await drawn(page);
    const names = await page.locator('.table-row .name').allInnerTexts();
    assert.deepEqual([...names].sort(), ['load', 'main', 'parse', 'read', 'report']);
    return page;
  },

  async 'shows real profiles: uploads the corpus'() {
    const corpus = process.env.FLAMELAKE_SHARED && `${process.env.FLAMELAKE_SHARED}/corpus`;
    const files = ['pprof/go-cpu-small.pb.gz', 'pprof/go-heap-large.pb.gz', 'pprof/java-cpu.pb.gz', 'pprof/python-cpu.pb.gz', 'pprof/rust-cpu.pb.gz', 'pprof/nodejs-wall.pb.gz', 'jfr/kafka-cpu.jfr.gz', 'speedscope/simple.speedscope.json'];
    const page = await open();
    await drawn(page);
    if (!corpus || !existsSync(corpus)) {
      console.log('skipped: no corpus (FLAMELAKE_SHARED)');
      return page;
    }
    for (const file of files) {
      await page.getByRole('button', { name: 'Upload files' }).click();
      await page.locator('input[type=file]').setInputFiles(`${corpus}/${file}`);
      const service = `corpus/${file.split(/[/.]/)[1]}`;
      await page.getByLabel('Service name').fill(service);
      await page.getByRole('button', { name: 'Upload', exact: true }).click();
      await page.waitForURL((url) => url.searchParams.get('service') === service && Boolean(url.searchParams.get('type')));
      await drawn(page);
      assert.ok((await page.locator('.table-row').count()) >= 2, file);
      const [, , unit] = (state(page).get('type') ?? '').split(':');
      assert.ok(unit, file);
    }
    return page;
  },

  async 'refuses a file that is no profile'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('u');
    await page.locator('input[type=file]').setInputFiles({ name: 'photo.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2]) });
    assert.match(await page.getByRole('alert').innerText(), /not pprof/);
    return page;
  },

  async 'exports PNG, SVG, folded stacks and pprof'() {
    const page = await open();
    await drawn(page);
    const get = async (name) => {
      await page.getByRole('button', { name: 'Export' }).click();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
      return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
    };
    const png = await get(/^PNG/);
    assert.deepEqual([...png.bytes.subarray(1, 4)], [...Buffer.from('PNG')]);
    assert.equal(png.name, 'shop-checkout-cpu.png');
    assert.match((await get(/^SVG/)).bytes.toString(), /^<svg[\s\S]*middleware\.Auth/);
    assert.match((await get(/^Folded/)).bytes.toString(), /^runtime\.goexit;.* \d+$/m);
    const pprof = (await get(/^pprof/)).bytes;
    const plain = pprof[0] === 0x1f ? gunzipSync(pprof) : pprof;
    assert.ok(plain.includes('regexp.(*machine).backtrack'));
    return page;
  },

  async 'a slow query shows progress and can be cancelled'() {
    const page = await open('');
    await drawn(page);
    let release;
    const held = new Promise((done) => (release = done));
    await page.route('**/SelectMergeStacktraces', async (route) => {
      await held;
      await route.abort().catch(() => {});
    });
    await page.keyboard.press('.');
    const cancel = page.getByRole('button', { name: /^Cancel/ });
    await cancel.waitFor();
    await cancel.click();
    await page.getByText('The query was stopped').waitFor();
    release();
    await page.unroute('**/SelectMergeStacktraces');
    await page.getByRole('button', { name: 'Run again' }).click();
    await drawn(page);
    return page;
  },

  async 'an error of the server is shown with its words'() {
    const page = await open(`${SHOP}&from=now-30d&until=now-20d`);
    await page.getByText(/No profiles|exceeds|failed/).first().waitFor();
    await page.goto(`${base}/?${SHOP}&filter=${encodeURIComponent('version=~"("')}`);
    await page.getByRole('alert').first().waitFor();
    return page;
  },

  async 'switches the tenant'() {
    const page = await open();
    await drawn(page);
    await page.getByRole('button', { name: /^Tenant/ }).click();
    await page.getByLabel('Tenant', { exact: true }).fill('team-a');
    const [request] = await Promise.all([page.waitForRequest(/LabelValues/), page.keyboard.press('Enter')]);
    assert.equal(request.headers()['x-scope-orgid'], 'team-a');
    return page;
  },

  async 'asks for a tenant where the server wants one'() {
    const page = await open('about:blank');
    await page.route('**/querier.v1.QuerierService/*', (route) => route.fulfill({ status: 401, contentType: 'application/json', body: '{"code":"unauthenticated","message":"no org id"}' }));
    await page.goto(`${base}/`);
    await page.getByRole('button', { name: 'Choose a tenant' }).click();
    await page.getByLabel('Tenant', { exact: true }).waitFor();
    return page;
  },

  async 'says how to send the first profile'() {
    const page = await open('about:blank');
    await page.route('**/LabelValues', (route) => route.fulfill({ contentType: 'application/json', body: '{}' }));
    await page.route('**/GetProfileStats', (route) => route.fulfill({ contentType: 'application/json', body: '{}' }));
    await page.goto(`${base}/`);
    await page.getByRole('heading', { name: 'Send the first profile' }).waitFor();
    for (const way of ['curl', 'flamelake push', 'Python', 'Go', 'Java']) {
      await page.getByRole('tab', { name: way }).click();
      assert.ok((await page.locator('.command code').innerText()).includes('my-app'));
    }
    await check(page, 'welcome');
    return page;
  },

  async 'is usable at 360 px'() {
    for (const query of [SHOP, `${SHOP}&view=compare`, `${SHOP}&view=heatmap`, `${SHOP}&pane=sandwich`, `${SHOP}&pane=table`]) {
      const page = await open(query, { viewport: { width: 360, height: 740 }, hasTouch: true });
      await page.locator('main[aria-busy=false] canvas').first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${query} is ${wide} px wide`);
      // Nothing lies over the tools.
      const head = await page.locator('.table-head, .exemplars').first().boundingBox();
      assert.ok(head.height > 0 && (await page.locator('.table, .exemplars').first().boundingBox()).height > 150, `${query}: no room for the table`);
      assert.ok(head.y > 120, `${query}: the table is at ${head.y}`);
      await page.context().close();
    }
    const page = await open(SHOP, { viewport: { width: 360, height: 740 } });
    await drawn(page);
    await page.getByRole('button', { name: /^Service/ }).click();
    const panel = await page.locator('.panel').boundingBox();
    assert.ok(panel.x >= 0 && panel.x + panel.width <= 360);
    return page;
  },

  async 'is dark or light, as the system or a person says'() {
    const page = await open(SHOP, { colorScheme: 'dark' });
    await drawn(page);
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await background();
    await page.keyboard.press('d');
    assert.notEqual(await background(), dark);
    await page.reload();
    await drawn(page);
    assert.notEqual(await background(), dark);
    return page;
  },

  async 'lists its keys'() {
    const page = await open();
    await drawn(page);
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'hidden' });
    return page;
  },

  async 'axe finds nothing serious'() {
    const queries = { explore: SHOP, grouped: `${SHOP}&group=version`, sandwich: `${SHOP}&pane=sandwich`, compare: `${SHOP}&view=compare`, heatmap: `${SHOP}&view=heatmap`, search: `${SHOP}&search=json&pane=table` };
    for (const colorScheme of ['light', 'dark']) {
      for (const [name, query] of Object.entries(queries)) {
        const page = await open(query, { colorScheme });
        await page.locator('main[aria-busy=false]').waitFor();
        await page.locator('.table, .exemplars').first().waitFor();
        await check(page, `${name}, ${colorScheme}`);
        await page.context().close();
      }
    }
    const page = await open();
    await drawn(page);
    await page.keyboard.press('p');
    await page.getByRole('option').first().waitFor();
    await check(page, 'picker');
    return page;
  },

  async 'its scripts are within the budget'() {
    const page = await open();
    await drawn(page);
    const scripts = await page.evaluate(() => performance.getEntriesByType('resource').filter((each) => each.initiatorType === 'script' || each.name.endsWith('.js')).map((each) => each.encodedBodySize));
    const sum = scripts.reduce((a, b) => a + b, 0);
    assert.ok(sum > 0 && (process.env.PAGE || sum <= SCRIPT_BYTES_MAX), `${sum} bytes`);
    return page;
  },
};

/** Serious and critical findings of axe. Its script is put in by the debugger, which the policy does not bind. */
async function check(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
  assert.deepEqual(serious.map((each) => `${name}: ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 140)).join(' | ')}`), []);
}

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (process.env.ONLY && !name.includes(process.env.ONLY)) continue;
  const before = wrong.length;
  try {
    const page = await test();
    assert.deepEqual(wrong.slice(before), []);
    await page.context().close();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).split('\n').slice(0, 14).join('\n      ')}`);
    for (const each of wrong.slice(before)) console.log(`      ${each}`);
  }
}
await browser.close();
console.log(failed ? `${failed} failed` : 'all passed');
process.exit(failed ? 1 : 0);
