// The little of protobuf that the page writes and reads: a request for pprof, its answer, and the time of an uploaded profile.

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

function text(field: number, value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return bytes.length ? [...varint(BigInt((field << 3) | 2)), ...varint(BigInt(bytes.length)), ...bytes] : [];
}

function int(field: number, value: number): number[] {
  return value ? [...varint(BigInt(field << 3)), ...varint(BigInt(Math.trunc(value)))] : [];
}

export interface StacktracesRequest {
  type: string;
  selector: string;
  /** Milliseconds, as `end`. */
  start: number;
  end: number;
  profileIds: string[];
  spans: string[];
  traces: string[];
}

const FORMAT_PPROF = 4;

/** `querier.v1.SelectMergeStacktracesRequest`, which asks for pprof. */
export function stacktracesRequest(request: StacktracesRequest): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...text(1, request.type),
    ...text(2, request.selector),
    ...int(3, request.start),
    ...int(4, request.end),
    ...int(6, FORMAT_PPROF),
    ...request.profileIds.flatMap((id) => text(8, id)),
    ...request.traces.flatMap((id) => text(10, id)),
    ...request.spans.flatMap((id) => text(11, id)),
  ]);
}

/** The profile in an answer: field 1 of field 5. Empty if there is none. */
export function pprofOf(response: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return field(field(response, 5), 1);
}

/** The bytes of the first field of this number that has a length. */
function field(message: Uint8Array<ArrayBuffer>, wanted: number): Uint8Array<ArrayBuffer> {
  let at = 0;
  const next = () => {
    let value = 0;
    for (let shift = 1; at < message.length; shift *= 128) {
      const byte = message[at++];
      value += (byte & 127) * shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = next();
    const kind = tag & 7;
    if (kind === 0) next();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = next();
      if (tag >>> 3 === wanted) return message.subarray(at, at + length);
      at += length;
    } else break;
  }
  return message.subarray(0, 0);
}

/** A pprof message moved in time: field 9 (`time_nanos`) put behind it; of a field that comes twice the last counts. */
export function withTime(profile: Uint8Array, milliseconds: number): Uint8Array<ArrayBuffer> {
  const tail = [9 << 3, ...varint(BigInt(Math.trunc(milliseconds)) * 1_000_000n)];
  const out = new Uint8Array(profile.length + tail.length);
  out.set(profile);
  out.set(tail, profile.length);
  return out;
}
