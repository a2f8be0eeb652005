// Spins and allocates under the public Node SDK, which pushes wall and heap profiles to a server: `node sender.js URL SECONDS`.
const Pyroscope = require('@pyroscope/nodejs');

let kept = [];

function nodeSpinHere(until) {
  let turns = 0;
  while (Date.now() < until) turns += 1;
  return turns;
}

function nodeAllocatesHere() {
  for (let i = 0; i < 2000; i++) kept.push(new Array(100).fill(i));
}

async function main() {
  const [url, seconds] = process.argv.slice(2);
  const end = Date.now() + Number(seconds) * 1000;
  Pyroscope.init({
    serverAddress: url,
    appName: 'nodebusy',
    tags: { region: 'eu' },
    flushIntervalMs: 1000,
    wall: { samplingDurationMs: 1000, collectCpuTime: true },
  });
  Pyroscope.start();
  while (Date.now() < end) {
    nodeAllocatesHere();
    nodeSpinHere(Date.now() + 200);
    if (kept.length > 100000) kept = [];
    // The SDK sends from the event loop.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Pyroscope.stop();
}

main().then(() => process.exit(0));
