// The little of protobuf that the page writes and reads: a request for pprof bytes, and the time of an uploaded profile.

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

export interface MergeProfileRequest {
  type: string;
  selector: string;
  start: number;
  end: number;
  profileIds: string[];
}

/** `querier.v1.SelectMergeProfileRequest`. */
export function mergeProfileRequest(request: MergeProfileRequest): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...text(1, request.type),
    ...text(2, request.selector),
    ...int(3, request.start),
    ...int(4, request.end),
    ...request.profileIds.flatMap((id) => text(7, id)),
  ]);
}

/** A pprof message moved in time: field 9 (`time_nanos`) put behind it; of a field that comes twice the last counts. */
export function withTime(profile: Uint8Array, milliseconds: number): Uint8Array<ArrayBuffer> {
  const tail = [9 << 3, ...varint(BigInt(Math.trunc(milliseconds)) * 1_000_000n)];
  const out = new Uint8Array(profile.length + tail.length);
  out.set(profile);
  out.set(tail, profile.length);
  return out;
}
