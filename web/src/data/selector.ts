// Label selectors: what a person typed, and what the API takes.

export interface Matcher {
  name: string;
  op: '=' | '!=' | '=~' | '!~';
  value: string;
}

const PLAIN = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

export function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

export function formatMatcher({ name, op, value }: Matcher): string {
  return `${PLAIN.test(name) ? name : quote(name)}${op}${quote(value)}`;
}

/** The matchers of `a="x", b!~"y"`, with or without braces. A text that is none gives the place where it goes wrong. */
export function parseMatchers(text: string): { matchers: Matcher[] } | { error: string; at: number } {
  const inner = text.trim().replace(/^\{/, '').replace(/\}$/, '');
  const shift = text.indexOf(inner);
  const matchers: Matcher[] = [];
  let at = 0;
  const skip = () => {
    while (at < inner.length && /[\s,]/.test(inner[at])) at++;
  };
  for (skip(); at < inner.length; skip()) {
    const name = readName(inner, at);
    if (!name) return { error: 'a label name is missing', at: at + shift };
    at = name.end;
    while (/\s/.test(inner[at] ?? '')) at++;
    const op = inner.slice(at).match(/^(=~|!=|!~|=)/)?.[0] as Matcher['op'] | undefined;
    if (!op) return { error: `an operator is missing behind ${name.text}: =, !=, =~ or !~`, at: at + shift };
    at += op.length;
    while (/\s/.test(inner[at] ?? '')) at++;
    const value = readQuoted(inner, at);
    if (!value) return { error: `a value in quotes is missing behind ${name.text}${op}`, at: at + shift };
    matchers.push({ name: name.text, op, value: value.text });
    at = value.end;
    skip();
  }
  return { matchers };
}

function readName(text: string, at: number): { text: string; end: number } | null {
  if (text[at] === '"') return readQuoted(text, at);
  const name = text.slice(at).match(/^[a-zA-Z_][a-zA-Z0-9_.]*/)?.[0];
  return name ? { text: name, end: at + name.length } : null;
}

function readQuoted(text: string, at: number): { text: string; end: number } | null {
  const mark = text[at];
  if (mark !== '"' && mark !== "'" && mark !== '`') return null;
  let out = '';
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === mark) return { text: out, end: i + 1 };
    if (text[i] === '\\' && mark !== '`' && i + 1 < text.length) {
      i++;
      out += text[i] === 'n' ? '\n' : text[i];
    } else out += text[i];
  }
  return null;
}

/** The selector of a service and further matchers. */
export function selector(service: string, filter: string): string {
  const parsed = parseMatchers(filter);
  const more = 'matchers' in parsed ? parsed.matchers : [];
  const all = service ? [{ name: 'service_name', op: '=', value: service } as Matcher, ...more] : more;
  return `{${all.map(formatMatcher).join(', ')}}`;
}

/** `filter` with a matcher put in; one with the same name and operator gives way. */
export function withMatcher(filter: string, matcher: Matcher): string {
  const parsed = parseMatchers(filter);
  const kept = 'matchers' in parsed ? parsed.matchers.filter((each) => each.name !== matcher.name || each.op !== matcher.op) : [];
  return [...kept, matcher].map(formatMatcher).join(', ');
}

export type Wanted =
  | { kind: 'name'; prefix: string; from: number; to: number }
  | { kind: 'op'; name: string; from: number; to: number }
  | { kind: 'value'; name: string; prefix: string; from: number; to: number };

/** What a completion at the cursor should offer, and which part of the text it replaces. */
export function wantedAt(text: string, cursor: number): Wanted {
  const before = text.slice(0, cursor);
  const value = before.match(/(?:^|[,{\s])([a-zA-Z_][a-zA-Z0-9_.]*|"[^"]*")\s*(?:=~|!=|!~|=)\s*("?)([^",]*)$/);
  if (value) {
    const from = cursor - value[3].length - value[2].length;
    const close = text.slice(cursor).match(/^[^",]*"?/)?.[0].length ?? 0;
    return { kind: 'value', name: value[1].replaceAll('"', ''), prefix: value[3], from, to: cursor + close };
  }
  const op = before.match(/(?:^|[,{\s])([a-zA-Z_][a-zA-Z0-9_.]*)\s+[!=~]*$/);
  if (op) return { kind: 'op', name: op[1], from: cursor - (before.match(/[!=~]*$/)?.[0].length ?? 0), to: cursor };
  const prefix = before.match(/[a-zA-Z0-9_.]*$/)?.[0] ?? '';
  return { kind: 'name', prefix, from: cursor - prefix.length, to: cursor };
}
