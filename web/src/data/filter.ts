// Which of many names a person means by a few letters.

/** Names with all words of `query`, those that start with it first, then those where it stands early. */
export function filterNames(names: readonly string[], query: string): string[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...names];
  const found: { name: string; rank: number }[] = [];
  for (const name of names) {
    const lower = name.toLowerCase();
    let rank = 0;
    for (const word of words) {
      const at = lower.indexOf(word);
      if (at < 0) {
        rank = -1;
        break;
      }
      // A hit at the start of a part is better than one inside a word.
      rank += at === 0 ? 0 : /[^a-z0-9]/.test(lower[at - 1]) ? 1 : 2;
    }
    if (rank >= 0) found.push({ name, rank });
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ name }) => name);
}
