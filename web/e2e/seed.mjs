// A made-up shop that was profiled for an hour: what the screenshots and the browser test look at.
//
// usage: node e2e/seed.mjs http://127.0.0.1:4040 [services]

const text = new TextEncoder();

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}
const int = (field, value) => (value ? [...varint(field << 3), ...varint(value)] : []);
const bytes = (field, value) => [...varint((field << 3) | 2), ...varint(value.length), ...value];
const packed = (field, values) => bytes(field, values.flatMap((value) => varint(value)));

/** A pprof message. Stacks are root first; values one a sample type. */
export function pprof({ types, samples, timeMs, period = 10_000_000, duration = 15e9 }) {
  const strings = new Map([['', 0]]);
  const string = (value) => {
    if (!strings.has(value)) strings.set(value, strings.size);
    return strings.get(value);
  };
  const functions = new Map();
  const fn = (name) => {
    if (!functions.has(name)) functions.set(name, functions.size + 1);
    return functions.get(name);
  };
  const out = [];
  for (const [type, unit] of types) out.push(...bytes(1, [...int(1, string(type)), ...int(2, string(unit))]));
  for (const { stack, values, labels = {} } of samples) {
    const pairs = Object.entries(labels).flatMap(([key, value]) => bytes(3, [...int(1, string(key)), ...int(2, string(value))]));
    out.push(...bytes(2, [...packed(1, stack.map(fn).reverse()), ...packed(2, values), ...pairs]));
  }
  for (const [name, id] of functions) {
    out.push(...bytes(4, [...int(1, id), ...bytes(4, [...int(1, id), ...int(2, 10)])]));
    out.push(...bytes(5, [...int(1, id), ...int(2, string(name)), ...int(3, string(name)), ...int(4, string('main.go'))]));
  }
  const periodType = bytes(11, [...int(1, string(types.at(-1)[0])), ...int(2, string(types.at(-1)[1]))]);
  for (const value of strings.keys()) out.push(...bytes(6, [...text.encode(value)]));
  return Uint8Array.from([...out, ...int(9, BigInt(timeMs) * 1_000_000n), ...int(10, duration), ...periodType, ...int(12, period)]);
}

export async function push(url, tenant, series, token = '') {
  const body = { series: series.map(({ labels, profile }) => ({ labels: Object.entries(labels).map(([name, value]) => ({ name, value })), samples: [{ rawProfile: Buffer.from(profile).toString('base64') }] })) };
  const response = await fetch(`${url}/push.v1.PusherService/Push`, { method: 'POST', headers: { 'content-type': 'application/json', ...(tenant ? { 'X-Scope-OrgID': tenant } : {}), ...(token ? { authorization: `Bearer ${token}` } : {}) }, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`push: ${response.status} ${await response.text()}`);
}

const SERVE = ['runtime.goexit', 'net/http.(*conn).serve', 'net/http.serverHandler.ServeHTTP', 'github.com/acme/shop/middleware.Trace.func1', 'github.com/acme/shop/middleware.Auth.func1'];
const shop = (...names) => names.map((name) => `github.com/acme/shop/${name}`);
const JSON_ENCODE = ['encoding/json.Marshal', 'encoding/json.(*encodeState).marshal', 'encoding/json.(*encodeState).reflectValue', 'encoding/json.structEncoder.encode'];
const JSON_DECODE = ['encoding/json.Unmarshal', 'encoding/json.(*decodeState).unmarshal', 'encoding/json.(*decodeState).value', 'encoding/json.(*decodeState).object'];
const SQL = ['database/sql.(*DB).QueryContext', 'database/sql.(*DB).query', 'database/sql.(*DB).queryDC', 'github.com/lib/pq.(*conn).QueryContext', 'github.com/lib/pq.(*conn).query'];
const MALLOC = ['runtime.newobject', 'runtime.mallocgc'];
const WALK = Array.from({ length: 6 }, () => 'github.com/acme/shop/catalog.(*Tree).walk');

/** Stack and its weight. A weight that is a function knows the version. */
const CPU = [
  [[...SERVE, ...shop('cart.(*Handler).Add', 'cart.(*Service).Add', 'cart.(*Store).Load'), ...SQL, 'github.com/lib/pq.(*conn).recv', 'bufio.(*Reader).Read', 'net.(*conn).Read', 'internal/poll.(*FD).Read', 'syscall.Read'], 11],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'cart.(*Service).Add', 'cart.(*Store).Load'), ...SQL, 'github.com/lib/pq.decode', 'strconv.ParseInt'], 4],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'cart.(*Service).Add', 'pricing.(*Engine).Price', 'pricing.(*Rules).Apply', 'pricing.matchRule'), 'regexp.(*Regexp).MatchString', 'regexp.(*Regexp).doExecute', 'regexp.(*machine).backtrack'], (v) => (v === '2.4.0' ? 17 : 7)],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'cart.(*Service).Add', 'pricing.(*Engine).Price', 'pricing.(*Rules).Apply', 'pricing.matchRule'), 'regexp.Compile', 'regexp/syntax.Parse'], (v) => (v === '2.4.0' ? 9 : 0)],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'cart.(*Service).Add', 'pricing.(*Engine).Price', 'pricing.round'), 'math/big.(*Float).Mul'], 5],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'render.JSON'), ...JSON_ENCODE, 'encoding/json.stringEncoder', 'encoding/json.appendString'], 6],
  [[...SERVE, ...shop('cart.(*Handler).Add', 'render.JSON'), ...JSON_ENCODE, 'encoding/json.floatEncoder.encode', 'strconv.AppendFloat'], 3],
  [[...SERVE, ...shop('cart.(*Handler).Add'), ...JSON_DECODE, 'encoding/json.(*decodeState).literalStore', 'reflect.Value.SetString'], 4],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'catalog.(*Service).List', 'cache.(*LRU).Get'), 'sync.(*Mutex).Lock', 'sync.(*Mutex).lockSlow'], 5],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'catalog.(*Service).List', 'cache.(*LRU).Get'), 'hash/fnv.(*sum64a).Write'], 3],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'catalog.(*Service).List'), ...WALK, 'strings.ToLower', 'strings.Map'], 6],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'catalog.(*Service).List'), ...WALK, 'sort.Slice', 'sort.pdqsort_func'], 5],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'catalog.(*Service).List'), ...WALK.slice(2), ...MALLOC, 'runtime.(*mcache).nextFree'], 3],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'render.JSON'), ...JSON_ENCODE, 'encoding/json.sliceEncoder.encode', 'encoding/json.arrayEncoder.encode', 'encoding/json.structEncoder.encode', 'encoding/json.stringEncoder'], 9],
  [[...SERVE, ...shop('catalog.(*Handler).List', 'render.JSON'), 'compress/gzip.(*Writer).Write', 'compress/flate.(*compressor).write', 'compress/flate.(*compressor).deflate', 'compress/flate.(*compressor).findMatch'], (v) => (v === '2.4.0' ? 4 : 9)],
  [[...SERVE, ...shop('order.(*Handler).Place', 'order.(*Service).Place', 'order.(*Saga).run', 'payment.(*Client).Charge'), 'net/http.(*Client).Do', 'net/http.(*Transport).roundTrip', 'crypto/tls.(*Conn).HandshakeContext', 'crypto/tls.(*clientHandshakeStateTLS13).handshake', 'crypto/ecdsa.Verify', 'crypto/internal/nistec.(*P256Point).ScalarMult'], 7],
  [[...SERVE, ...shop('order.(*Handler).Place', 'order.(*Service).Place', 'order.(*Saga).run', 'payment.(*Client).Charge'), 'net/http.(*Client).Do', 'net/http.(*Transport).roundTrip', 'crypto/tls.(*Conn).Write', 'crypto/aes.gcmAesEnc'], 3],
  [[...SERVE, ...shop('order.(*Handler).Place', 'order.(*Service).Place', 'order.(*Store).Insert'), 'database/sql.(*Tx).ExecContext', 'github.com/lib/pq.(*conn).Exec', 'github.com/lib/pq.(*conn).send', 'net.(*conn).Write', 'internal/poll.(*FD).Write', 'syscall.Write'], 6],
  [[...SERVE.slice(0, 4), ...shop('metrics.(*Histogram).Observe'), 'sync/atomic.AddUint64'], 2],
  [[...SERVE.slice(0, 3), 'golang.org/x/exp/slog.(*Logger).Info', 'golang.org/x/exp/slog.(*JSONHandler).Handle', 'golang.org/x/exp/slog.(*handleState).appendAttr'], 4],
  [['runtime.goexit', 'runtime.gcBgMarkWorker', 'runtime.systemstack', 'runtime.gcDrain', 'runtime.scanobject'], 10],
  [['runtime.goexit', 'runtime.gcBgMarkWorker', 'runtime.systemstack', 'runtime.gcDrain', 'runtime.greyobject'], 4],
  [['runtime.mcall', 'runtime.park_m', 'runtime.schedule', 'runtime.findRunnable', 'runtime.netpoll', 'runtime.epollwait'], 6],
  [['runtime.mstart', 'runtime.sysmon', 'runtime.usleep'], 2],
];

/** What hangs below the known frames, so that the graph has the fringe that real ones have. */
const FRINGE = [
  ['runtime.growslice', 'runtime.mallocgc', 'runtime.nextFreeFast'], ['runtime.memmove'], ['runtime.mapaccess2_faststr', 'runtime.strhash'],
  ['runtime.newobject', 'runtime.mallocgc'], ['internal/bytealg.IndexByte'], ['runtime.assertE2I2', 'runtime.getitab'], ['unicode/utf8.DecodeRune'], ['runtime.gcWriteBarrier'],
];

export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function cpuProfile(timeMs, version, load, random, spans) {
  const samples = CPU.flatMap(([stack, weight], i) => {
    const base = (typeof weight === 'function' ? weight(version) : weight) * load * (0.8 + 0.4 * random());
    const labels = spans && stack.includes(SERVE[1]) ? { span_id: spans[i % spans.length], trace_id: traceOf(spans) } : {};
    const count = Math.round(base * 12);
    if (!count) return [];
    const main = { stack, values: [count, count * 1e7], labels };
    const edge = Math.max(1, Math.round(count * (0.08 + 0.1 * random())));
    return [main, ...[i, i * 3 + 1].map((at) => ({ stack: [...stack, ...FRINGE[at % FRINGE.length]], values: [edge, edge * 1e7], labels }))];
  });
  return pprof({ types: [['samples', 'count'], ['cpu', 'nanoseconds']], samples, timeMs });
}

/** The spans of a profile are one trace. */
const traceOf = (spans) => [...spans[0], ...spans[1]].reverse().join('');

/** A pprof of about `nodes` nodes below the root, as a long look at a large program gives: for what must stay fluid. */
export function largeProfile(nodes, timeMs = Date.now()) {
  const random = generator(42);
  const packages = ['net/http', 'runtime', 'encoding/json', 'github.com/acme/shop/cart', 'database/sql', 'crypto/tls', 'sync', 'os'];
  const name = () => `${packages[Math.floor(random() * packages.length)]}.fn${Math.floor(random() * 2000)}`;
  const all = [{ name: 'main.main', parent: -1, depth: 0, inner: false }];
  while (all.length < nodes) {
    // Rather deep than wide, as stacks are.
    const parent = Math.floor((all.length - 1) * (1 - random() ** 3 * 0.999));
    if (all[parent].depth > 60) continue;
    all[parent].inner = true;
    all.push({ name: name(), parent, depth: all[parent].depth + 1, inner: false });
  }
  const samples = [];
  for (const [i, node] of all.entries()) {
    if (node.inner && i % 7) continue;
    const stack = [];
    for (let at = i; at >= 0; at = all[at].parent) stack.unshift(all[at].name);
    const count = Math.floor(random() ** 6 * 1e4) + 1;
    samples.push({ stack, values: [count, count * 1e7] });
  }
  return pprof({ types: [['samples', 'count'], ['cpu', 'nanoseconds']], samples, timeMs });
}

function heapProfile(timeMs, load, random) {
  const samples = CPU.slice(0, 18).map(([stack]) => {
    const objects = Math.round(200 * load * (0.5 + random()));
    return { stack: [...stack.slice(0, -1), ...MALLOC], values: [objects * 9, objects * 4600, objects, objects * 512] };
  });
  return pprof({ types: [['alloc_objects', 'count'], ['alloc_space', 'bytes'], ['inuse_objects', 'count'], ['inuse_space', 'bytes']], samples, timeMs, period: 524288 });
}

/** Pushes everything. `now` is the end; `services` more ones with one profile each. */
export async function seed(url, { tenant = '', now = Date.now(), minutes = 58, services = 0 } = {}) {
  const random = generator(7);
  const pods = [
    ['checkout-7d9f-a', '2.3.1', 'eu-west'], ['checkout-7d9f-b', '2.3.1', 'us-east'],
    ['checkout-84c2-a', '2.4.0', 'eu-west'], ['checkout-84c2-b', '2.4.0', 'us-east'],
  ];
  const jobs = [];
  for (let ago = minutes * 60; ago >= 5; ago -= 15) {
    const time = now - ago * 1000;
    const wave = 1 + 0.35 * Math.sin(ago / 420) + (ago > 900 && ago < 1140 ? 0.8 : 0);
    const series = pods.map(([pod, version, region]) => {
      const spans = Array.from({ length: 3 }, () => Array.from({ length: 16 }, () => Math.floor(random() * 16).toString(16)).join(''));
      const load = wave * (0.8 + 0.4 * random()) * (random() > 0.985 ? 2.4 : 1);
      return { labels: { __name__: 'process_cpu', service_name: 'shop/checkout', pod, version, region }, profile: cpuProfile(time, version, load, random, spans) };
    });
    if (ago % 60 === 0) {
      for (const [pod, version, region] of pods) series.push({ labels: { __name__: 'memory', service_name: 'shop/checkout', pod, version, region }, profile: heapProfile(time, wave, random) });
      for (const name of ['shop/catalog', 'shop/payment', 'shop/search', 'edge/gateway', 'edge/auth'])
        series.push({ labels: { __name__: 'process_cpu', service_name: name, pod: `${name.split('/')[1]}-0`, version: '1.9.0', region: 'eu-west' }, profile: cpuProfile(time, '1.9.0', wave * 0.4, random) });
    }
    jobs.push(series);
  }
  const one = pprof({ types: [['samples', 'count'], ['cpu', 'nanoseconds']], samples: [{ stack: ['main', 'work'], values: [1, 1e7] }], timeMs: now - 60_000 });
  for (let i = 0; i < services; i += 500)
    jobs.push(Array.from({ length: Math.min(500, services - i) }, (_, k) => ({ labels: { __name__: 'process_cpu', service_name: `fleet/service-${String(i + k).padStart(5, '0')}` }, profile: one })));
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (next < jobs.length) await push(url, tenant, jobs[next++]);
  }));
}

if (process.argv[1]?.endsWith('seed.mjs')) {
  const [url = 'http://127.0.0.1:4040', services = '0'] = process.argv.slice(2);
  await seed(url, { services: Number(services) });
  console.log(`pushed to ${url}`);
}
